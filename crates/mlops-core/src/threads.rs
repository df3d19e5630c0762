//! Pure work on very many things, side by side.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many things are given out at once: few enough that no thread is left with all the slow ones.
const SHARE: usize = 8;

/// With fewer things starting threads costs more than it brings.
const MANY: usize = 64;

/// The results of `work` on each of `items`, in their order. Of many items several threads do their part.
///
/// ```
/// let lengths = mlops_core::threads::map(&["a", "bb", "ccc"], |text| text.len());
/// assert_eq!(lengths, [1, 2, 3]);
/// ```
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if items.len() < MANY || cores < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let first = next.fetch_add(SHARE, Ordering::Relaxed);
            let Some(rest) = items.get(first..) else {
                return done;
            };
            if rest.is_empty() {
                return done;
            }
            let share: Vec<R> = rest.iter().take(SHARE).map(&work).collect();
            done.push((first, share));
        }
    };
    let mut shares = std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores.min(8)).map(|_| scope.spawn(some)).collect();
        let mut shares = some();
        for other in others {
            match other.join() {
                Ok(more) => shares.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        shares
    });
    shares.sort_unstable_by_key(|(first, _)| *first);
    shares.into_iter().flat_map(|(_, share)| share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0, 1, 63, 64, 65, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = map(&items, |item| {
                if item % 7 == 0 {
                    std::thread::yield_now();
                }
                item * 2
            });
            assert!(doubled.iter().copied().eq((0..count).map(|item| item * 2)));
        }
    }

    #[test]
    #[should_panic(expected = "item 500")]
    fn a_panic_is_not_lost() {
        let items: Vec<usize> = (0..1000).collect();
        map(&items, |item| assert!(*item != 500, "item {item}"));
    }
}
