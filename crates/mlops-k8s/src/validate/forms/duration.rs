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

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = is_duration(&text);
        }
    }
}
