//! How long to wait before something that died is started again.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// Whoever ran this long starts again at the first pause.
const STABLE: Duration = Duration::from_mins(1);

/// Doubling pauses from 0.2 s to 30 s.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// The pause after something died that had run for `lasted`.
    pub(super) fn after(&mut self, lasted: Duration) -> Duration {
        if lasted >= STABLE {
            self.deaths = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.deaths.min(16)).min(LONGEST);
        self.deaths = self.deaths.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_stability_resets_them() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..10)
            .map(|_| backoff.after(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(
            pauses,
            [
                200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000
            ]
        );
        assert_eq!(backoff.after(STABLE).as_millis(), 200);
        assert_eq!(backoff.after(Duration::ZERO).as_millis(), 400);
    }
}
