//! How many requests are in flight: more while the server keeps up, fewer when it says or shows that it does not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const START: f64 = 8.0;
const LARGEST: f64 = 32.0;
/// An answer that takes this much longer than the quickest ones is a sign of a queue.
const SLOW: f64 = 8.0;
/// Answers quicker than this are never a sign of trouble.
const QUICK: Duration = Duration::from_millis(250);
/// The window is cut once for all requests that met the same trouble.
const CALM: Duration = Duration::from_millis(500);

/// Additive increase, multiplicative decrease.
pub(super) struct Window(Mutex<State>);

struct State {
    size: f64,
    quickest: f64,
    paused_until: Option<Instant>,
    last_cut: Option<Instant>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            size: START,
            quickest: f64::MAX,
            paused_until: None,
            last_cut: None,
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another request may start beside so many.
    pub(super) fn has_room(&self, in_flight: usize) -> bool {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 32"
        )]
        let size = self.state().size as usize;
        in_flight < size
    }

    /// For how long nothing may start, because the server asked for that.
    pub(super) fn pause(&self) -> Option<Duration> {
        let until = self.state().paused_until?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// An answer came, after a time.
    pub(super) fn answered(&self, after: Duration) {
        let mut state = self.state();
        let seconds = after.as_secs_f64();
        // The quickest answer fades, so that one lucky answer does not count for ever.
        state.quickest = (state.quickest * 1.02).min(seconds.max(0.001));
        if after > QUICK && seconds > state.quickest * SLOW {
            state.cut(0.8);
        } else {
            // Doubles with each round until the first trouble, then one more a round.
            let step = if state.last_cut.is_none() {
                1.0
            } else {
                1.0 / state.size
            };
            state.size = (state.size + step).min(LARGEST);
        }
    }

    /// A request failed; the server may have said for how long to keep away.
    pub(super) fn failed(&self, keep_away: Option<Duration>) {
        let mut state = self.state();
        state.cut(0.5);
        if let Some(until) = keep_away.and_then(|pause| Instant::now().checked_add(pause)) {
            state.paused_until = state.paused_until.max(Some(until));
        }
    }
}

impl State {
    fn cut(&mut self, factor: f64) {
        if self.last_cut.is_none_or(|last| last.elapsed() > CALM) {
            self.size = (self.size * factor).max(1.0);
            self.last_cut = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_while_answers_come_and_shrinks_once_for_one_trouble() {
        let window = Window::new();
        assert!(window.has_room(7) && !window.has_room(8));
        for _ in 0..100 {
            window.answered(Duration::from_millis(5));
        }
        assert!(window.has_room(31) && !window.has_room(32));
        for _ in 0..32 {
            window.failed(None);
        }
        assert!(window.has_room(15) && !window.has_room(16));
        assert_eq!(window.pause(), None);
        window.failed(Some(Duration::from_mins(1)));
        assert!(window.pause().unwrap() > Duration::from_secs(58));
    }

    #[test]
    fn slow_answers_shrink_it() {
        let window = Window::new();
        for _ in 0..100 {
            window.answered(Duration::from_millis(5));
        }
        window.answered(Duration::from_secs(2));
        assert!(!window.has_room(26));
    }
}
