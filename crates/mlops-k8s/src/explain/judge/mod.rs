//! From facts to causes: pure functions, one for each cause, in a table.

mod admission;
mod api;
mod containers;
mod images;
mod network;
mod pods;
mod readiness;
mod refusal;
mod removal;
mod scheduling;
mod search;
mod volumes;
mod workloads;

#[cfg(test)]
mod tests;

pub(crate) use readiness::is_ready;
pub(crate) use refusal::judge_refusal;
pub(crate) use search::reach;

use jiff::Timestamp;

use super::codes::CauseCode;
use super::facts::{Facts, Object};
use super::model::{Cause, Evidence, Explanation, ObjectRef};
use super::text::clean;

/// An object under judgement, with all that is known around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) facts: &'a Facts,
    pub(super) object: &'a Object,
}

/// What a rule found.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    message: String,
    evidence: Vec<Evidence>,
    remedy: Option<String>,
    code: Option<CauseCode>,
    weight: Option<Weight>,
}

impl Finding {
    pub(super) fn new(message: impl AsRef<str>) -> Self {
        Self {
            message: clean(message.as_ref()),
            evidence: Vec::new(),
            remedy: None,
            code: None,
            weight: None,
        }
    }

    pub(crate) fn with(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    pub(super) fn with_remedy(mut self, remedy: impl AsRef<str>) -> Self {
        self.remedy = Some(clean(remedy.as_ref()));
        self
    }

    /// The same as what is more likely to come from elsewhere.
    pub(super) fn into_consequence(mut self) -> Self {
        self.weight = Some(Weight::Consequence);
        self
    }

    pub(super) fn with_code(mut self, code: CauseCode) -> Self {
        self.code = Some(code);
        self
    }
}

/// How much a cause explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Something is wrong here.
    Fault,
    /// Something is wrong, and it is more likely that it comes from elsewhere.
    Consequence,
    /// Nothing is wrong.
    Note,
}

/// One row of the table: the cause, the kinds of objects it happens to (none for all), and who sees it.
pub(super) struct Rule {
    pub(super) code: CauseCode,
    pub(super) weight: Weight,
    pub(super) kinds: &'static [&'static str],
    pub(super) judge: fn(&Scene<'_>) -> Option<Finding>,
}

impl Rule {
    pub(super) const fn fault(
        code: CauseCode,
        kinds: &'static [&'static str],
        judge: fn(&Scene<'_>) -> Option<Finding>,
    ) -> Self {
        Self {
            code,
            weight: Weight::Fault,
            kinds,
            judge,
        }
    }

    pub(super) const fn consequence(
        code: CauseCode,
        kinds: &'static [&'static str],
        judge: fn(&Scene<'_>) -> Option<Finding>,
    ) -> Self {
        Self {
            code,
            weight: Weight::Consequence,
            kinds,
            judge,
        }
    }
}

/// The rules, in groups. Of one object the first group counts in which something is found: a pod whose volume cannot be
/// mounted has no container that could crash.
const GROUPS: &[&[Rule]] = &[
    removal::RULES,
    api::RULES,
    admission::RULES,
    workloads::RULES,
    volumes::CLAIM_RULES,
    network::RULES,
    scheduling::RULES,
    pods::RULES,
    volumes::POD_RULES,
    images::RULES,
    containers::RULES,
    workloads::LAST_RULES,
];

struct Ranked {
    weight: Weight,
    depth: usize,
    since: Option<Timestamp>,
    cause: Cause,
}

/// Judges what was gathered. Pure: the same facts give the same explanation.
pub fn judge(facts: &Facts) -> Explanation {
    let mut ranked: Vec<Ranked> = api::judge_subject(facts)
        .map(|(code, finding)| rank(code, Weight::Fault, 0, &facts.subject, finding))
        .into_iter()
        .collect();
    let mut ready = ranked.is_empty();
    for (object, depth) in reach(facts) {
        let scene = Scene { facts, object };
        let found = judge_object(&scene, depth);
        let well = found.iter().all(|found| found.weight == Weight::Note);
        // What only waits to be used does not make its namespace unready.
        let own = is_ready(&scene) || (object.id != facts.subject && !found.is_empty());
        if counts(facts, object) {
            ready &= own && well;
        }
        if !is_ready(&scene) || !well {
            ranked.extend(found);
        }
    }
    if ready {
        ranked.clear();
    }
    ranked.sort_by_key(|found| {
        (
            found.weight,
            std::cmp::Reverse(found.depth),
            found.since.is_none(),
            found.since,
        )
    });
    let mut causes: Vec<Cause> = Vec::new();
    for found in ranked {
        // A condition often repeats what an event of the object below has said.
        if !causes
            .iter()
            .any(|had| had.code == found.cause.code && says_the_same(had, &found.cause))
        {
            causes.push(found.cause);
        }
    }
    let mut causes = causes.into_iter();
    let cause = causes.next();
    Explanation {
        subject: facts.subject.clone(),
        ready,
        cause,
        others: causes.collect(),
        unknown: facts.unknown.iter().map(|text| clean(text)).collect(),
    }
}

/// Whether the subject is ready only if this is: an Ingress is as good as its Services, a namespace as all that is in it.
fn counts(facts: &Facts, object: &Object) -> bool {
    match facts.subject.kind.as_str() {
        "Namespace" => true,
        "Ingress" if object.id.kind == "Service" => true,
        _ => object.id == facts.subject,
    }
}

fn says_the_same(one: &Cause, other: &Cause) -> bool {
    one.message == other.message
}

/// The causes that one object itself shows.
fn judge_object(scene: &Scene<'_>, depth: usize) -> Vec<Ranked> {
    let kind = scene.object.id.kind.as_str();
    for group in GROUPS {
        let found: Vec<Ranked> = group
            .iter()
            .filter(|rule| rule.kinds.is_empty() || rule.kinds.contains(&kind))
            .filter_map(|rule| Some((rule, (rule.judge)(scene)?)))
            .map(|(rule, finding)| rank(rule.code, rule.weight, depth, &scene.object.id, finding))
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn rank(
    code: CauseCode,
    weight: Weight,
    depth: usize,
    subject: &ObjectRef,
    finding: Finding,
) -> Ranked {
    let since = finding.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Event { last, .. } => *last,
        _ => None,
    });
    Ranked {
        weight: finding.weight.unwrap_or(weight),
        depth,
        since,
        cause: cause_of(code, subject, finding),
    }
}

pub(crate) fn cause_of(code: CauseCode, subject: &ObjectRef, finding: Finding) -> Cause {
    let code = finding.code.unwrap_or(code);
    Cause {
        code,
        subject: subject.clone(),
        message: finding.message,
        evidence: finding.evidence,
        remedy: finding
            .remedy
            .unwrap_or_else(|| code.info().remedy.to_owned()),
    }
}
