//! Tags: a packet belongs to the device to which its tags lead, by one of them or by two.

use std::collections::BTreeMap;

use dataplane::{
    Hook, Reason, TableSizes,
    testing::{Arrival, Twins, flow_of, frame_of},
};
use policy::Direction;

use crate::{
    driver,
    shared::{
        corpus,
        members::{self, CLUSTER_PORT, HERE_V4, THERE_V4, guard_of, member},
        policies::{DENY, compiled},
    },
};

const QINQ: u16 = 0x88a8;
const VLAN: u16 = 0x8100;
/// The device below, and the ones that its VLANs lead to.
const TRUNK: u32 = 7;
const BY_ONE: u32 = 21;
const BY_TWO: u32 = 22;

/// The VLANs of random frames, and the devices of random guards.
pub(crate) fn of_random_frames(ifindex: u32) -> BTreeMap<(u32, (u16, u16)), u32> {
    BTreeMap::from([((ifindex, (1, 0)), ifindex + 1), ((ifindex, (1, 1)), ifindex + 2)])
}

/// A sync flow of a device is one on the trunk too if its tags lead to that device, and spoofed if they lead elsewhere.
#[test]
fn g0_a_sync_flow_belongs_to_the_device_to_which_its_tags_lead() {
    let Some(driver) = driver::start() else { return };
    let trunk = members::interface();
    assert_eq!(trunk.ifindex, TRUNK);
    let mut twins =
        Twins::new(driver, 0, std::slice::from_ref(&trunk), &corpus::guard(&trunk), TableSizes::small()).unwrap();
    twins.activate(compiled(DENY)).unwrap();
    twins.set_vlans(&BTreeMap::from([((TRUNK, (5, 0)), BY_ONE), ((TRUNK, (5, 6)), BY_TWO)])).unwrap();
    let frame = frame_of(&flow_of((THERE_V4, CLUSTER_PORT), (HERE_V4, CLUSTER_PORT), 17), 0);
    let mut said = |home: u32, tags: &[(u16, u16)]| {
        let device = policy::LocalInterface { ifindex: home, ..trunk.clone() };
        let members = [member(1, &[HERE_V4]), member(2, &[THERE_V4])];
        twins.set_guard(&guard_of(&[device], &members)).unwrap();
        let mut frame = frame.clone();
        frame.splice(12..12, tags.iter().flat_map(|(kind, tag)| [kind.to_be_bytes(), tag.to_be_bytes()].concat()));
        let hook = Hook { ifindex: TRUNK, direction: Direction::Ingress };
        let judged = twins.judge(hook, &frame, 0).unwrap().reason;
        assert_eq!(twins.receive(Arrival::Tcx, hook, &frame, 0).unwrap().reason, judged);
        judged
    };
    let priority = (VLAN, 7 << 13);
    for (home, tags) in [
        (TRUNK, vec![]),
        (TRUNK, vec![priority]),
        (TRUNK, vec![priority, priority]),
        (BY_ONE, vec![(VLAN, 5)]),
        (BY_ONE, vec![priority, (VLAN, 5)]),
        (BY_ONE, vec![(VLAN, 5), priority]),
        (BY_TWO, vec![(QINQ, 5), (VLAN, 6)]),
        (BY_TWO, vec![(VLAN, 5 | 1 << 13), (VLAN, 6)]),
    ] {
        assert_eq!(said(home, &tags), Reason::Guard, "at {home}: {tags:x?}");
        for elsewhere in [TRUNK, BY_ONE, BY_TWO].into_iter().filter(|device| *device != home) {
            assert_eq!(said(elsewhere, &tags), Reason::Spoofed, "at {elsewhere}, not at {home}: {tags:x?}");
        }
    }
    for tags in [vec![(VLAN, 6)], vec![(VLAN, 6), (VLAN, 5)], vec![(VLAN, 5), (VLAN, 7)]] {
        for home in [TRUNK, BY_ONE, BY_TWO] {
            assert_eq!(said(home, &tags), Reason::Spoofed, "nowhere: {tags:x?}");
        }
    }
    twins.settle().unwrap();
}
