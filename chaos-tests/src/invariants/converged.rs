//! Every node enforces the same bytes: one revision, one digest, read back from the kernel (G5, G17).

use std::time::Duration;

use crate::LabError;
use crate::site::{Attested, Balancer};
use crate::wait;

/// What all nodes agree on.
#[derive(Clone, Debug)]
pub struct Converged {
    /// The revision that every node enforces.
    pub revision: u64,
    /// The digest of every node's maps.
    pub digest: String,
    /// How long it took to get there.
    pub took: Duration,
}

/// Waits until all these nodes are ready and attest the same revision, at least `revision_min`, with the same digest.
pub fn converged(balancers: &[Balancer], revision_min: u64, limit: Duration) -> Result<Converged, LabError> {
    let what = format!("{} nodes to enforce the same bytes", balancers.len());
    let (attested, took) = wait::until(&what, limit, || same(balancers, revision_min))?;
    Ok(Converged { revision: attested.revision, digest: attested.digest, took })
}

fn same(balancers: &[Balancer], revision_min: u64) -> Result<Attested, String> {
    let mut first: Option<Attested> = None;
    for balancer in balancers {
        let name = balancer.name();
        let status = balancer.cli().status().map_err(|error| format!("{name}: {error}"))?;
        if !status.ready {
            return Err(format!("{name} waits for {}", status.waiting_for.join("; ")));
        }
        let attested = status.enforcement.attested.ok_or_else(|| format!("{name} attests nothing"))?;
        if attested.revision < revision_min || attested.revision != status.policy.revision {
            return Err(format!("{name} enforces revision {} of {}", attested.revision, status.policy.revision));
        }
        match &first {
            Some(other) if (other.revision, &other.digest) != (attested.revision, &attested.digest) => {
                return Err(format!("{name} enforces {attested:?}, another {other:?}"));
            }
            Some(_) => (),
            None => first = Some(attested),
        }
    }
    first.ok_or_else(|| "no node was asked".to_owned())
}
