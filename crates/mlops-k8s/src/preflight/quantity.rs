//! Quantities of Kubernetes, such as `500m` and `1Gi`, in thousandths.

/// A quantity in thousandths; none if it is not one:
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
pub(super) fn thousandths(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at_checked(end)?;
    let (factor, divisor): (i128, i128) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1_000),
        "m" => (1, 1),
        "" => (1_000, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000, 1),
        "Ki" => (1_000 << 10, 1),
        "Mi" => (1_000 << 20, 1),
        "Gi" => (1_000 << 30, 1),
        "Ti" => (1_000 << 40, 1),
        "Pi" => (1_000 << 50, 1),
        "Ei" => (1_000 << 60, 1),
        _ => (1_000_i128.checked_mul(power(suffix)?)?, 1),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.trim_start_matches(['+', '-']).is_empty() && part.is_empty() {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let number: i128 = format!("{whole}{part}").parse().ok()?;
    let exact = number.checked_mul(factor)?;
    // Rounded up, as the server does.
    let under = scale.checked_mul(divisor)?;
    Some(exact.div_euclid(under) + i128::from(exact.rem_euclid(under) != 0))
}

/// `e3` or `E3`: a power of ten.
fn power(suffix: &str) -> Option<i128> {
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    10_i128.checked_pow(exponent.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_of_every_form() {
        for (text, expected) in [
            ("1", Some(1_000)),
            ("500m", Some(500)),
            ("0.5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("100n", Some(1)),
            ("2k", Some(2_000_000)),
            ("1e3", Some(1_000_000)),
            ("-1", Some(-1_000)),
            ("", None),
            ("m", None),
            ("1Xi", None),
            ("1.2.3", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_quantity_or_none(text in ".{0,40}") {
            let _ = thousandths(&text);
        }

        #[test]
        fn thousandths_of_whole_numbers(number in 0_i64..1_000_000_000) {
            prop_assert_eq!(thousandths(&format!("{number}m")), Some(i128::from(number)));
            prop_assert_eq!(thousandths(&format!("{number}Mi")), Some(i128::from(number) * 1_048_576_000));
        }
    }
}
