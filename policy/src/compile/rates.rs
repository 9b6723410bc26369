//! The table of limits: one element for each rule that has some, in the order of the rules.

use ring::digest::{SHA256, digest};

use crate::{document::limits_json, image::LimitEntry, model::RuleLimits, rule_info::RuleInfo};

/// Words of the table.
pub(super) fn words(infos: &[RuleInfo]) -> Vec<u32> {
    let limited = infos.iter().filter_map(|info| Some((info, info.limits.as_ref()?)));
    limited.flat_map(|(info, limits)| LimitEntry::new(id(info, limits), limits).words()).collect()
}

/// The first eight bytes of a SHA-256 over the rule's name and its limits: neither another rule nor another place in the policy changes
/// it, so that a rule whose limits stay keeps its buckets from one revision to the next.
fn id(info: &RuleInfo, limits: &RuleLimits) -> u64 {
    let hash = digest(&SHA256, format!("{info}\0{}", limits_json(limits)).as_bytes());
    let (first, _) = hash.as_ref().split_first_chunk().expect("a SHA-256 is 32 bytes");
    u64::from_le_bytes(*first)
}
