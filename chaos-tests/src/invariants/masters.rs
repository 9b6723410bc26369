//! VRRP has one master, and it does not change unless something dies.

use crate::LabError;
use crate::probe::{VrrpEvent, VrrpState, events};
use crate::site::Balancer;

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

impl MasterWatch {
    /// Notes where every load balancer stands.
    pub fn start(balancers: &[Balancer]) -> Self {
        Self { seen: balancers.iter().map(|balancer| events(&balancer.vrrp_events()).len()).collect() }
    }

    /// Every change of state since the start, with the load balancer that changed.
    pub fn changes(&self, balancers: &[Balancer]) -> Vec<(String, VrrpEvent)> {
        let mut changes = Vec::new();
        for (balancer, seen) in balancers.iter().zip(&self.seen) {
            let new = events(&balancer.vrrp_events()).into_iter().skip(*seen);
            changes.extend(new.map(|event| (balancer.name().to_owned(), event)));
        }
        changes
    }

    /// How often a load balancer became master since the start; in each family that counts.
    pub fn master_changes(&self, balancers: &[Balancer]) -> usize {
        self.changes(balancers).iter().filter(|(_, event)| event.state == VrrpState::Master).count()
    }
}
