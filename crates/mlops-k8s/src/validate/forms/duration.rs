//! Durations as Go reads them: `1h30m`, `300ms`, `-1.5h`.

/// Whether Go's `time.ParseDuration` would take the text.
pub(in crate::validate) fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let Some((number, after)) = end.and_then(|end| rest.split_at_checked(end)) else {
            return false;
        };
        let is_number = number.bytes().any(|byte| byte.is_ascii_digit())
            && number.bytes().filter(|byte| *byte == b'.').count() <= 1;
        let unit = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"]
            .iter()
            .find_map(|unit| after.strip_prefix(unit));
        match unit {
            Some(after) if is_number => rest = after,
            _ => return false,
        }
    }
    true
}

/// Whether the text has the format `duration` of a custom resource's schema: as Go reads it, or anywhere a number with a
/// unit behind it, such as `2 days`. This is `ParseDuration` in `k8s.io/kube-openapi/pkg/validation/strfmt/duration.go`.
pub(in crate::validate) fn is_spoken_duration(text: &str) -> bool {
    const UNITS: [(&[&str], &str); 8] = [
        (&["ns"], "nano"),
        (&["us", "µs"], "micro"),
        (&["ms"], "milli"),
        (&["s"], "sec"),
        (&["m"], "min"),
        (&["h", "hr"], "hour"),
        (&["d"], "day"),
        (&["w", "wk"], "week"),
    ];
    if is_duration(text) {
        return true;
    }
    let mut parts = text.split_inclusive(|c: char| c.is_ascii_digit());
    // What is before the first digit is no unit.
    parts.next();
    parts
        .filter(|part| !part.starts_with(|c: char| c.is_ascii_digit()))
        .chain(text.rsplit(|c: char| c.is_ascii_digit()).next())
        .any(|part| {
            let rest = part.trim_start();
            let end = rest.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ');
            let unit = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let unit = unit.to_lowercase();
            UNITS
                .iter()
                .any(|(short, long)| short.contains(&unit.as_str()) || unit.starts_with(long))
        })
        && text.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for right in ["0", "1s", "1h30m", "300ms", "-1.5h", ".5s", "1.s", "2us"] {
            assert!(is_duration(right), "{right}");
        }
        for wrong in ["", "-", "1", "1d", "1 h", "h", ".s", "1.2.3s", "1hm"] {
            assert!(!is_duration(wrong), "{wrong}");
        }
    }

    #[test]
    fn spoken_durations() {
        for right in [
            "1h",
            "1 day",
            "2 weeks",
            "3 Hours 5 min",
            "about 10sec",
            "1w",
        ] {
            assert!(is_spoken_duration(right), "{right}");
        }
        for wrong in ["", "soon", "day", "1", "1 fortnight", "day 1", "1 2"] {
            assert!(!is_spoken_duration(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = is_spoken_duration(&text);
        }
    }
}
