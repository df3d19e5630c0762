//! Quantities, which the server writes in its own way: `1000m` becomes `1`
//! (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).

use serde_json::Value;

/// Whether two values are the same quantity.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let number = |value: &Value| text(value).as_deref().and_then(parse);
    matches!((number(one), number(other)), (Some(one), Some(other)) if (one - other).abs() <= one.abs() * 1e-12)
}

fn parse(text: &str) -> Option<f64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits)?;
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_f64.powi(exponent)
        }
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_in_other_words() {
        for (one, other) in [
            ("1000m", "1"),
            ("1Ki", "1024"),
            ("1e3", "1k"),
            ("0.5", "500m"),
            ("2E", "2e18"),
        ] {
            assert!(is_same(&json!(one), &json!(other)), "{one} {other}");
        }
        assert!(is_same(&json!(2), &json!("2")));
        for (one, other) in [
            ("1", "1m"),
            ("1Ki", "1k"),
            ("", "0"),
            ("x", "x1"),
            ("1x", "1"),
        ] {
            assert!(!is_same(&json!(one), &json!(other)), "{one} {other}");
        }
    }
}
