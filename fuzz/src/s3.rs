use mlops_core::SecretText;
use mlops_storage::s3::fuzz::{buckets, keys, refused};

/// An answer of the admin interface is read or refused, and an error never holds a piece of it: there are secrets in it.
pub fn s3_admin(text: &str) {
    let secret = SecretText::new(text);
    match keys(&secret) {
        // Each takes a tag at least, so the list cannot outgrow the text.
        Ok(list) => assert!(list.len() <= text.len()),
        Err(error) => is_silent(&error, text),
    }
    match buckets(&secret) {
        Ok(list) => assert!(list.len() <= text.len()),
        Err(error) => is_silent(&error, text),
    }
    for status in [400, 403, 404, 409, 500, 503] {
        let (_code, error) = refused(status, &secret);
        assert!(!error.to_string().is_empty());
        // Said by the server, so as long as it likes; but not longer than what it said.
        let longest = error.causes().iter().map(String::len).max();
        assert!(
            longest.unwrap_or_default() <= 8 * text.len() + 400,
            "{error:?}"
        );
    }
}

fn is_silent(error: &mlops_core::Error, text: &str) {
    let said = format!("{error:?} {error} {:?}", error.causes());
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        assert!(word.len() < 16 || !said.contains(word), "{said}");
    }
}
