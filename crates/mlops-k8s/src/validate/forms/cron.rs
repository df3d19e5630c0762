//! Schedules of `CronJob`s, as `github.com/robfig/cron` reads them: five fields, or a word such as `@daily`.

use super::duration::is_duration;

/// The fields in their order: name, lowest and highest value, and names that stand for the values from the lowest on.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of the month", 1, 31, &[]),
    (
        "month",
        1,
        12,
        &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    ),
    (
        "day of the week",
        0,
        6,
        &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    ),
];

const WORDS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// What is wrong with a schedule.
pub(in crate::validate) fn wrong(text: &str) -> Option<String> {
    if text.contains("TZ") {
        // https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#unsupported-timezone-specification
        return Some("a schedule cannot name a time zone: that is for `timeZone`".to_owned());
    }
    if let Some(every) = text.strip_prefix("@every ") {
        return (!is_duration(every)).then(|| "what follows `@every` is no duration".to_owned());
    }
    if text.starts_with('@') {
        return (!WORDS.contains(&text))
            .then(|| format!("the words for schedules are {}", WORDS.join(", ")));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!(
            "a schedule has five fields, and this has {}",
            fields.len()
        ));
    }
    fields.iter().zip(FIELDS).find_map(|(field, rule)| {
        let (name, lowest, highest, _) = rule;
        field.split(',').find_map(|range| {
            (!is_range(range, rule)).then(|| {
                format!("the {name} of a schedule is `*`, or from {lowest} to {highest}, with `,`, `-` and `/`")
            })
        })
    })
}

/// `*`, `?`, `N`, `N-M`, each with `/STEP` or without.
fn is_range(text: &str, rule: (&str, u32, u32, &[&str])) -> bool {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (text, None),
    };
    let is_step = step.is_none_or(|step| number(step).is_some_and(|step| step > 0));
    let is_range = match range.split_once('-') {
        _ if matches!(range, "*" | "?") => true,
        Some((from, to)) => match (value(from, rule), value(to, rule)) {
            (Some(from), Some(to)) => from <= to,
            _ => false,
        },
        None => value(range, rule).is_some(),
    };
    is_step && is_range
}

fn value(text: &str, (_, lowest, highest, names): (&str, u32, u32, &[&str])) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let named = names.iter().zip(lowest..).find(|(name, _)| **name == lower);
    let value = named.map(|(_, value)| value).or_else(|| number(text))?;
    (lowest..=highest).contains(&value).then_some(value)
}

fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn schedules() {
        for right in [
            "* * * * *",
            "*/15 0-6,20 1 jan-DEC mon",
            "0 0 31 2 ?",
            "@daily",
            "@every 1h30m",
            "5/10 * * * 0",
        ] {
            assert_eq!(wrong(right), None, "{right}");
        }
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "@never",
            "@every 1d",
            "TZ=UTC * * * * *",
            "+5 * * * *",
            "1,,2 * * * *",
        ] {
            assert!(wrong(text).is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = wrong(&text);
        }

        #[test]
        fn every_minute_of_every_hour(minute in 0_u32..60, hour in 0_u32..24) {
            let schedule = format!("{minute} {hour} * * *");
            prop_assert_eq!(wrong(&schedule), None);
        }
    }
}
