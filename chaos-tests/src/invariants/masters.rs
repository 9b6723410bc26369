//! VRRP has one master, and it does not change unless something dies.

use crate::LabError;
use crate::probe::{Stall, VrrpEvent, VrrpState, events};
use crate::site::{Balancer, Site};

/// The names of the load balancers that hold the virtual IPv4 address now.
pub fn masters_now(balancers: &[Balancer]) -> Result<Vec<String>, LabError> {
    let mut masters = Vec::new();
    for balancer in balancers {
        if balancer.holds_vip()? {
            masters.push(balancer.name().to_owned());
        }
    }
    Ok(masters)
}

/// Counts changes from a moment on.
pub struct MasterWatch {
    seen: Vec<usize>,
}

/// The changes of master since a watch began.
#[derive(Clone, Debug, Default)]
pub struct MasterChanges {
    /// Those that nothing explains but what was done to the cluster.
    pub counted: Vec<(String, VrrpEvent)>,
    /// Those at moments at which the machine itself stood still.
    pub stalled: Vec<(String, VrrpEvent)>,
}

impl MasterWatch {
    /// Notes where every load balancer stands.
    pub fn start(site: &Site) -> Self {
        Self { seen: site.balancers.iter().map(|balancer| events(&balancer.vrrp_events()).len()).collect() }
    }

    /// Every time that a load balancer became master since the start; in each family that counts.
    pub fn changes(&self, site: &Site) -> MasterChanges {
        let stalls = site.stalls();
        let mut changes = MasterChanges::default();
        for (balancer, seen) in site.balancers.iter().zip(&self.seen) {
            let new = events(&balancer.vrrp_events()).into_iter().skip(*seen);
            for event in new.filter(|event| event.state == VrrpState::Master) {
                let stalled = stalls.iter().any(|stall: &Stall| stall.explains(event.at));
                let list = if stalled { &mut changes.stalled } else { &mut changes.counted };
                list.push((balancer.name().to_owned(), event));
            }
        }
        changes
    }
}
