//! The pauses between attempts at a watch: somebody waits, so they stay short.

use std::time::Duration;

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(4);

/// Each twice as long as the one before, up to 4 s; the first again after a watch that told something.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_grow_to_four_seconds_and_begin_again() {
        let mut pauses = Pauses::default();
        let sum: Duration = pauses.by_ref().take(10).sum();
        assert!(sum < Duration::from_secs(30), "{sum:?}");
        assert_eq!(pauses.next(), Some(LONGEST));
        pauses.reset();
        assert_eq!(pauses.next(), Some(FIRST));
    }
}
