//! References of images, as `github.com/distribution/reference` reads them: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`.

/// What is wrong with a reference.
pub(in crate::validate) fn wrong(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("is empty");
    }
    if text.contains("://") {
        return Some("begins like a URL: leave `SCHEME://` out");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Some("has something else than `ALGORITHM:HEX` after `@`");
    }
    // A colon before the last slash is that of a port.
    let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest.get(name_end..).and_then(|last| last.find(':')) {
        Some(colon) => (
            rest.get(..name_end + colon).unwrap_or_default(),
            rest.get(name_end + colon + 1..),
        ),
        None => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Some("has an illegal tag");
    }
    let path = match name.split_once('/') {
        Some((host, path)) if is_host_like(host) => {
            if !is_host(host) {
                return Some("has an illegal host");
            }
            path
        }
        _ => name,
    };
    if name.len() > 255 {
        return Some("has more than 255 characters before the tag");
    }
    if path.chars().any(char::is_uppercase) {
        return Some("has upper-case letters in its name");
    }
    path.split('/').any(|part| !is_part(part)).then_some(
        "is none: a name has lower-case letters, digits, and `.`, `_` or `-` between them",
    )
}

/// The first part is a host when it cannot be the name of a user.
fn is_host_like(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.chars().any(char::is_uppercase)
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_port = port
        .is_none_or(|port| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()));
    let is_v6 = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .is_some_and(|name| name.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'));
    let is_name = name.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    is_port && (is_v6 || is_name)
}

/// Letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [part.bytes().next(), part.bytes().last()];
    if !ends.iter().all(|end| end.is_some_and(is_word)) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || b".-".contains(&byte))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let length = match algorithm {
        "sha256" => hex.len() == 64,
        "sha512" => hex.len() == 128,
        _ => hex.len() >= 32,
    };
    let is_name = algorithm.starts_with(|first: char| first.is_ascii_alphabetic())
        && algorithm
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte));
    is_hex && length && is_name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let right = [
            "nginx",
            "nginx:1.27",
            "library/nginx:1.27-alpine",
            "quay.io/a/b_c/d__e:V1",
            "localhost:5000/x",
            "[::1]:5000/x:y",
            "Registry/x",
            "host.example:443/a-b--c.d/e",
        ];
        for text in right {
            assert_eq!(wrong(text), None, "{text}");
            assert_eq!(wrong(&format!("{text}@{digest}")), None, "{text}");
        }
        for text in [
            "",
            " nginx",
            "nginx ",
            "Nginx",
            "nginx:",
            "nginx:a b",
            "nginx@sha256:00",
            "a//b",
            "a/",
            "/a",
            "https://host.example/a",
            "a..b",
            "a_-b",
            "nginx:-x",
            "host.:5000/x",
            "host.example:x/a",
            "a@b@c",
            "nginx:latest:1",
            "${IMAGE}",
        ] {
            assert!(wrong(text).is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = wrong(&text);
        }

        #[test]
        fn plain_ones_are_right(host in "[a-z]{1,8}\\.[a-z]{2,3}", name in "[a-z0-9]{1,9}(/[a-z0-9]{1,9}){0,3}", tag in "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20}") {
            let text = format!("{host}/{name}:{tag}");
            prop_assert_eq!(wrong(&text), None);
        }
    }
}
