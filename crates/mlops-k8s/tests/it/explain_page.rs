//! `docs/causes.md`: written from the table of causes and what was really seen of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use mlops_k8s::explain::{Cause, CauseCode, ObjectRef};

/// A cause as it was seen.
pub(crate) struct Seen {
    pub(crate) subject: ObjectRef,
    pub(crate) cause: Cause,
    pub(crate) namespace: String,
}

const HEAD: &str = "# Causes

Why an object in a cluster is not ready, as `mlops_k8s::explain` says it. A code never changes its meaning. What is shown
under a code was seen on a real API server or node by the test that writes this page
(`crates/mlops-k8s/tests/it/explain_causes.rs`); names, addresses and numbers that differ from run to run are shown as
`…`. A code without it has been judged from facts written down by hand.

";

/// Compares the page in the repository with what was seen. With `MLOPS_UPDATE=1` it is written anew.
pub(crate) fn check(seen: &BTreeMap<CauseCode, Seen>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/causes.md");
    let page = render(seen);
    if updates() {
        std::fs::write(&path, &page).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    for (line, (kept, now)) in kept.lines().zip(page.lines()).enumerate() {
        assert_eq!(
            kept,
            now,
            "docs/causes.md, line {}: run with MLOPS_UPDATE=1 if this is right",
            line + 1
        );
    }
    assert_eq!(
        kept.lines().count(),
        page.lines().count(),
        "docs/causes.md: run with MLOPS_UPDATE=1"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment to write what it would compare"
)]
pub(crate) fn updates() -> bool {
    std::env::var("MLOPS_UPDATE").is_ok_and(|value| value == "1")
}

fn render(seen: &BTreeMap<CauseCode, Seen>) -> String {
    let mut page = HEAD.to_owned();
    for info in CauseCode::all() {
        writeln!(page, "## {}\n\n{}\n", info.name, info.meaning).unwrap();
        let mut remedy = info.remedy.to_owned();
        if let Some(seen) = seen.get(&info.code) {
            let text = format!("why is {} not ready?\n{}", seen.subject, seen.cause);
            let text = steady(&text, &seen.namespace);
            writeln!(page, "```\n{text}\n```\n").unwrap();
        }
        if let Some(first) = remedy.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        writeln!(page, "Remedy: {remedy}. See <{}>.\n", info.link()).unwrap();
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// The text without what differs from run to run.
fn steady(text: &str, namespace: &str) -> String {
    let run = namespace.split('-').take(2).collect::<Vec<_>>().join("-");
    let text = text.replace(namespace, "models").replace(&run, "why");
    let lines: Vec<String> = text.lines().map(steady_line).collect();
    lines.join("\n")
}

fn steady_line(line: &str) -> String {
    let mut steady = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (before, word_on) = rest.split_at(start);
        let end = word_on
            .find(|c: char| !is_of_word(c))
            .unwrap_or(word_on.len());
        let (word, after) = word_on.split_at(end);
        let (word, point) = match word.strip_suffix(['.', ':', '-']) {
            Some(word) => (word, &word_on[word.len()..end]),
            None => (word, ""),
        };
        steady.push_str(before);
        steady.push_str(&steady_word(word));
        steady.push_str(point);
        rest = after;
    }
    steady.push_str(rest);
    without_counts(&steady)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '/')
}

/// A word as it is in every run.
fn steady_word(word: &str) -> String {
    let has_digit = word.chars().any(|c| c.is_ascii_digit());
    let is_hex = |part: &str| part.len() >= 8 && part.chars().all(|c| c.is_ascii_hexdigit());
    if word.starts_with("tmp/")
        || word.matches('-').count() == 4
            && word
                .split('-')
                .all(|part| is_hex(part) || part.len() == 4 && has_digit)
    {
        return "…".to_owned();
    }
    // Addresses of pods, and ports that the kernel chose.
    if has_digit
        && word
            .split(['.', ':'])
            .filter(|part| part.parse::<u16>().is_ok())
            .count()
            >= 4
    {
        return "…".to_owned();
    }
    // Times.
    if has_digit && word.contains('T') && word.contains(':') {
        return "…".to_owned();
    }
    // What a ReplicaSet or a Job adds to names: five characters without vowels, after a hash of up to ten.
    let mut parts: Vec<&str> = word.split('-').collect();
    let is_random = |part: &str| {
        (5..=10).contains(&part.len())
            && part
                .chars()
                .all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
    };
    let mut cut = false;
    while parts.len() > 1 && parts.last().is_some_and(|part| is_random(part)) {
        parts.pop();
        cut = true;
    }
    let kept = parts.join("-");
    if cut { format!("{kept}-…") } else { kept }
}

/// How often something happened, and how much a machine has, is different each time.
fn without_counts(line: &str) -> String {
    let mut line = match (line.rfind(" ("), line.ends_with(" times)")) {
        (Some(start), true) => line[..start].to_owned(),
        _ => line.to_owned(),
    };
    for (before, shown) in [
        (", restarts ", ""),
        ("used: ", "used: …"),
        ("capacity: ", "capacity: …"),
    ] {
        if let Some(start) = line.find(before) {
            let rest = &line[start + before.len()..];
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            line = format!("{}{shown}{}", &line[..start], &rest[end..]);
        }
    }
    match line.find(", started again ") {
        Some(start) => format!("{}, started again …", &line[..start]),
        None => line,
    }
}
