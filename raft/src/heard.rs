//! When this node last heard from whom it follows.
//!
//! With pre-vote a follower that is cut off keeps its term and goes on naming the leader that it last had. What it says
//! to others must not be older than what it has heard.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use identity::NodeId;

pub(crate) struct Heard {
    start: Instant,
    /// The node, and milliseconds since `start`, in one word: `millis << 16 | low bits of the node`.
    last: AtomicU64,
}

const NODE_BITS: u32 = 16;

impl Heard {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Takes note that a leader has spoken.
    pub(crate) fn note(&self, leader: NodeId) {
        self.last.store(self.millis() << NODE_BITS | low_bits(leader), Ordering::Relaxed);
    }

    /// Whether this leader has spoken within a time.
    pub(crate) fn within(&self, leader: NodeId, limit: Duration) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let silent = self.millis().saturating_sub(last >> NODE_BITS);
        last & ((1 << NODE_BITS) - 1) == low_bits(leader) && Duration::from_millis(silent) <= limit
    }

    /// From 1: zero is "never".
    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX >> NODE_BITS) + 1
    }
}

// Two members whose ids agree in these bits would be 65,536 admissions apart; the price is a late notice of silence.
fn low_bits(node: NodeId) -> u64 {
    node.get() & ((1 << NODE_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_speaker_counts() {
        let (one, two) = (NodeId::new(1).unwrap(), NodeId::new(2).unwrap());
        let heard = Heard::new();
        assert!(!heard.within(one, Duration::from_secs(1)));
        heard.note(one);
        assert!(heard.within(one, Duration::from_secs(1)));
        heard.note(two);
        assert!(!heard.within(one, Duration::from_secs(1)));
        assert!(heard.within(two, Duration::from_secs(1)));
    }
}
