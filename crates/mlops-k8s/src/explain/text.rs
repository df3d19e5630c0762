//! Text from a cluster is anybody's text: it may hold what moves a terminal's cursor.

/// How many characters of a message are kept.
const LONGEST: usize = 1_000;

/// The text on one line, without terminal escapes, control characters and marks that turn the direction of writing.
pub(crate) fn clean(text: &str) -> String {
    bounded(text, LONGEST)
}

/// As [`clean`], with at most `longest` characters; a cut is shown by `…`.
pub(crate) fn bounded(text: &str, longest: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(longest));
    let mut count = 0;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let character = match character {
            '\u{1b}' | '\u{9b}' | '\u{9d}' | '\u{90}' => {
                skip_escape(character, &mut characters);
                continue;
            }
            '\n' | '\r' | '\t' => ' ',
            other if other.is_control() || turns_direction(other) => continue,
            other => other,
        };
        if character == ' ' && (kept.is_empty() || kept.ends_with(' ')) {
            continue;
        }
        if count == longest {
            kept.push('…');
            return kept;
        }
        kept.push(character);
        count += 1;
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// Characters that are not seen and change how others are: <https://www.unicode.org/reports/tr9/>.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Leaves out the rest of an escape sequence (ECMA-48): a control sequence ends with `@` to `~`, a string with BEL or ST.
fn skip_escape(first: char, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let opener = if first == '\u{1b}' {
        match rest.next() {
            Some(opener) => opener,
            None => return,
        }
    } else {
        first
    };
    match opener {
        '[' | '\u{9b}' => {
            while let Some(next) = rest.next_if(|next| !next.is_control()) {
                if matches!(next, '@'..='~') {
                    break;
                }
            }
        }
        ']' | 'P' | '^' | '_' | 'X' | '\u{9d}' | '\u{90}' => skip_string(rest),
        _ => {}
    }
}

fn skip_string(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(next) = rest.next() {
        if matches!(next, '\u{7}' | '\u{9c}') {
            return;
        }
        if next == '\u{1b}' {
            rest.next_if_eq(&'\\');
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_go_and_words_stay() {
        assert_eq!(clean("a\u{1b}[31mred\u{1b}[0m b"), "ared b");
        assert_eq!(clean("x\u{1b}]0;title\u{7}y\r\nz"), "xy z");
        assert_eq!(clean("x\u{1b}]8;;http://e\u{1b}\\link"), "xlink");
        assert_eq!(clean("ab\u{202e}cd\u{0}"), "abcd");
        assert_eq!(bounded("abcdef", 3), "abc…");
    }

    proptest! {
        #[test]
        fn nothing_that_moves_a_cursor_is_left(text in ".*\u{1b}?[\\[\\]P]?.*") {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.chars().any(char::is_control));
            prop_assert_eq!(clean(&cleaned), cleaned.clone());
        }
    }
}
