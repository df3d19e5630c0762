//! Quantities: `100m`, `1Gi`, `1e3`.

use std::fmt;
use std::str::FromStr;

use mlops_core::{Error, ErrorKind};

/// An amount of cpu, memory or another resource, as Kubernetes writes it.
///
/// The text is a decimal number with an optional suffix: `n`, `u`, `m`, `k`, `M`, `G`, `T`, `P`, `E` are powers of 1000,
/// `Ki`, `Mi`, `Gi`, `Ti`, `Pi`, `Ei` are powers of 1024, and `e3` or `E3` are powers of ten. What is finer than one
/// billionth is rounded up, and what is beyond 2^63 - 1 is taken as that, as the API server does it
/// (`apimachinery/pkg/api/resource/quantity.go`).
///
/// ```
/// use mlops_k8s::validate::Quantity;
///
/// let half: Quantity = "500m".parse()?;
/// let one: Quantity = "1".parse()?;
/// assert!(half < one);
/// assert_eq!("1Ki".parse::<Quantity>()?, "1024".parse()?);
/// assert!("1GB".parse::<Quantity>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nanos: i128,
}

/// How many billionths make one.
const ONE: i128 = 1_000_000_000;

/// The largest amount, in billionths.
const MAX: i128 = (i64::MAX as i128) * ONE;

impl Quantity {
    /// The amount in billionths of one.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    fn read(text: &str) -> Option<Self> {
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at_checked(end)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + part.len() == 0 || part.contains('.') {
            return None;
        }
        let (base, power) = scale(suffix)?;
        let digits = || whole.bytes().chain(part.bytes()).map(|digit| digit - b'0');
        let nanos = if base == 2 {
            binary(digits(), part.len(), power)
        } else {
            // The place of the last digit, counted in powers of ten from a billionth.
            let shift = power
                .saturating_add(9)
                .saturating_sub(i32::try_from(part.len()).ok()?);
            decimal(digits(), shift)
        };
        let nanos = nanos.min(MAX);
        Some(Self {
            nanos: if is_negative { -nanos } else { nanos },
        })
    }
}

/// The base and the power of a suffix.
fn scale(suffix: &str) -> Option<(u8, i32)> {
    let known = match suffix {
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "" => (10, 0),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (2, 10),
        "Mi" => (2, 20),
        "Gi" => (2, 30),
        "Ti" => (2, 40),
        "Pi" => (2, 50),
        "Ei" => (2, 60),
        _ => {
            let power = suffix.strip_prefix(['e', 'E'])?;
            let digits = power.strip_prefix(['+', '-']).unwrap_or(power);
            if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            return Some((10, power.parse().ok()?));
        }
    };
    Some(known)
}

/// Digits times ten to the power of `shift`, rounded up, at most a little over the largest amount.
fn decimal(digits: impl Iterator<Item = u8> + Clone, shift: i32) -> i128 {
    let length = i32::try_from(digits.clone().count()).unwrap_or(i32::MAX);
    let mut value: i128 = 0;
    let mut is_rest = false;
    for (index, digit) in (0_i32..).zip(digits) {
        // The power of ten of this digit.
        let place = shift.saturating_add(length.saturating_sub(1).saturating_sub(index));
        if place >= 0 {
            value = value.saturating_mul(10).saturating_add(digit.into());
        } else {
            is_rest |= digit > 0;
        }
    }
    let mut left = shift;
    while left > 0 && value > 0 && value <= MAX {
        value = value.saturating_mul(10);
        left -= 1;
    }
    value.saturating_add(is_rest.into())
}

/// Digits, of which the last `part` are behind the point, times two to the power of `power`, in billionths rounded up.
fn binary(digits: impl Iterator<Item = u8> + Clone, part: usize, power: i32) -> i128 {
    let count = digits.clone().count();
    let factor = 2_i128.saturating_pow(power.unsigned_abs()) * ONE;
    let whole = digits
        .clone()
        .take(count - part)
        .fold(0_i128, |sum, digit| {
            sum.saturating_mul(10).saturating_add(digit.into())
        });
    let (mut value, mut is_rest, mut place) = (whole.saturating_mul(factor), false, factor);
    for digit in digits.skip(count - part) {
        // Exact as long as the place can be divided by ten: nine digits and more, as 2 to the power of 10 is in it.
        is_rest |= place % 10 != 0 && digit > 0;
        place /= 10;
        value = value.saturating_add(place.saturating_mul(digit.into()));
        is_rest |= place == 0 && digit > 0;
    }
    value.saturating_add(is_rest.into())
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Error::new(
                ErrorKind::InvalidInput,
                format!("read `{}` as a quantity", shown.escape_debug()),
            )
            .with_hint("write a number with one of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or none behind it, such as `500m` or `2Gi`")
        })
    }
}

impl fmt::Display for Quantity {
    /// A decimal number of ones, exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let (whole, part) = (
            self.nanos.unsigned_abs() / 1_000_000_000,
            self.nanos.unsigned_abs() % 1_000_000_000,
        );
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let part = format!("{part:09}");
        write!(f, "{sign}{whole}.{}", part.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(text: &str) -> i128 {
        text.parse::<Quantity>().unwrap().nanos()
    }

    #[test]
    fn known_amounts() {
        let cases = [
            ("0", 0),
            ("100m", ONE / 10),
            ("1Gi", 1024 * 1024 * 1024 * ONE),
            ("1e3", 1000 * ONE),
            ("1E3", 1000 * ONE),
            ("1E", 1_000_000_000_000_000_000 * ONE),
            ("1.5", ONE + ONE / 2),
            ("1.5Gi", 1536 * 1024 * 1024 * ONE),
            (".5k", 500 * ONE),
            ("5.", 5 * ONE),
            ("+1u", 1000),
            ("-1n", -1),
            ("0.1n", 1),
            ("1e-10", 1),
            ("12e-3", 12_000_000),
            ("9Ei", MAX),
            ("1e300", MAX),
            ("0e999999", 0),
            ("0.1Ki", 102_400_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity() {
        for text in [
            "",
            "m",
            "1GB",
            "1 Gi",
            "1gi",
            "1K",
            "--1",
            "1.2.3",
            ".",
            "e3",
            "1e",
            "1e1.5",
            "1mi",
            "0x10",
            "1_000",
            "٣",
            "1e99999999999",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn near_ones_do_not_panic_either(text in "[+-]?[0-9.]{0,60}([eE][+-]?[0-9]{0,12}|[A-Za-z]{0,2})") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn what_is_shown_is_read_again(nanos in -MAX..=MAX) {
            let quantity = Quantity { nanos };
            prop_assert_eq!(quantity.to_string().parse::<Quantity>().unwrap(), quantity);
        }

        #[test]
        fn thousand_of_one_are_one_of_the_next(number in 0_u32..1_000_000) {
            for (small, large) in [("n", "u"), ("u", "m"), ("m", ""), ("", "k"), ("k", "M"), ("M", "G")] {
                prop_assert_eq!(nanos(&format!("{number}000{small}")), nanos(&format!("{number}{large}")));
            }
            for (small, large) in [("", "Ki"), ("Ki", "Mi"), ("Mi", "Gi"), ("Gi", "Ti")] {
                let times = u64::from(number) * 1024;
                prop_assert_eq!(nanos(&format!("{times}{small}")), nanos(&format!("{number}{large}")));
            }
        }

        #[test]
        fn order_is_that_of_numbers(a in 0_i64..1_000_000_000, b in 0_i64..1_000_000_000) {
            let read = |number: i64| format!("{number}m").parse::<Quantity>().unwrap();
            prop_assert_eq!(a.cmp(&b), read(a).cmp(&read(b)));
        }
    }
}
