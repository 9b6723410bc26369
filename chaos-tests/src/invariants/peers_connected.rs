//! HAProxy's peers are connected, and were all along: not even a quick reconnection happened.

use std::collections::BTreeMap;

use crate::LabError;
use crate::probe::{PeerLine, peers};
use crate::site::Balancer;

/// The sessions between HAProxys as they stood at the start.
pub struct PeersWatch {
    sessions: BTreeMap<(String, String), PeerLine>,
}

impl PeersWatch {
    /// Notes every session that is up now.
    pub fn start(balancers: &[Balancer]) -> Result<Self, LabError> {
        let mut sessions = now(balancers)?;
        sessions.retain(|_, line| line.is_connected());
        Ok(Self { sessions })
    }

    /// How many sessions are watched.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// What has become of the sessions: one sentence for each that is down or was made anew.
    pub fn broken(&self, balancers: &[Balancer]) -> Result<Vec<String>, LabError> {
        let now = now(balancers)?;
        let mut broken = Vec::new();
        for ((from, to), before) in &self.sessions {
            match now.get(&(from.clone(), to.clone())) {
                Some(line) if !line.is_connected() => broken.push(format!("{from} to {to} is {}", line.status)),
                Some(line) if line.connections != before.connections => {
                    broken.push(format!(
                        "{from} to {to} was connected anew {} times",
                        line.connections - before.connections
                    ));
                }
                Some(_) => (),
                None => broken.push(format!("{from} does not know {to} any more")),
            }
        }
        Ok(broken)
    }
}

fn now(balancers: &[Balancer]) -> Result<BTreeMap<(String, String), PeerLine>, LabError> {
    let mut sessions = BTreeMap::new();
    for balancer in balancers.iter().filter(|balancer| balancer.has_haproxy()) {
        for line in peers(&balancer.haproxy_socket())? {
            sessions.insert((balancer.name().to_owned(), line.name.clone()), line);
        }
    }
    Ok(sessions)
}
