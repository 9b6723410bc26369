//! Takes flow events out of the data path before it has to drop them.

use std::{sync::Arc, time::Duration};

use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Clock, FlowLog};
use crate::agent::{
    enforce::{EnforcerGone, EnforcerHandle},
    site::now_ms,
};

/// How often events are taken, and so how often a processor may tell anew.
const DRAIN_EVERY: Duration = Duration::from_millis(250);

/// Events that are taken at a stretch, so that the data path's thread is free again within a millisecond.
const BATCH_EVENTS_MAX: usize = 4_096;

/// Batches of one round: more than the buffer of the kernel holds. What comes faster is lost there, and counted.
const BATCHES_MAX: usize = 8;

/// Runs until `stop`, or until the data path's thread is gone.
pub(crate) async fn drain(log: Arc<FlowLog>, enforcer: EnforcerHandle, stop: CancellationToken) {
    let mut every = interval(DRAIN_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(EnforcerGone) = round(&log, &enforcer).await {
            return;
        }
    }
}

async fn round(log: &FlowLog, enforcer: &EnforcerHandle) -> Result<(), EnforcerGone> {
    for _ in 0..BATCHES_MAX {
        let taken = enforcer.run(|enforcer| enforcer.flow_events(BATCH_EVENTS_MAX)).await?;
        let is_all = taken.events.len() < BATCH_EVENTS_MAX;
        log.keep(taken, now());
        if is_all {
            break;
        }
    }
    Ok(())
}

fn now() -> Clock {
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    Clock { wall_ms: now_ms(), monotonic_ns: u64::try_from(monotonic.as_nanos()).unwrap_or(u64::MAX) }
}
