//! Which of our interfaces is a VLAN of which other one: a tagged frame on the parent belongs to the child's guard. And through which
//! devices nothing comes that one of ours has not seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use policy::LocalInterface;

use crate::links::{self, Link};

/// (parent, VLAN) to child.
pub(crate) type Children = BTreeMap<(u32, u16), u32>;

/// The VLANs on our interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vlans {
    /// Those that are interfaces of ours themselves.
    pub(crate) children: Children,
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
        let pair = |link: &Link| link.vlan.filter(|(parent, _)| ours.contains(parent) && ours.contains(&link.ifindex));
        let children = links.iter().filter_map(|link| Some((pair(link)?, link.ifindex))).collect();
        Vlans { children, judged: with_all_above(links, ours) }
    }

    /// Whether an interface carries VLANs of ours. The driver may take their tags off before XDP sees a frame.
    pub(crate) fn carried_by(&self, ifindex: u32) -> bool {
        self.children.keys().any(|(parent, _)| *parent == ifindex)
    }
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
        assert_eq!(found.children, BTreeMap::from([((2, 5), 7)]));
        assert!(found.carried_by(2) && !found.carried_by(7));
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
