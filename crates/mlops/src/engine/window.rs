//! How many steps one provider has under way: more while its system keeps up, fewer when it asks for that.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::Kind;

/// Where every window begins.
const FIRST: f64 = 16.0;
/// Where it ends.
const WIDEST: f64 = 128.0;
/// A step this much slower than its kind usually is says that the system is busy.
const SLOW: u32 = 2;

/// How a step ended, as far as the window is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The system answered.
    Answered,
    /// The system refused for now: 429, 503, a lost connection.
    Pressed,
}

/// Additive increase, multiplicative decrease, as TCP does it; latency stops the increase.
#[derive(Debug, Clone)]
pub(super) struct Window {
    limit: f64,
    under_way: usize,
    usual: BTreeMap<Kind, Duration>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            limit: FIRST,
            under_way: 0,
            usual: BTreeMap::new(),
        }
    }
}

impl Window {
    /// Whether another step may start.
    pub(super) fn has_room(&self) -> bool {
        f64::from(u32::try_from(self.under_way).unwrap_or(u32::MAX)) < self.limit.floor()
    }

    /// A step starts.
    pub(super) fn start(&mut self) {
        self.under_way += 1;
    }

    /// A step ended.
    pub(super) fn end(&mut self, kind: &Kind, took: Duration, sign: Sign) {
        self.under_way = self.under_way.saturating_sub(1);
        let usual = *self.usual.entry(kind.clone()).or_insert(took);
        match sign {
            Sign::Pressed => self.limit = (self.limit / 2.0).max(1.0),
            Sign::Answered => {
                if took <= usual * SLOW {
                    self.limit = (self.limit + 1.0 / self.limit).min(WIDEST);
                }
                self.usual.insert(kind.clone(), (usual * 7 + took) / 8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(window: &Window) -> usize {
        let mut window = window.clone();
        window.under_way = 0;
        std::iter::from_fn(|| window.has_room().then(|| window.start())).count()
    }

    #[test]
    fn it_grows_while_answers_are_quick_and_halves_under_pressure() {
        let kind = Kind::new("thing");
        let mut window = Window::default();
        assert_eq!(room(&window), 16);
        for _ in 0..2000 {
            window.start();
            window.end(&kind, Duration::from_millis(10), Sign::Answered);
        }
        let wide = room(&window);
        assert!(wide > 50, "{wide}");
        for _ in 0..100 {
            window.start();
            window.end(&kind, Duration::from_millis(40), Sign::Answered);
        }
        let calm = room(&window);
        window.end(&kind, Duration::from_millis(10), Sign::Pressed);
        assert!(room(&window) <= calm / 2 + 1);
        for _ in 0..20 {
            window.end(&kind, Duration::from_millis(10), Sign::Pressed);
        }
        assert_eq!(room(&window), 1);
    }
}
