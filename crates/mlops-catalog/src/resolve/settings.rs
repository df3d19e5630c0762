//! The settings of a component: the user's over the defaults, each checked.

use std::collections::BTreeMap;

use mlops_core::Spec;
use mlops_core::platform::{Problem, Problems, Size, Target};
use serde_json::Value;

use super::work::{Member, Work};
use crate::component::{Setting, SettingType};

impl Work<'_> {
    /// All settings of a component with their values.
    pub(super) fn settings(&mut self, member: &Member<'_>) -> Spec {
        let more = member.component.cluster.iter();
        let more = more.filter(|_| member.target == Target::Cluster);
        let more = more.flat_map(|run| &run.settings);
        let rules: BTreeMap<&String, &Setting> =
            member.component.settings.iter().chain(more).collect();
        let mut values: Spec = rules
            .iter()
            .map(|(name, rule)| ((*name).clone(), rule.default.clone()))
            .collect();
        let mut wrong = Problems::new();
        for (name, rule) in &rules {
            if !rule.default.is_null()
                && let Err(message) = check(rule, &rule.default)
            {
                let is_of_all = member.component.settings.contains_key(*name);
                let above: &[&str] = if is_of_all { &[] } else { &["cluster"] };
                let path = [above, &["settings", name.as_str(), "default"]].concat();
                wrong.add(Problem::at(path, message));
            }
        }
        self.blame(member, wrong);
        for (name, value) in member.choice.iter().flat_map(|choice| &choice.settings) {
            let at = member.path(&["settings", name.as_str()]);
            match rules.get(name) {
                None => {
                    let message = format!(
                        "`{}` has no setting `{}`",
                        member.name(),
                        name.escape_debug()
                    );
                    let problem = Problem::at(at, message).of_key();
                    let elsewhere = member.component.cluster.as_ref();
                    let is_elsewhere = elsewhere.is_some_and(|run| run.settings.contains_key(name));
                    self.problems.add(if is_elsewhere {
                        problem.with_hint("it is a setting of the target `cluster`")
                    } else if rules.is_empty() {
                        problem.with_hint("it has no settings")
                    } else {
                        problem.with_nearest(name, rules.keys().map(|name| name.as_str()))
                    });
                }
                Some(rule) => match check(rule, value) {
                    Ok(()) => {
                        values.insert(name.clone(), value.clone());
                    }
                    Err(message) => self
                        .problems
                        .add(Problem::at(at, message).with_hint(first_sentence(rule))),
                },
            }
        }
        values
    }
}

fn first_sentence(rule: &Setting) -> String {
    let text = rule.description.trim();
    let end = text.find(". ").unwrap_or(text.len());
    text.get(..end)
        .unwrap_or(text)
        .trim_end_matches('.')
        .to_owned()
}

/// What the component's size means on its target.
pub(super) fn size(member: &Member<'_>) -> Spec {
    let mut values = size_in(&member.component.sizes, member.size);
    if let (Target::Cluster, Some(run)) = (member.target, &member.component.cluster) {
        values.extend(size_in(&run.sizes, member.size));
    }
    values
}

fn size_in(sizes: &BTreeMap<Size, Spec>, size: Size) -> Spec {
    let below = sizes.range(..=size).next_back();
    below
        .or_else(|| sizes.iter().next())
        .map(|(_, values): (&Size, &Spec)| values.clone())
        .unwrap_or_default()
}

fn check(rule: &Setting, value: &Value) -> Result<(), String> {
    if value.is_null() && rule.default.is_null() {
        return Ok(());
    }
    if !rule.choices.is_empty() {
        if rule.choices.contains(value) {
            return Ok(());
        }
        let choices: Vec<String> = rule
            .choices
            .iter()
            .map(|choice| format!("`{}`", plain(choice)))
            .collect();
        return Err(format!("expected one of {}", choices.join(", ")));
    }
    let (size, what) = match (rule.r#type, value) {
        (SettingType::String, Value::String(text)) => {
            if text.contains(['\n', '\r', '\0']) {
                return Err("expected a text of one line".to_owned());
            }
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            (Some(length), "a text with a number of characters")
        }
        (SettingType::Integer, Value::Number(number)) if !number.is_f64() => {
            (Some(number.as_i64().unwrap_or(i64::MAX)), "a whole number")
        }
        (SettingType::Number, Value::Number(number)) => {
            let number = number.as_f64().unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "bounds are small whole numbers")]
            let is_low = rule.minimum.is_some_and(|least| number < least as f64);
            #[expect(clippy::cast_precision_loss, reason = "bounds are small whole numbers")]
            let is_high = rule.maximum.is_some_and(|most| number > most as f64);
            if is_low || is_high {
                return Err(format!("expected a number {}", range(rule)));
            }
            (None, "")
        }
        (SettingType::Boolean, Value::Bool(_)) => (None, ""),
        (expected, _) => {
            let expected = match expected {
                SettingType::String => "a text",
                SettingType::Integer => "a whole number",
                SettingType::Number => "a number",
                SettingType::Boolean => "true or false",
            };
            return Err(format!("expected {expected}"));
        }
    };
    let is_outside = size.is_some_and(|size| {
        rule.minimum.is_some_and(|least| size < least)
            || rule.maximum.is_some_and(|most| size > most)
    });
    if is_outside {
        return Err(format!("expected {what} {}", range(rule)));
    }
    Ok(())
}

fn range(rule: &Setting) -> String {
    match (rule.minimum, rule.maximum) {
        (Some(least), Some(most)) => format!("from {least} to {most}"),
        (Some(least), None) => format!("of {least} or more"),
        (None, Some(most)) => format!("of {most} or less"),
        (None, None) => String::new(),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
