//! The forms of texts that Kubernetes understands, each with its own small reader.

pub(super) mod cron;
pub(super) mod duration;
pub(super) mod image;
pub(super) mod names;
pub(super) mod quantity;

/// Whether a text is base64 in the usual alphabet with padding. Go skips the ends of lines in it, and so do we.
pub(super) fn is_base64(text: &str) -> bool {
    let bytes = || text.bytes().filter(|byte| !b"\r\n".contains(byte));
    let padding = bytes().rev().take_while(|byte| *byte == b'=').count();
    let length = bytes().count();
    length % 4 == 0
        && padding <= 2
        && bytes()
            .take(length - padding)
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_padding_and_one_alphabet() {
        for right in ["", "YQ==", "YWI=", "YWJj", "YWJj\nYWI=", "+/+/"] {
            assert!(is_base64(right), "{right}");
        }
        for wrong in ["YQ", "YQ=", "Y===", "a b=", "-_-_", "geheim", "=YQ="] {
            assert!(!is_base64(wrong), "{wrong}");
        }
    }
}
