//! Comparison of wanted and found fields.

use serde_json::Value;

use super::FieldDifference;
use crate::resource::Spec;

/// The fields of `wanted` that `found` does not have so. Fields that only `found` has are not ours to judge.
pub fn compare(wanted: &Spec, found: &Spec) -> Vec<FieldDifference> {
    let mut differences = Vec::new();
    compare_level("", wanted, found, &mut differences);
    differences
}

fn compare_level(
    prefix: &str,
    wanted: &Spec,
    found: &Spec,
    differences: &mut Vec<FieldDifference>,
) {
    for (name, want) in wanted {
        let field = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match (want, found.get(name)) {
            (Value::Object(want), Some(Value::Object(have))) => {
                compare_level(&field, want, have, differences);
            }
            (want, Some(have)) if want == have => {}
            // Not set and null say the same.
            (Value::Null, None) => {}
            (want, have) => differences.push(FieldDifference {
                field,
                found: have.cloned(),
                wanted: Some(want.clone()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: Value) -> Spec {
        match value {
            Value::Object(fields) => fields,
            _ => Spec::new(),
        }
    }

    #[test]
    fn only_wanted_fields_count() {
        let wanted = spec(serde_json::json!({"a": 1, "b": {"c": [1], "d": null}}));
        let found = spec(serde_json::json!({"a": 2, "b": {"c": [1], "x": 1}, "y": 1}));
        let differences = compare(&wanted, &found);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].field, "a");
        assert!(compare(&wanted, &wanted).is_empty());
    }
}
