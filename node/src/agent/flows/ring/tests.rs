use dataplane::Hook;
use policy::{Direction, Flow};

use super::*;

const CLOCK: Clock = Clock { wall_ms: 1_000_000, monotonic_ns: 9_000_000_000 };

fn event(reason: Reason, generation: u32, ingress_rule: u32) -> FlowEvent {
    let address = "203.0.113.10".parse().unwrap();
    FlowEvent {
        at_ns: 8_000_000_000,
        hook: Hook { ifindex: 2, direction: Direction::Ingress },
        flow: Flow { src: address, dst: address, protocol: 6, src_port: 50_000, dst_port: 22 },
        tcp_flags: 2,
        reason,
        ingress_rule,
        egress_rule: 0,
        generation,
        bytes: 74,
        logged: reason.passes(),
    }
}

fn generation(number: u32, log_sampling: u32) -> Generation {
    Generation {
        number,
        revision: u64::from(number) * 10,
        rules: ["default action".to_owned(), format!("shop/ingress/r{number}")].into(),
        log_sampling: NonZeroU32::new(log_sampling).unwrap(),
    }
}

fn keep(ring: &mut Ring, events: Vec<FlowEvent>) {
    ring.keep(FlowEvents { events, lost: 0 }, CLOCK);
}

fn numbers(page: &Page) -> Vec<u64> {
    page.events.iter().map(|kept| kept.sequence).collect()
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let mut ring = Ring::default();
    assert!(ring.page(None, 5).events.is_empty() && ring.page(Some(7), 5).events.is_empty());
    keep(&mut ring, vec![event(Reason::Denied, 1, 0); 10]);
    assert_eq!(numbers(&ring.page(None, 3)), [8, 9, 10], "the latest");
    let page = ring.page(Some(0), 4);
    assert_eq!((numbers(&page), page.next_since), (vec![1, 2, 3, 4], 4));
    let rest = ring.page(Some(page.next_since), 100);
    assert_eq!((numbers(&rest), rest.next_since, rest.missed), (vec![5, 6, 7, 8, 9, 10], 10, 0));
    let none = ring.page(Some(10), 100);
    assert_eq!((numbers(&none), none.next_since), (vec![], 10));
    assert_eq!(numbers(&ring.page(Some(11), 2)), [1, 2], "a number of the agent before");
    assert_eq!(ring.page(None, 1).events[0].at_ms, CLOCK.wall_ms - 1_000);
}

/// What is kept is bounded, and nothing falls out without being counted.
#[test]
fn what_falls_out_is_counted_and_told_to_who_follows() {
    let mut ring = Ring::default();
    keep(&mut ring, vec![event(Reason::Denied, 1, 0); EVENTS_KEPT_MAX + 30]);
    assert_eq!(ring.counts().forgotten, 30);
    let page = ring.page(Some(10), 1);
    assert_eq!((numbers(&page), page.missed), (vec![31], 20));
    ring.keep(FlowEvents { events: Vec::new(), lost: 5 }, CLOCK);
    let counts = Counts { taken: EVENTS_KEPT_MAX as u64 + 30, lost: 5, sampled_out: 0, forgotten: 30 };
    assert_eq!(ring.counts(), counts);
}

/// Rules are those of the generation that judged, whichever is told first: its events, or its names.
#[test]
fn rules_have_the_names_of_their_own_generation() {
    let mut ring = Ring::default();
    ring.name(generation(1, 1));
    keep(&mut ring, vec![event(Reason::Denied, 1, 1), event(Reason::Denied, 2, 1), event(Reason::Spoofed, 2, 0)]);
    assert!(ring.page(Some(1), 1).events[0].decided.is_none(), "not known yet");
    // What was prepared first for the number never went live.
    ring.name(Generation { rules: Arc::new([]), ..generation(3, 1) });
    ring.name(generation(3, 1));
    ring.name(generation(2, 1));
    keep(&mut ring, vec![event(Reason::Allowed, 3, 1), event(Reason::Denied, 1, 1)]);
    let decided: Vec<_> = ring
        .page(Some(0), 10)
        .events
        .into_iter()
        .map(|kept| kept.decided.map(|decided| (decided.revision, decided.ingress, decided.egress)))
        .collect();
    let by = |number: u32| {
        let rules = (Some(format!("shop/ingress/r{number}")), Some("default action".to_owned()));
        Some((u64::from(number) * 10, rules.0, rules.1))
    };
    assert_eq!(decided, [by(1), by(2), Some((20, None, None)), by(3), None], "the last is of a generation long gone");
}

/// Policy is asked about a later fragment too (ADR 0025). The bug: events of logged ones came without their rules.
#[test]
fn a_later_fragment_has_the_rules_that_let_it_pass() {
    let mut ring = Ring::default();
    ring.name(generation(1, 1));
    // One without its first is refused, and policy is not asked.
    keep(&mut ring, vec![event(Reason::FragmentFollows, 1, 1), event(Reason::FragmentUnknown, 1, 0)]);
    let rules = ring.page(Some(0), 2).events.into_iter().map(|kept| {
        let decided = kept.decided.unwrap();
        (decided.ingress, decided.egress)
    });
    let wanted = (Some("shop/ingress/r1".to_owned()), Some("default action".to_owned()));
    assert_eq!(rules.collect::<Vec<_>>(), [wanted, (None, None)]);
}

/// Sampling leaves out what a rule wants logged, never what was refused or observed, and every event is accounted for.
#[test]
fn sampling_keeps_one_of_so_many_of_what_is_only_logged() {
    let mut ring = Ring::default();
    ring.name(generation(1, 10));
    for _ in 0..25 {
        let reasons =
            [Reason::Allowed, Reason::Allowed, Reason::Denied, Reason::Observed, Reason::Reply, Reason::Allowed];
        keep(&mut ring, reasons.map(|reason| event(reason, 1, 1)).to_vec());
    }
    let page = ring.page(Some(0), 1_000);
    let count = |wanted: fn(Reason) -> bool| page.events.iter().filter(|kept| wanted(kept.event.reason)).count();
    assert_eq!(count(|reason| reason == Reason::Denied), 25);
    assert_eq!(count(|reason| reason == Reason::Observed), 25);
    assert_eq!(count(|reason| matches!(reason, Reason::Allowed | Reason::Reply)), 10);
    let counts = ring.counts();
    assert_eq!((counts.taken, counts.sampled_out), (150, 90));
    ring.name(generation(2, 1));
    keep(&mut ring, vec![event(Reason::Allowed, 2, 1); 7]);
    assert_eq!(ring.counts().sampled_out, 90, "a revision that does not sample keeps all");
}
