//! Which of our interfaces is a VLAN of which other one: a tagged frame on the parent belongs to the child's guard. And through which
//! devices nothing comes that one of ours has not seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use policy::LocalInterface;

use crate::links::{self, Link};

/// The device that sees tags, and these: the outer one, and the inner one or 0.
pub(crate) type Place = (u32, (u16, u16));

/// Where a VLAN's packets are seen below it, and its device.
pub(crate) type Children = BTreeMap<Place, u32>;

/// The VLANs on our interfaces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Vlans {
    /// Those that are interfaces of ours themselves.
    pub(crate) children: Children,
    /// The interfaces on which there are VLANs, or have been since this process began: of ours or not.
    carriers: BTreeSet<u32>,
    /// The interfaces, and every device that is a VLAN of one of them, also by way of another VLAN.
    pub(crate) judged: BTreeSet<u32>,
}

impl Vlans {
    /// As the kernel says at this moment.
    pub(crate) fn of(interfaces: &[LocalInterface]) -> io::Result<Vlans> {
        Ok(Vlans::among(&links::vlans()?, interfaces))
    }

    /// If these are all links that there are.
    pub(crate) fn among(links: &[Link], interfaces: &[LocalInterface]) -> Vlans {
        let ours: BTreeSet<u32> = interfaces.iter().map(|interface| interface.ifindex).collect();
        let mut children = Children::new();
        for link in links.iter().filter(|link| ours.contains(&link.ifindex)) {
            let places = places_of(links, link).into_iter().flatten().filter(|(below, _)| ours.contains(below));
            children.extend(places.map(|place| (place, link.ifindex)));
        }
        let parents = links.iter().filter_map(|link| link.vlan).map(|(parent, _)| parent);
        let carriers = parents.filter(|parent| ours.contains(parent)).collect();
        Vlans { children, carriers, judged: with_all_above(links, ours) }
    }

    /// What has carried a VLAN at another time goes on as if it did: a device that comes and goes must not have programs attached and detached
    /// each time, for which some drivers stop for a moment.
    pub(crate) fn keep_carriers(&mut self, other: &Vlans) {
        self.carriers.extend(&other.carriers);
    }

    /// Whether VLANs are on an interface. The driver, or a pair of devices, may take their tags off before XDP sees a frame, which then
    /// looks like one of the interface itself.
    pub(crate) fn carried_by(&self, ifindex: u32) -> bool {
        self.carriers.contains(&ifindex)
    }
}

/// On its parent, and with two tags on the parent of that one.
fn places_of(links: &[Link], link: &Link) -> [Option<Place>; 2] {
    let Some((parent, inner)) = link.vlan else { return [None, None] };
    let below = links.iter().find(|link| link.ifindex == parent).and_then(|link| link.vlan);
    // A tag of VLAN 0 names none.
    let below = below.filter(|_| inner != 0).map(|(ground, outer)| (ground, (outer, inner)));
    [Some((parent, (inner, 0))), below]
}

fn with_all_above(links: &[Link], mut devices: BTreeSet<u32>) -> BTreeSet<u32> {
    loop {
        let on_top = |link: &&Link| link.vlan.is_some_and(|(parent, _)| devices.contains(&parent));
        let above: Vec<u32> = links.iter().filter(on_top).map(|link| link.ifindex).collect();
        let before = devices.len();
        devices.extend(above);
        if devices.len() == before {
            return devices;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Role;
    use policy::sample::SplitMix64;

    fn link(ifindex: u32, vlan: Option<(u32, u16)>) -> Link {
        Link { ifindex, kind: 1, vlan }
    }

    fn ours(ifindex: u32) -> LocalInterface {
        LocalInterface { name: String::new(), ifindex, role: Role::Vip, addresses: vec![] }
    }

    #[test]
    fn only_pairs_of_ours_count() {
        let links = [link(2, None), link(3, None), link(7, Some((2, 5))), link(8, Some((2, 6))), link(9, Some((3, 5)))];
        let found = Vlans::among(&links, &[2, 7, 9].map(ours));
        assert_eq!(found.children, BTreeMap::from([((2, (5, 0)), 7)]));
        assert!(found.carried_by(2) && !found.carried_by(7));
    }

    #[test]
    fn an_interface_carries_vlans_also_if_none_of_them_is_ours() {
        let links = [link(2, None), link(3, None), link(7, Some((2, 5))), link(9, Some((4, 5))), link(8, Some((7, 6)))];
        let found = Vlans::among(&links, &[2, 3].map(ours));
        assert!(found.children.is_empty());
        assert_eq!([2, 3, 4, 7].map(|ifindex| found.carried_by(ifindex)), [true, false, false, false]);
        // Also when that one has gone.
        let mut later = Vlans::among(&links[..2], &[2, 3].map(ours));
        assert!(!later.carried_by(2));
        later.keep_carriers(&found);
        assert_eq!([2, 3].map(|ifindex| later.carried_by(ifindex)), [true, false]);
    }

    #[test]
    fn a_vlan_of_a_vlan_is_found_by_both_tags_whether_or_not_the_one_between_is_ours() {
        let links = [link(9, Some((7, 6))), link(7, Some((2, 5))), link(8, Some((7, 0))), link(10, Some((9, 4)))];
        let found = Vlans::among(&links, &[2, 9].map(ours));
        assert_eq!(found.children, BTreeMap::from([((2, (5, 6)), 9)]));
        assert!(found.carried_by(2) && !found.carried_by(7));
        let found = Vlans::among(&links, &[2, 7, 8, 9, 10].map(ours));
        let under_7 = [((7, (0, 0)), 8), ((7, (6, 0)), 9), ((7, (6, 4)), 10)];
        let expected = [((2, (5, 0)), 7), ((2, (5, 6)), 9), ((9, (4, 0)), 10)].into_iter().chain(under_7);
        assert_eq!(found.children, expected.collect());
    }

    #[test]
    fn what_carries_a_vlan_of_ours_is_above_us_also_by_way_of_another() {
        let links = [link(9, Some((7, 6))), link(2, None), link(7, Some((2, 5))), link(3, None), link(8, Some((3, 5)))];
        assert_eq!(Vlans::among(&links, &[ours(2)]).judged, [2, 7, 9].into());
    }

    /// Against the slow, obvious way: from each device down to the ground.
    #[test]
    fn among_random_devices_those_are_judged_that_stand_on_ours() {
        for seed in 0..300 {
            let mut random = SplitMix64::new(seed);
            let count = 2 + u32::try_from(random.below(20)).unwrap();
            let mut number = |below: u32| u32::try_from(random.below(below as usize)).unwrap();
            // Numbers begin with 1; a parent was there before its child.
            let mut links: Vec<Link> = (1..=count)
                .map(|ifindex| link(ifindex, (number(3) > 0 && ifindex > 1).then(|| (1 + number(ifindex - 1), 5))))
                .collect();
            let interfaces: Vec<LocalInterface> = (1..=count).filter(|_| number(4) == 0).map(ours).collect();
            let is_ours = |ifindex: u32| interfaces.iter().any(|interface| interface.ifindex == ifindex);
            let parent = |ifindex: u32| links[ifindex as usize - 1].vlan.map(|(parent, _)| parent);
            let stands_on_ours =
                |ifindex: &u32| std::iter::successors(Some(*ifindex), |ifindex| parent(*ifindex)).any(is_ours);
            let expected: BTreeSet<u32> = (1..=count).filter(stands_on_ours).collect();
            let turned: Vec<Link> = links.drain(..).rev().collect();
            assert_eq!(Vlans::among(&turned, &interfaces).judged, expected, "seed {seed}: {turned:?}");
        }
    }
}
