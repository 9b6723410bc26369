//! Limits of rules. A bucket is a credit of time: a token is worth the nanoseconds until the next one comes back.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use policy::image::{Bucket, LimitEntry};

use super::flows::Bounded;

/// What is left in one bucket, and when that was so.
#[derive(Debug, Clone, Copy)]
struct Level {
    credit_ns: u64,
    at_ns: u64,
}

/// `None`: nothing was ever taken.
type Filled = Option<Level>;

/// What is left of both limits of a rule or of a source.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    packets: Filled,
    connections: Filled,
}

/// What is enforced, and what the trial takes.
#[derive(Debug, Clone, Copy, Default)]
struct Buckets {
    enforced: Pair,
    trial: Pair,
    used_ns: u64,
}

/// A packet that is to be charged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charge {
    pub(super) source: IpAddr,
    /// It begins a connection or flow.
    pub(super) begins: bool,
    /// Take from the buckets of the trial.
    pub(super) trial: bool,
    pub(super) now_ns: u64,
}

/// Every bucket in use.
#[derive(Debug)]
pub(super) struct Limits {
    rules: HashMap<u64, Buckets>,
    sources: Bounded<(u64, IpAddr), Buckets>,
}

impl Limits {
    pub(super) fn new(sources_max: usize) -> Limits {
        Limits { rules: HashMap::new(), sources: Bounded::new(sources_max) }
    }

    /// Forgets rules that are not among those of the live image.
    pub(super) fn retain(&mut self, live: &HashSet<u64>) {
        self.rules.retain(|id, _| live.contains(id));
    }

    /// Takes from all buckets of these rules, or from none: whether all of them have enough.
    pub(super) fn admits(&mut self, rules: &[LimitEntry], charge: &Charge) -> bool {
        let after: Option<Vec<(Buckets, Buckets)>> = rules.iter().map(|rule| self.charged(rule, charge)).collect();
        let Some(after) = after else { return false };
        for (rule, (of_source, of_rule)) in rules.iter().zip(after) {
            self.rules.insert(rule.id, of_rule);
            if rule.source_packets.or(rule.source_new_connections).is_some() {
                self.sources.insert((rule.id, charge.source), of_source, |buckets| buckets.used_ns);
            }
        }
        true
    }

    /// What would be left of the source's buckets and of the rule's.
    fn charged(&self, rule: &LimitEntry, charge: &Charge) -> Option<(Buckets, Buckets)> {
        let of_source = self.sources.get(&(rule.id, charge.source)).copied().unwrap_or_default();
        let of_rule = self.rules.get(&rule.id).copied().unwrap_or_default();
        Some((
            of_source.charged(rule.source_packets, rule.source_new_connections, charge)?,
            of_rule.charged(rule.packets, rule.new_connections, charge)?,
        ))
    }
}

impl Buckets {
    fn charged(mut self, packets: Option<Bucket>, connections: Option<Bucket>, charge: &Charge) -> Option<Buckets> {
        self.used_ns = charge.now_ns;
        let pair = if charge.trial { &mut self.trial } else { &mut self.enforced };
        pair.packets = taken(pair.packets, packets, charge.now_ns)?;
        if charge.begins {
            pair.connections = taken(pair.connections, connections, charge.now_ns)?;
        }
        Some(self)
    }
}

/// The bucket with one token less; `None` if it has none. Without a limit it stays as it is.
fn taken(filled: Filled, bucket: Option<Bucket>, now_ns: u64) -> Option<Filled> {
    let Some(bucket) = bucket else { return Some(filled) };
    let token_ns = u64::from(bucket.interval_ns);
    let full_ns = token_ns * u64::from(bucket.burst);
    let credit_ns = filled.map_or(full_ns, |level| {
        let since_ns = now_ns.saturating_sub(level.at_ns);
        level.credit_ns.saturating_add(since_ns).min(full_ns)
    });
    let left_ns = credit_ns.checked_sub(token_ns)?;
    Some(Some(Level { credit_ns: left_ns, at_ns: now_ns }))
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
