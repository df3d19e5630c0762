//! Names, labels and annotations, as `apimachinery/pkg/util/validation` reads them.

/// A rule for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::validate) enum NameRule {
    /// A DNS label of RFC 1123.
    Label,
    /// A DNS label of RFC 1035: it begins with a letter.
    OldLabel,
    /// DNS labels with dots between them.
    Subdomain,
    /// Anything that can be one step of a URL.
    Step,
}

impl NameRule {
    pub(in crate::validate) fn allows(self, name: &str) -> bool {
        match self {
            Self::Label => is_label(name),
            Self::OldLabel => {
                is_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase())
            }
            Self::Subdomain => is_subdomain(name),
            Self::Step => !matches!(name, "" | "." | "..") && !name.contains(['/', '%']),
        }
    }

    /// The rule in words.
    pub(in crate::validate) fn text(self) -> &'static str {
        match self {
            Self::Label => {
                "use at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends"
            }
            Self::OldLabel => {
                "use at most 63 lower-case letters, digits and `-`, with a letter first and a letter or digit last"
            }
            Self::Subdomain => {
                "use at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit on both sides of each dot and at both ends"
            }
            Self::Step => "leave `/` and `%` out, and do not name it `.` or `..`",
        }
    }
}

/// A DNS label of RFC 1123.
pub(in crate::validate) fn is_label(text: &str) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 63
        && text.as_bytes().first().is_some_and(is_end)
        && text.as_bytes().last().is_some_and(is_end)
        && text.bytes().all(|byte| is_end(&byte) || byte == b'-')
}

/// DNS labels with dots between them, at most 253 characters. The labels may be longer than 63.
pub(in crate::validate) fn is_subdomain(text: &str) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 253
        && text.split('.').all(|part| {
            part.as_bytes().first().is_some_and(is_end)
                && part.as_bytes().last().is_some_and(is_end)
                && part.bytes().all(|byte| is_end(&byte) || byte == b'-')
        })
}

/// The part of a qualified name after the `/`, and a label's value that is not empty.
fn is_word(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= 63
        && ends
            .iter()
            .all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A label's key, or the name of a resource: `[DOMAIN/]NAME`.
pub(in crate::validate) fn is_qualified(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_word(name),
        None => is_word(text),
    }
}

/// A label's value.
pub(in crate::validate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_word(text)
}

/// The name of a port of a container: RFC 6335.
pub(in crate::validate) fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_label(text)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.contains("--")
}

/// A key of a `ConfigMap` or `Secret`.
pub(in crate::validate) fn is_data_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text != "."
        && !text.starts_with("..")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The name of an environment variable: since Kubernetes 1.32 every printable ASCII character but `=`.
pub(in crate::validate) fn is_variable(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_every_rule() {
        assert!(NameRule::Label.allows("0-a"));
        assert!(!NameRule::OldLabel.allows("0-a"));
        assert!(NameRule::OldLabel.allows("a-0"));
        assert!(NameRule::Subdomain.allows("a.0-b.c"));
        assert!(NameRule::Step.allows("system:node:A b"));
        for name in ["", "-a", "a-", "A", "a_b", "a.b", "é", &"a".repeat(64)] {
            assert!(!NameRule::Label.allows(name), "{name}");
        }
        for name in ["", ".", "a..b", "a.-b", "A.b", "a.b."] {
            assert!(!NameRule::Subdomain.allows(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "50%"] {
            assert!(!NameRule::Step.allows(name), "{name}");
        }
    }

    #[test]
    fn labels_keys_ports_and_variables() {
        for key in ["app", "app.kubernetes.io/name", "A_b.c-9", "x.y/Z"] {
            assert!(is_qualified(key), "{key}");
        }
        for key in ["", "/a", "a/", "a/b/c", "Domain/x", "-a", "a b", "a:b"] {
            assert!(!is_qualified(key), "{key}");
        }
        assert!(is_label_value("") && is_label_value("v1.2_x") && !is_label_value("a b"));
        assert!(is_port_name("http") && is_port_name("8-a"));
        for name in ["80", "a--b", "HTTP", "sixteen-letters-", "abcdefghijklmnop"] {
            assert!(!is_port_name(name), "{name}");
        }
        assert!(is_data_key("ca.crt") && is_data_key(".x") && !is_data_key("..x"));
        assert!(!is_data_key("a/b") && !is_data_key("") && !is_data_key("."));
        assert!(is_variable("A B") && is_variable("1") && !is_variable("a=b"));
        assert!(!is_variable("") && !is_variable("é"));
    }

    proptest! {
        #[test]
        fn a_label_is_a_subdomain_and_a_word(name in "[a-zA-Z0-9._-]{0,70}") {
            if is_label(&name) {
                prop_assert!(is_subdomain(&name) && is_qualified(&name) && is_label_value(&name));
            }
        }

        #[test]
        fn no_text_makes_it_panic(name in ".*") {
            let _ = is_subdomain(&name) | is_qualified(&name) | is_port_name(&name)
                | is_data_key(&name) | is_variable(&name);
        }
    }
}
