//! Which of our interfaces is a VLAN of which other one: a tagged frame on the parent belongs to the child's guard.

use std::{collections::BTreeMap, io};

use policy::LocalInterface;

use crate::links::{self, Link};

/// (parent, VLAN) to child.
pub(crate) type Children = BTreeMap<(u32, u16), u32>;

/// The VLANs among the interfaces given.
pub(crate) fn children(interfaces: &[LocalInterface]) -> io::Result<Children> {
    Ok(among(&links::all()?, interfaces))
}

fn among(links: &[Link], interfaces: &[LocalInterface]) -> Children {
    let ours = |ifindex: u32| interfaces.iter().any(|interface| interface.ifindex == ifindex);
    let pair = |link: &Link| link.vlan.filter(|(parent, _)| ours(*parent) && ours(link.ifindex));
    links.iter().filter_map(|link| Some((pair(link)?, link.ifindex))).collect()
}

/// Whether an interface carries VLANs of ours. The driver may take their tags off before XDP sees a frame.
pub(crate) fn carries(children: &Children, ifindex: u32) -> bool {
    children.keys().any(|(parent, _)| *parent == ifindex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Role;

    #[test]
    fn only_pairs_of_ours_count() {
        let link = |ifindex, vlan| Link { ifindex, kind: 1, vlan };
        let links = [link(2, None), link(3, None), link(7, Some((2, 5))), link(8, Some((2, 6))), link(9, Some((3, 5)))];
        let of = |ifindex| LocalInterface { name: String::new(), ifindex, role: Role::Vip, addresses: vec![] };
        let found = among(&links, &[2, 7, 9].map(of));
        assert_eq!(found, BTreeMap::from([((2, 5), 7)]));
        assert!(carries(&found, 2) && !carries(&found, 7));
    }
}
