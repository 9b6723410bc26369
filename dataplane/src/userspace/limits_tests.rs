//! Buckets against the obvious: what has been admitted, in every span of time.

use proptest::prelude::*;

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

/// The definition: a packet may pass if then in no span of time that ends with it more has passed than the burst and what came back in that
/// span.
fn obvious(admitted: &[u64], now_ns: u64, bucket: Bucket) -> bool {
    (0..=admitted.len()).all(|first| {
        let since = admitted.get(first).copied().unwrap_or(now_ns);
        let passed = (admitted.len() - first + 1) as u64;
        let back = passed.saturating_sub(u64::from(bucket.burst)) * u64::from(bucket.interval_ns);
        back <= now_ns - since
    })
}

/// The arithmetic of `bpf/limit.h`: the instant at which the bucket is full again.
fn by_instant(full_at: &mut u64, now_ns: u64, bucket: Bucket) -> bool {
    let from = (*full_at).max(now_ns);
    if from - now_ns > u64::from(bucket.burst - 1) * u64::from(bucket.interval_ns) {
        return false;
    }
    *full_at = from + u64::from(bucket.interval_ns);
    true
}

proptest! {
    #[test]
    fn credit_and_instant_admit_what_the_definition_admits(
        interval_ns in 1u32..2_000,
        burst in 1u32..12,
        gaps in prop::collection::vec(prop_oneof![Just(0u64), 0..200u64, 0..3_000u64, 0..40_000u64], 1..120),
    ) {
        let bucket = Bucket { interval_ns, burst };
        let (mut admitted, mut filled, mut full_at, mut now_ns) = (Vec::new(), None, 0, SECOND_NS);
        for gap in gaps {
            now_ns += gap;
            let expected = obvious(&admitted, now_ns, bucket);
            let after = taken(filled, Some(bucket), now_ns);
            prop_assert_eq!(after.is_some(), expected, "credit at {}", now_ns);
            prop_assert_eq!(by_instant(&mut full_at, now_ns, bucket), expected, "instant at {}", now_ns);
            filled = after.unwrap_or(filled);
            if expected {
                admitted.push(now_ns);
            }
        }
    }
}

fn rule(id: u64) -> LimitEntry {
    LimitEntry { id, packets: None, new_connections: None, source_packets: None, source_new_connections: None }
}

fn charge(last: u8, now_ns: u64) -> Charge {
    Charge { source: [192, 0, 2, last].into(), begins: false, trial: false, now_ns }
}

fn tokens(burst: u32) -> Option<Bucket> {
    Some(Bucket { interval_ns: 1_000_000_000, burst })
}

#[test]
fn who_is_refused_by_one_rule_takes_nothing_from_the_other() {
    let mut limits = Limits::new(8);
    let (one, other) = (LimitEntry { packets: tokens(3), ..rule(1) }, LimitEntry { packets: tokens(1), ..rule(2) });
    assert!(limits.admits(&[one, other], &charge(1, 0)));
    assert!(!limits.admits(&[one, other], &charge(1, 0)));
    assert!(limits.admits(&[one], &charge(1, 0)) && limits.admits(&[one], &charge(1, 0)));
    assert!(!limits.admits(&[one], &charge(1, 0)));
}

#[test]
fn a_noisy_source_takes_nothing_from_others() {
    let mut limits = Limits::new(8);
    let rule = LimitEntry { packets: tokens(4), source_packets: tokens(2), ..rule(1) };
    let passed = |limits: &mut Limits, source| (0..100).filter(|_| limits.admits(&[rule], &charge(source, 0))).count();
    assert_eq!([passed(&mut limits, 1), passed(&mut limits, 2), passed(&mut limits, 3)], [2, 2, 0]);
}

#[test]
fn the_trial_has_buckets_of_its_own() {
    let mut limits = Limits::new(8);
    let rule = LimitEntry { packets: tokens(1), ..rule(1) };
    let trial = Charge { trial: true, ..charge(1, 0) };
    assert!(limits.admits(&[rule], &trial) && !limits.admits(&[rule], &trial));
    assert!(limits.admits(&[rule], &charge(1, 0)) && !limits.admits(&[rule], &charge(1, 0)));
}

#[test]
fn sources_are_bounded_and_rules_that_are_gone_are_forgotten() {
    let mut limits = Limits::new(2);
    let rule = LimitEntry { source_packets: tokens(1), packets: tokens(10), ..rule(1) };
    for source in 1..=4 {
        assert!(limits.admits(&[rule], &charge(source, u64::from(source))));
    }
    assert!(!limits.admits(&[rule], &charge(4, 5)), "the youngest is still known");
    assert!(limits.admits(&[rule], &charge(1, 6)), "the oldest is not");
    limits.retain(&HashSet::new());
    assert!(limits.rules.is_empty());
}
