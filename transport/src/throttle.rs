//! Keeps strangers from filling the log: of messages that anyone on the network can cause, only so many a second are written.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Messages of one kind that are written in one [`WINDOW`].
const MESSAGES_MAX: u32 = 10;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts the messages of one kind.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    inner: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    since: Option<Instant>,
    written: u32,
    withheld: u64,
}

impl Throttle {
    /// Whether a message may be written at this time; if so, how many before it were not.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        let mut counted = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            counted.since = Some(now);
            counted.written = 0;
        }
        if counted.written == MESSAGES_MAX {
            counted.withheld += 1;
            return None;
        }
        counted.written += 1;
        Some(std::mem::take(&mut counted.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_its_size_is_told_later() {
        let throttle = Throttle::default();
        let begin = Instant::now();
        for _ in 0..MESSAGES_MAX {
            assert_eq!(throttle.pass(begin), Some(0));
        }
        for _ in 0..500 {
            assert_eq!(throttle.pass(begin + WINDOW / 2), None);
        }
        assert_eq!(throttle.pass(begin + WINDOW), Some(500));
        assert_eq!(throttle.pass(begin + WINDOW), Some(0));
    }
}
