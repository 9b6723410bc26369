//! The guard against the words of G0, taken literally, on random packets.

use super::*;
use crate::sample::{SplitMix64, SyncWorld, near_an_entry};

const PACKETS: usize = 200_000;

#[test]
fn g0_the_guard_says_yes_to_sync_flows_and_to_nothing_else() {
    let members = [member(1), member(2), member(3)];
    let channels: Vec<Channel> = NAMES.iter().map(|name| channel(name)).collect();
    let guard = guard_with(&NAMES);
    let own: Channel =
        serde_json::from_value(serde_json::json!({ "name": "own", "protocol": "udp", "port": PORT })).unwrap();
    let declared: Vec<Channel> = channels.into_iter().chain([own]).collect();
    let entries: Vec<GuardEntry> = guard.entries.iter().copied().collect();
    let interfaces = interfaces(1);
    let world = SyncWorld { me: node(1), interfaces: &interfaces, channels: &declared, members: &members };
    let mut random = SplitMix64::new(7);
    let (mut yes, mut no) = (0, 0);
    for _ in 0..PACKETS {
        let seen = near_an_entry(&mut random, &entries);
        let expected = world.is_sync_flow(&seen);
        assert_eq!(guard.judge(&seen) == Some(Judged::Sync), expected, "{seen:?}");
        *(if expected { &mut yes } else { &mut no }) += 1;
    }
    assert!(yes > PACKETS / 10 && no > PACKETS / 4, "{yes} yes, {no} no");
}
