//! What is proven of a guard: every entry, and near misses of every field.

use std::collections::BTreeSet;

use super::*;
use crate::{
    channel::NAMES,
    guard::tests::{guard_with, interfaces},
};

fn all() -> Vec<Obligation> {
    obligations(&guard_with(&NAMES), &interfaces(1))
}

#[test]
fn g0_every_entry_is_asked_for_at_its_hook() {
    let guard = guard_with(&NAMES);
    let asked: BTreeSet<(u32, Direction, String)> =
        all().into_iter().filter(|one| one.must_pass).map(|one| (one.hook.0, one.hook.1, one.why)).collect();
    for entry in &guard.entries {
        assert!(asked.contains(&(entry.ifindex, entry.direction, sentence(entry))), "{entry:?}");
    }
}

#[test]
fn g0_near_misses_differ_in_every_field() {
    let obligations = all();
    for field in [
        "but another source",
        "but another destination",
        "but another protocol",
        "but the other direction",
        "but another port",
        "but a bare SYN",
        "but another time to live",
        "but another interface",
        "but from or to outside its subnet",
        "IGMP with another time to live",
        "IGMP to one host",
        "from beyond the link",
        "an echo request",
    ] {
        assert!(obligations.iter().any(|one| !one.must_pass && one.why.contains(field)), "{field}");
    }
}

#[test]
fn no_frame_is_both_asked_for_and_forbidden() {
    let obligations = all();
    let of = |must_pass: bool| -> BTreeSet<(u32, Direction, &[u8])> {
        let one_kind = obligations.iter().filter(|one| one.must_pass == must_pass);
        one_kind.map(|one| (one.hook.0, one.hook.1, one.frame.as_slice())).collect()
    };
    assert_eq!(of(true).intersection(&of(false)).count(), 0);
}

#[test]
fn tcp_entries_are_shown_with_the_segments_they_are_for() {
    let tcp_flags = |one: &Obligation| {
        let v4 = one.frame[12..14] == [8, 0];
        let (protocol, flags) = if v4 { (one.frame[23], one.frame[47]) } else { (one.frame[20], one.frame[67]) };
        (protocol == TCP).then_some(flags)
    };
    let flags = |must_pass: bool, words: &str| -> BTreeSet<u8> {
        let chosen = all().into_iter().filter(|one| one.must_pass == must_pass && one.why.contains(words));
        chosen.filter_map(|one| tcp_flags(&one)).collect()
    };
    assert_eq!(flags(true, "tcp to port"), [0x02, 0x10].into());
    assert_eq!(flags(true, "tcp from port"), [0x12, 0x10].into());
    assert_eq!(flags(false, "a bare SYN"), [0x02].into());
}
