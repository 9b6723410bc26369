//! The latest events, numbered, with the names of the rules that decided.

use std::{collections::VecDeque, num::NonZeroU32, sync::Arc};

use dataplane::{FlowEvent, FlowEvents, Reason};

/// Events that are kept: about two megabytes.
pub(crate) const EVENTS_KEPT_MAX: usize = 8_192;

/// Generations whose rules are known by name: the live one, and the one before it, whose last events are still on their way.
const GENERATIONS_NAMED_MAX: usize = 2;

/// Two clocks at one moment: the kernel stamps events by the monotonic one, people read the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// Milliseconds since 1970.
    pub(crate) wall_ms: u64,
    /// Nanoseconds of the monotonic clock.
    pub(crate) monotonic_ns: u64,
}

impl Clock {
    fn wall_ms_of(&self, at_ns: u64) -> u64 {
        self.wall_ms.saturating_sub(self.monotonic_ns.saturating_sub(at_ns) / 1_000_000)
    }
}

/// Whose rules the events of a generation speak of.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) revision: u64,
    /// By the index that events carry.
    pub(super) rules: Arc<[String]>,
    pub(super) log_sampling: NonZeroU32,
}

/// An event that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Its number: 1 is the first since the agent started.
    pub(crate) sequence: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What the data path told.
    pub(crate) event: FlowEvent,
    /// The revision of its generation, and the rules of the destination's ingress and of the source's egress by name if policy was
    /// asked; nothing while the generation is not known.
    pub(crate) decided: Option<Decided>,
}

/// Who decided.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    /// The revision of the generation.
    pub(crate) revision: u64,
    /// The rule of the destination's ingress.
    pub(crate) ingress: Option<String>,
    /// The rule of the source's egress.
    pub(crate) egress: Option<String>,
}

/// Some of the events.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Oldest first.
    pub(crate) events: Vec<Kept>,
    /// The number after which the next page begins.
    pub(crate) next_since: u64,
    /// Events between the number that was asked for and the first that is still there.
    pub(crate) missed: u64,
}

/// What has been counted since the agent started; `lost` by the data path, since its maps were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Taken from the data path.
    pub(crate) taken: u64,
    /// Not told by the data path: too many at once, or nobody had taken the ones before.
    pub(crate) lost: u64,
    /// Left out by `logSampling`.
    pub(crate) sampled_out: u64,
    /// Fallen out of memory to make room for newer ones.
    pub(crate) forgotten: u64,
}

/// The latest events.
#[derive(Debug, Default)]
pub(super) struct Ring {
    kept: VecDeque<Kept>,
    numbered: u64,
    counts: Counts,
    generations: VecDeque<Generation>,
    /// Logged events that sampling has left out since the last one it kept.
    passed_over: u32,
}

impl Ring {
    /// Takes what the data path told, oldest first.
    pub(super) fn keep(&mut self, taken: FlowEvents, clock: Clock) {
        self.counts.taken += taken.events.len() as u64;
        self.counts.lost = taken.lost;
        for event in taken.events {
            if self.is_sampled_out(&event) {
                self.counts.sampled_out += 1;
                continue;
            }
            if self.kept.len() == EVENTS_KEPT_MAX {
                self.kept.pop_front();
                self.counts.forgotten += 1;
            }
            self.numbered += 1;
            let decided = self.generation(event.generation).map(|generation| generation.decided(&event));
            let at_ms = clock.wall_ms_of(event.at_ns);
            self.kept.push_back(Kept { sequence: self.numbered, at_ms, event, decided });
        }
    }

    /// Only what a rule wants logged is sampled: what is refused or observed is what an operator looks for.
    fn is_sampled_out(&mut self, event: &FlowEvent) -> bool {
        if !event.reason.passes() || event.reason == Reason::Observed {
            return false;
        }
        let of = self.generation(event.generation).or(self.generations.back());
        let one_of = of.map_or(1, |generation| generation.log_sampling.get());
        let turn = self.passed_over % one_of;
        self.passed_over = (turn + 1) % one_of;
        turn != 0
    }

    fn generation(&self, number: u32) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.number == number)
    }

    /// Names a generation, and with it those of its events that came before.
    pub(super) fn name(&mut self, named: Generation) {
        for kept in self.kept.iter_mut().filter(|kept| kept.event.generation == named.number && kept.decided.is_none())
        {
            kept.decided = Some(named.decided(&kept.event));
        }
        // What was prepared for the same number and never went live has no events.
        self.generations.retain(|generation| generation.number != named.number);
        self.generations.push_back(named);
        while self.generations.len() > GENERATIONS_NAMED_MAX {
            self.generations.pop_front();
        }
    }

    /// See [`FlowLog::page`](super::FlowLog::page). Numbers begin anew with the agent: one that is not reached yet is of an agent before.
    pub(super) fn page(&self, since: Option<u64>, limit: usize) -> Page {
        let since = since.map(|since| if since > self.numbered { 0 } else { since });
        let first = self.numbered + 1 - self.kept.len() as u64;
        let after = since.unwrap_or(self.numbered.saturating_sub(limit as u64)).max(first - 1);
        let skipped = usize::try_from(after + 1 - first).unwrap_or(usize::MAX);
        let events: Vec<Kept> = self.kept.iter().skip(skipped).take(limit).cloned().collect();
        Page {
            next_since: events.last().map_or(after, |last| last.sequence),
            missed: since.map_or(0, |since| after - since),
            events,
        }
    }

    /// The number of the newest event, 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        self.numbered
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

impl Generation {
    fn decided(&self, event: &FlowEvent) -> Decided {
        let name = |index: u32| {
            let asked = is_of_policy(event.reason);
            asked.then(|| self.rules.get(index as usize).cloned()).flatten()
        };
        Decided { revision: self.revision, ingress: name(event.ingress_rule), egress: name(event.egress_rule) }
    }
}

/// Whether policy was asked about a packet with this reason; if not, the rules of its event mean nothing.
fn is_of_policy(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Allowed
            | Reason::Observed
            | Reason::Reply
            | Reason::Established
            | Reason::PickedUp
            | Reason::Kept
            | Reason::Quoted
            | Reason::FragmentFollows
            | Reason::Denied
            | Reason::Tightened
            | Reason::RateLimited
    )
}

#[cfg(test)]
mod tests;
