//! From the replicated state to an image: deterministic, so that every node comes to the same bytes (G5).

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use identity::NodeId;
use policy::{CompileLimits, Document, Image, Model};
use raft::State;

use super::coordinator::Target;

/// A revision, validated and compiled for the members of one state.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// Which revision, and what it came to.
    pub(crate) target: Target,
    /// The validated policy.
    pub(crate) model: Model,
    /// The addresses of the built-in segment `members`.
    pub(crate) members: Vec<IpAddr>,
    /// The image.
    pub(crate) image: Image,
    /// Its rules as they are shown, `policy/side/rule`.
    pub(crate) rule_names: Arc<[String]>,
}

/// Why a revision has no image on this node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileRevisionError {
    /// The history no longer holds its documents.
    #[error("revision {0} is no longer in the history of this node; apply its documents again")]
    Forgotten(u64),
    /// There has never been one.
    #[error(
        "revision {revision} does not exist; the newest is {newest}, and `hedgerow policy history` lists those that are kept"
    )]
    Unknown {
        /// What was asked for.
        revision: u64,
        /// What there is.
        newest: u64,
    },
    /// The documents do not make a policy.
    #[error("revision {revision} does not validate: {diagnostics}")]
    Invalid {
        /// The revision.
        revision: u64,
        /// What is wrong.
        diagnostics: policy::Diagnostics,
    },
    /// The policy does not fit.
    #[error("revision {revision} has no image: {source}; {}", source.advice)]
    TooLarge {
        /// The revision.
        revision: u64,
        /// The limit that was passed.
        source: policy::CompileError,
    },
}

/// Compiles `revision` for the members of `state`. Revision 0 is the empty policy of a new cluster.
///
/// # Errors
/// The revision is unknown, forgotten, invalid, or past a limit.
pub(crate) fn compile(state: &State, revision: u64) -> Result<Compiled, CompileRevisionError> {
    let newest = state.revision();
    let documents = documents(state, revision).ok_or(if revision > newest {
        CompileRevisionError::Unknown { revision, newest }
    } else {
        CompileRevisionError::Forgotten(revision)
    })?;
    let model =
        policy::validate(&documents).map_err(|diagnostics| CompileRevisionError::Invalid { revision, diagnostics })?;
    let members = routable_addresses(state);
    // By the same limits on every node, whatever its tables hold: what the image looks like depends on them (G5).
    let image = policy::compile(&model, &members, &CompileLimits::default())
        .map_err(|source| CompileRevisionError::TooLarge { revision, source })?;
    let rule_names = image.rules.iter().map(ToString::to_string).collect();
    Ok(Compiled { target: Target { revision, image: image.digest() }, model, members, image, rule_names })
}

/// The documents of a revision that the history still holds.
#[must_use]
pub(crate) fn documents(state: &State, revision: u64) -> Option<Vec<Document>> {
    if revision == 0 {
        return Some(Vec::new());
    }
    state.find_revision(revision)?.documents().ok()
}

/// The number of the newest revision that is not given up, 0 before the first.
#[must_use]
pub(crate) fn wanted_revision(state: &State) -> u64 {
    let latest = state.revision();
    match &state.aborted {
        Some(aborted) if aborted.revision == latest => state.active.as_ref().map_or(0, |active| active.revision),
        _ => latest,
    }
}

/// Every address of every member that can be routed to, sorted: a link-local one means another node on each link.
#[must_use]
pub(crate) fn routable_addresses(state: &State) -> Vec<IpAddr> {
    let all = state.members.values().flat_map(|member| member.addresses.iter().map(|address| address.addr));
    let routable: BTreeSet<IpAddr> = all.filter(|addr| !is_link_local(*addr)).collect();
    routable.into_iter().collect()
}

fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

/// The members that enforce: all but witnesses.
pub(crate) fn enforcing(state: &State) -> impl Iterator<Item = NodeId> + '_ {
    state.members.values().filter(|member| !member.witness).map(|member| member.node)
}
