//! How a platform's things are told from everybody else's.

use mlops_core::{Digest, PlatformName};

/// The key of the tag that marks a bucket.
pub(crate) const TAG: &str = "mlops-platform";

/// The mark that a platform leaves on what it makes, in the form that each system can hold.
///
/// ```
/// use mlops_storage::Mark;
///
/// let mark = Mark::of(&"demo".parse()?);
/// assert_eq!(mark.comment(), "mlops:demo");
/// assert_eq!(mark.tag(), ("mlops-platform", "demo"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    platform: String,
    comment: String,
    project: u32,
}

impl Mark {
    /// The mark of a platform.
    pub fn of(platform: &PlatformName) -> Self {
        let comment = format!("mlops:{platform}");
        let digest = Digest::of_bytes(comment.as_bytes());
        let start = digest.as_str().get(..8).unwrap_or_default();
        let number = u32::from_str_radix(start, 16).unwrap_or_default();
        Self {
            platform: platform.as_str().to_owned(),
            // The sign bit stays clear, and the bit below is set: far above what people number by hand.
            project: (number & 0x3fff_ffff) | 0x4000_0000,
            comment,
        }
    }

    /// The comment on a role or database.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Key and value of the tag on a bucket.
    pub fn tag(&self) -> (&'static str, &str) {
        (TAG, &self.platform)
    }

    /// The project number on a key: gateways keep no text with a key, only numbers.
    pub fn project(&self) -> u32 {
        self.project
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_fit_a_signed_field() {
        let numbers: std::collections::BTreeSet<u32> = (0..2000)
            .map(|index| Mark::of(&format!("p{index}").parse().unwrap()).project())
            .collect();
        assert_eq!(numbers.len(), 2000);
        assert!(numbers.iter().all(|number| i32::try_from(*number).is_ok()));
        assert!(numbers.iter().all(|number| *number >= 1 << 30));
    }
}
