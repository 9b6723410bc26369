//! What the data path tells of single packets: taken out of the kernel regularly, the latest kept in memory for the API.
//!
//! The kernel bounds what it tells and counts what it could not; here the same: so many events are kept, and what falls out is
//! counted. Sampling happens here and not in the kernel, so that what it leaves out is known exactly.

mod drain;
mod ring;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dataplane::FlowEvents;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::ring::Ring;
pub(crate) use self::{
    drain::drain,
    ring::{Clock, Counts, Kept, Page},
};
use super::compiled::Compiled;

/// The latest flow events of this node.
#[derive(Debug)]
pub(crate) struct FlowLog {
    ring: Mutex<Ring>,
    /// The number of the newest event, for those who wait for one.
    newest: watch::Sender<u64>,
    /// The end of the agent: nobody waits beyond it.
    stop: CancellationToken,
}

impl FlowLog {
    /// No events yet.
    #[must_use]
    pub(crate) fn new(stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { ring: Mutex::default(), newest: watch::Sender::new(0), stop })
    }

    /// Says whose rules the events of a generation speak of; before it goes live, so that no event comes first.
    pub(crate) fn name(&self, generation: u32, compiled: &Compiled) {
        self.ring().name(ring::Generation {
            number: generation,
            revision: compiled.target.revision,
            rules: compiled.rule_names.clone(),
            log_sampling: compiled.model.settings.log_sampling,
        });
    }

    /// The events after number `since`, oldest first, or the latest if none is given; at most `limit`.
    #[must_use]
    pub(crate) fn page(&self, since: Option<u64>, limit: usize) -> Page {
        self.ring().page(since, limit)
    }

    /// The same, but an empty page only after `within`, or at the end of the agent.
    pub(crate) async fn wait_for_page(&self, since: Option<u64>, limit: usize, within: Duration) -> Page {
        let mut newest = self.newest.subscribe();
        let waiting = async {
            loop {
                newest.mark_unchanged();
                let page = self.page(since, limit);
                if !page.events.is_empty() || newest.changed().await.is_err() {
                    return page;
                }
            }
        };
        tokio::select! {
            page = waiting => page,
            () = tokio::time::sleep(within) => self.page(since, limit),
            () = self.stop.cancelled() => self.page(since, limit),
        }
    }

    /// What has been counted.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        self.ring().counts()
    }

    fn keep(&self, taken: FlowEvents, clock: Clock) {
        let newest = {
            let mut ring = self.ring();
            ring.keep(taken, clock);
            ring.newest()
        };
        self.newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
