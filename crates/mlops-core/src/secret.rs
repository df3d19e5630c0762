//! Secret text that cannot be printed, serialised or compared by accident.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A text that must not be seen: a password, a key, or anything built from one.
///
/// It has no `Display`, no `Serialize` and no `PartialEq`; `Debug` shows dots. Memory is cleared on drop.
///
/// ```
/// use mlops_core::SecretText;
///
/// let password = SecretText::new("hunter2");
/// assert_eq!(format!("{password:?}"), "SecretText(…)");
/// assert_eq!(password.expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself. Every call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether two secrets are the same text, in time that depends on their lengths only.
    pub fn is_same(&self, other: &Self) -> bool {
        let (left, right) = (self.expose().as_bytes(), other.expose().as_bytes());
        left.len() == right.len()
            && left
                .iter()
                .zip(right)
                .fold(0_u8, |difference, (a, b)| difference | (a ^ b))
                == 0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_and_comparison_works() {
        let one = SecretText::new("abc");
        assert!(!format!("{one:?}").contains("abc"));
        assert!(one.is_same(&SecretText::new("abc")));
        assert!(!one.is_same(&SecretText::new("abd")));
        assert!(!one.is_same(&SecretText::new("abcd")));
    }
}
