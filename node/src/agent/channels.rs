//! The sync channels that the cluster's documents declare, beside those of the node's own configuration.

use policy::{Body, Channel, Document};
use raft::State;

use super::compiled;

/// The channels of the live revision and of the one that is to follow it.
///
/// Both hold at once: a channel is open before the revision that declares it goes live, and closed after the revision
/// that no longer does (add before remove, G0). They come from the log alone, so that a restart closes none.
#[derive(Debug, Default)]
pub(crate) struct DocumentChannels {
    /// The two revisions that `channels` are of.
    of: Option<(u64, u64)>,
    channels: Vec<Channel>,
}

impl DocumentChannels {
    /// The channels of this state; documents are read again only when a revision has changed.
    pub(crate) fn of(&mut self, state: &State) -> &[Channel] {
        let live = live_revision(state);
        let wanted = compiled::wanted_revision(state);
        if self.of != Some((live, wanted)) {
            self.channels = agreed(state);
            self.of = Some((live, wanted));
        }
        &self.channels
    }
}

/// The channels of the live revision and of the one that is to follow it.
#[must_use]
pub(crate) fn agreed(state: &State) -> Vec<Channel> {
    let mut channels = live(state);
    let wanted = compiled::wanted_revision(state);
    if wanted != live_revision(state) {
        channels.extend(declared(state, wanted));
    }
    channels
}

/// The channels of the live revision.
#[must_use]
pub(crate) fn live(state: &State) -> Vec<Channel> {
    declared(state, live_revision(state))
}

/// The channels of some documents.
pub(crate) fn of(documents: &[Document]) -> impl Iterator<Item = Channel> + '_ {
    documents.iter().filter_map(channel)
}

fn live_revision(state: &State) -> u64 {
    state.active.as_ref().map_or(0, |epoch| epoch.revision)
}

fn declared(state: &State, revision: u64) -> Vec<Channel> {
    if revision == state.revision() {
        return of(&state.documents).collect();
    }
    of(&compiled::documents(state, revision).unwrap_or_default()).collect()
}

/// A document that the log accepted makes a channel; what is not a channel makes none.
fn channel(document: &Document) -> Option<Channel> {
    match &document.body {
        Body::SyncChannel(spec) => Channel::try_from(spec.clone()).ok(),
        _ => None,
    }
}
