//! Linearizable reads at any node, by ReadIndex (Ongaro, "Consensus: bridging theory and practice", section 6.4).
//!
//! The leader confirms with a quorum that it still leads, and says up to where a state must be applied to be current;
//! the node that was asked waits until its own state is that far, and reads there. Leases are not used: they trust
//! clocks.

use std::{sync::Arc, time::Duration};

use identity::NodeId;
use openraft::ReadPolicy;
use tokio::time::{Instant, timeout_at};

use super::Raft;
use crate::{
    forward::{Answer, Question},
    state::State,
};

/// Why a read was not answered. A local read is still possible; it may be old.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader has confirmed within the deadline what is current.
    #[error("no quorum has confirmed the read within {waited:?}: {reason}; a local read is possible, it may be old")]
    Unavailable {
        /// How long was waited.
        waited: Duration,
        /// What stood in the way last.
        reason: String,
    },
    /// Consensus has ended on this node.
    #[error("this node takes no part in consensus any more: {0}; restart it")]
    Stopped(String),
}

impl Raft {
    /// The current state: everything that was acknowledged to anyone before this call is in it (G3).
    ///
    /// # Errors
    /// When no quorum answers within the deadline, or consensus has ended on this node.
    pub async fn read(&self, deadline: Duration) -> Result<Arc<State>, ReadError> {
        let end = Instant::now() + deadline;
        let mut reason = "there is no leader".to_owned();
        loop {
            match timeout_at(end, self.read_index(end)).await {
                Ok(Ok(index)) => return self.state_at(index, end, deadline).await,
                Ok(Err(why)) => reason = why,
                Err(_) => {}
            }
            if let Some(reason) = self.metrics().fatal {
                return Err(ReadError::Stopped(reason));
            }
            if self.is_too_late_to_retry(end).await {
                return Err(ReadError::Unavailable { waited: deadline, reason });
            }
        }
    }

    async fn read_index(&self, end: Instant) -> Result<u64, String> {
        let leader = self.known_leader()?;
        tokio::select! {
            biased;
            index = self.read_index_from(leader, end) => index,
            () = self.no_longer_led_by(leader) => Err(format!("{leader} leads no more")),
        }
    }

    async fn read_index_from(&self, leader: NodeId, end: Instant) -> Result<u64, String> {
        if leader == self.me() { self.read_index_here().await } else { self.ask_read_index(leader, end).await }
    }

    /// Confirms with a quorum that this node leads.
    pub(super) async fn read_index_here(&self) -> Result<u64, String> {
        let (current, _) =
            self.core().get_read_log_id(ReadPolicy::ReadIndex).await.map_err(|error| error.to_string())?;
        Ok(current.index())
    }

    async fn ask_read_index(&self, leader: NodeId, end: Instant) -> Result<u64, String> {
        let wait_ms = u64::try_from((end - Instant::now()).as_millis()).unwrap_or(u64::MAX);
        match self.inner.forwarder.ask(leader, Question::ReadIndex { wait_ms }).await {
            Ok(Answer::ReadIndex(index)) => Ok(index),
            Ok(Answer::NotDone { reason, .. }) => Err(reason),
            Ok(Answer::Applied { .. }) => Err("the answer was to another question".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// This node's state, when it is applied up to `index`.
    pub(super) async fn state_at(&self, index: u64, end: Instant, waited: Duration) -> Result<Arc<State>, ReadError> {
        let mut state = self.watch();
        let is_current = |state: &Arc<State>| state.applied.is_some_and(|applied| applied.index >= index);
        match timeout_at(end, state.wait_for(is_current)).await {
            Ok(Ok(state)) => Ok(Arc::clone(&state)),
            Ok(Err(_)) => Err(ReadError::Stopped("its state machine has ended".to_owned())),
            Err(_) => {
                let reason = format!("this node is not yet at log index {index}");
                Err(ReadError::Unavailable { waited, reason })
            }
        }
    }
}
