//! The state machine as openraft drives it: entries in, snapshots out, every change published.
//!
//! The state lives in memory. After a restart it is the last snapshot plus the committed entries behind it.

use std::{io, sync::Arc};

use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
};
use tokio::sync::watch;

use crate::{
    command::Stamped,
    outcome::Response,
    snapshot::{SnapshotStore, Stored},
    state::{LogId, State},
    types::{C, Entry, EntryId, SnapshotMeta, StoredMembership, entry_id, log_id},
};

/// Entries applied before their result is published, at most.
const PUBLISH_ENTRIES_MAX: usize = 256;

type SnapshotOf = openraft::alias::SnapshotOf<C, Arc<Vec<u8>>>;

pub(crate) struct Machine {
    state: State,
    membership: StoredMembership,
    snapshots: SnapshotStore,
    publish: watch::Sender<Arc<State>>,
}

/// A view of the state at one place in the log, to be made a snapshot of.
pub(crate) struct Builder {
    state: State,
    meta: SnapshotMeta,
    snapshots: SnapshotStore,
}

impl Machine {
    /// An empty machine; openraft installs the last snapshot before anything else.
    pub(crate) fn new(snapshots: SnapshotStore, publish: watch::Sender<Arc<State>>) -> Self {
        Self { state: State::default(), membership: StoredMembership::default(), snapshots, publish }
    }

    async fn apply_entry(&mut self, entry: &Entry) -> io::Result<Response> {
        let at = log_id(&entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => self.state.advance(at),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                self.state.advance(at);
            }
            EntryPayload::Normal(stamped) if stamped.proposal.command.is_heavy() => {
                return self.apply_aside(Arc::clone(stamped), at).await;
            }
            EntryPayload::Normal(stamped) => return Ok(self.state.apply(stamped, at)),
        }
        Ok(Response::Nothing)
    }

    /// Applies what takes long on a thread for such work: heartbeats go on meanwhile. An entry that was not applied is
    /// an error, and the end of this node's part: skipping it would be another state than the others have (G5).
    async fn apply_aside(&mut self, stamped: Arc<Stamped>, at: LogId) -> io::Result<Response> {
        let mut state = self.state.clone();
        let (state, response) = blocking(move || {
            let response = state.apply(&stamped, at);
            Ok((state, response))
        })
        .await?;
        self.state = state;
        Ok(response)
    }

    fn applied(&self) -> Option<EntryId> {
        self.state.applied.map(entry_id)
    }

    /// Whoever waits for an answer finds the state that the answer speaks of.
    fn publish(&self, answers: Vec<(ApplyResponder<C>, Response)>) {
        self.publish.send_replace(Arc::new(self.state.clone()));
        for (responder, response) in answers {
            responder.send(response);
        }
    }
}

impl RaftStateMachine<C> for Machine {
    type SnapshotData = Arc<Vec<u8>>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<EntryId>, StoredMembership), io::Error> {
        Ok((self.applied(), self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<C>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(PUBLISH_ENTRIES_MAX);
        while let Some(chunk) = chunks.next().await {
            let mut answers = Vec::new();
            for item in chunk {
                let (entry, responder) = item?;
                let response = self.apply_entry(&entry).await?;
                answers.extend(responder.map(|responder| (responder, response)));
            }
            self.publish(answers);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMeta { last_log_id: self.applied(), last_membership: self.membership.clone() };
        Builder { state: self.state.clone(), meta, snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Arc<Vec<u8>>) -> Result<(), io::Error> {
        let stored = Stored { meta: meta.clone(), state: snapshot };
        let snapshots = self.snapshots.clone();
        let state = blocking(move || {
            let state = State::decode(&stored.state).map_err(io::Error::other)?;
            if state.applied.map(entry_id) != stored.meta.last_log_id {
                return Err(io::Error::other("the state in the snapshot is of another place in the log"));
            }
            snapshots.save(stored)?;
            Ok(state)
        })
        .await?;
        self.state = state;
        self.membership = meta.last_membership.clone();
        self.publish(Vec::new());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf>, io::Error> {
        Ok(self.snapshots.current().map(|stored| Snapshot { meta: stored.meta, snapshot: stored.state }))
    }
}

impl RaftSnapshotBuilder<C> for Builder {
    type SnapshotData = Arc<Vec<u8>>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf, io::Error> {
        let (state, meta, snapshots) = (self.state.clone(), self.meta.clone(), self.snapshots.clone());
        blocking(move || {
            let bytes = Arc::new(state.encode().map_err(io::Error::other)?);
            snapshots.save(Stored { meta: meta.clone(), state: Arc::clone(&bytes) })?;
            Ok(Snapshot { meta, snapshot: bytes })
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
