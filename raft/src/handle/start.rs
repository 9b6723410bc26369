//! Starting: open what is on disk, check it, take part.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};

use super::{Inner, Raft};
use crate::{
    autopilot,
    config::RaftConfig,
    forward::Forwarder,
    heard::Heard,
    log_store::{self, Damage, OpenError},
    network::{Network, Wire},
    snapshot::{SnapshotOpenError, SnapshotStore},
    state::State,
    state_machine::Machine,
    upkeep::{self, Disk},
};

/// Why consensus did not start. Nothing on disk has changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The timing does not fit together.
    #[error("the timing of elections is not possible: {0}")]
    Config(String),
    /// The directory cannot be used.
    #[error("{0}")]
    Storage(String),
    /// What is on disk is not whole (G7). The node must not vote.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// What is on disk does not fit together.
    #[error("what is on disk could not be restored: {0}")]
    Restore(String),
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged(damage) => Self::Damaged(damage),
            other => Self::Storage(other.to_string()),
        }
    }
}

impl From<SnapshotOpenError> for StartError {
    fn from(error: SnapshotOpenError) -> Self {
        match error {
            SnapshotOpenError::Damaged(damage) => Self::Damaged(damage),
            other => Self::Storage(other.to_string()),
        }
    }
}

impl Raft {
    /// Opens the directory of a node, checks everything in it, and takes part in consensus over `wire`.
    ///
    /// The handle must be ended with [`Raft::shutdown`], or with the runtime that it was started on; dropping it does
    /// not end it. A node with an empty directory does nothing until it founds a cluster ([`Raft::initialise`]) or a leader speaks
    /// to it.
    ///
    /// # Errors
    /// When the directory cannot be used, or what is in it is damaged: then the node must not take part.
    pub async fn start(config: RaftConfig, wire: Arc<dyn Wire>) -> Result<Self, StartError> {
        let settings = config.to_openraft().map_err(|error| StartError::Config(error.to_string()))?;
        let (dir, me) = (config.dir.clone(), config.me);
        let opened = tokio::task::spawn_blocking(move || {
            let store = log_store::open(&dir, me)?;
            Ok::<_, StartError>((store, SnapshotStore::open(&dir)?))
        });
        let (store, snapshots) = opened.await.map_err(|error| StartError::Storage(error.to_string()))??;
        let (publish, state) = watch::channel(Arc::new(State::default()));
        let machine = Machine::new(snapshots, publish);
        let network = Network { me, wire: Arc::clone(&wire), timing: config.timing };
        // A task of its own: what the core logs for the rest of its life must not carry the span of whoever starts it.
        let log = store.clone();
        let core = tokio::spawn(openraft::Raft::new(me.get(), Arc::new(settings), network, log, machine))
            .await
            .map_err(|error| StartError::Restore(error.to_string()))?
            .map_err(|error| StartError::Restore(error.to_string()))?;
        let forwarder = Forwarder::new(wire, config.timing.connect);
        let tasks = std::sync::Mutex::new(JoinSet::new());
        let (heard, runtime) = (Arc::new(Heard::new()), tokio::runtime::Handle::current());
        let disk = Disk::new(&config);
        let inner = Inner { config, core, store, state, forwarder, heard, disk, runtime, tasks };
        let raft = Self { inner: Arc::new(inner) };
        raft.spawn(upkeep::run(raft.clone()));
        if raft.config().autopilot.enabled {
            raft.spawn(autopilot::run(raft.clone()));
        }
        Ok(raft)
    }
}
