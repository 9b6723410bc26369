//! Random limits for rules that allow.

use super::SplitMix64;
use crate::document::{Body, Document};
use crate::model::limits::{RATE_BURST_MAX, RATE_PER_SECOND_MAX};
use crate::model::{Action, Rate, RuleLimits};

/// Sets the numbers of limits apart from those of everything else: what a sample says otherwise is what it said before there
/// were limits.
const SEED: u64 = 0x6c69_6d69_7473_0000;

/// Of how many rules that allow one has limits.
const LIMITED_ONE_IN: usize = 3;

/// Gives some of the rules that allow limits.
pub(super) fn add(documents: &mut [Document], seed: u64) {
    let mut random = SplitMix64::new(seed ^ SEED);
    for document in documents {
        let Body::Policy(spec) = &mut document.body else { continue };
        for rule in spec.ingress.iter_mut().chain(&mut spec.egress).flatten() {
            if rule.action == Action::Allow && random.once_in(LIMITED_ONE_IN) {
                rule.limits = Some(random_limits(&mut random));
            }
        }
    }
}

/// At least one limit.
pub(crate) fn random_limits(random: &mut SplitMix64) -> RuleLimits {
    let mut limits = RuleLimits::default();
    while limits.is_empty() {
        let [packets, new_connections, source_packets, source_new_connections] =
            [(); 4].map(|()| random.once_in(2).then(|| rate(random)));
        limits = RuleLimits { packets, new_connections, source_packets, source_new_connections };
    }
    limits
}

fn rate(random: &mut SplitMix64) -> Rate {
    let per_second = *random.pick(&[1, 2, 3, 100, 7_777, RATE_PER_SECOND_MAX]);
    let burst = *random.pick(&[per_second, per_second, 1, 50, RATE_BURST_MAX]);
    Rate { per_second, burst }
}
