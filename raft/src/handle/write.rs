//! Writes at any node: to the leader, once, and to the next leader when that one is gone.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use identity::NodeId;
use openraft::{
    async_runtime::watch::WatchReceiver,
    errors::{ClientWriteError, RaftError},
};
use tokio::time::{Instant, timeout_at};

use super::Raft;
use crate::{
    codec,
    command::{PROPOSAL_BYTES_MAX, Proposal, Stamped},
    forward::{Answer, ForwardError, Leader, Question},
    outcome::{Outcome, Refusal, Response},
    types::log_id,
};

/// Between two looks at who leads, when nothing changes: for what is not seen as a change.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How long a write that the leader has answered waits for this node's own state to be as far. It is longer than an
/// election; a node that is further behind than that answers all the same, for the write is done.
const OWN_WRITE_WITHIN: Duration = Duration::from_millis(500);

/// Why a write was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It was committed, and the state machine refused it. Nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No quorum has acknowledged it within the deadline.
    #[error(
        "the write was not acknowledged within {waited:?}: {reason}; {}",
        if *may_have_committed { "it may have been committed, or may be yet: ask again with the same request id" }
        else { "it was not committed" }
    )]
    Unavailable {
        /// Whether it may have been committed, or may be yet. If not, it will never be.
        may_have_committed: bool,
        /// How long was waited.
        waited: Duration,
        /// What stood in the way last.
        reason: String,
    },
    /// It is too large to be proposed. Nothing has changed.
    #[error("the proposal has {bytes} bytes, the limit is {PROPOSAL_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Consensus has ended on this node. It was not committed through this node.
    #[error("this node takes no part in consensus any more: {reason}; restart it")]
    Stopped {
        /// Why.
        reason: String,
        /// Whether the write may have been committed.
        may_have_committed: bool,
    },
}

/// One try.
enum Attempt {
    /// It is in the log at this index, and that is what it came to.
    Answered {
        index: u64,
        response: Response,
    },
    /// It was not taken; try again, when somebody leads.
    NotTaken(String),
    /// Nobody knows; the same request id makes it safe to try again.
    InDoubt(String),
    Stopped(String),
}

impl Raft {
    /// Commits a write, from any node. It is forwarded to the leader; while there is none it waits for one, until the
    /// deadline. The same proposal may be written again with the same `request_id`: it takes effect once.
    ///
    /// Who writes at a node finds what it wrote in the state of that node ([`Raft::local`]), unless the node is behind by
    /// more than half a second.
    ///
    /// # Errors
    /// [`WriteError`] says in each case whether the write may have taken effect.
    pub async fn write(&self, proposal: Proposal, deadline: Duration) -> Result<Outcome, WriteError> {
        let stamped = Arc::new(Stamped { proposal, at_ms: now_ms() });
        check_size(&stamped)?;
        let end = Instant::now() + deadline;
        let mut may_have_committed = false;
        loop {
            let reason = match self.attempt(&stamped, end).await {
                Attempt::Answered { response: Response::Done(outcome), .. } => return Ok(outcome),
                Attempt::Answered { response: Response::Refused(refusal), .. } => return Err(refusal.into()),
                Attempt::Answered { response: Response::Nothing, .. } => {
                    "the answer was to another question".to_owned()
                }
                Attempt::Stopped(reason) => return Err(WriteError::Stopped { reason, may_have_committed }),
                Attempt::NotTaken(reason) => reason,
                Attempt::InDoubt(reason) => {
                    may_have_committed = true;
                    reason
                }
            };
            if self.is_too_late_to_retry(end).await {
                return Err(WriteError::Unavailable { may_have_committed, waited: deadline, reason });
            }
        }
    }

    async fn attempt(&self, stamped: &Arc<Stamped>, end: Instant) -> Attempt {
        match self.known_leader() {
            Err(why) => match self.metrics().fatal {
                Some(reason) => Attempt::Stopped(reason),
                None => Attempt::NotTaken(why),
            },
            Ok(leader) if leader == self.me() => self.propose(Arc::clone(stamped), end).await,
            Ok(leader) => {
                let attempt = self.forward_write(leader, stamped, end).await;
                if let Attempt::Answered { index, .. } = attempt {
                    self.own_write_applied(index, end).await;
                }
                attempt
            }
        }
    }

    /// Waits until the entry at `index`, which the leader has applied, is part of this node's state too.
    async fn own_write_applied(&self, index: u64, end: Instant) {
        let end = end.min(Instant::now() + OWN_WRITE_WITHIN);
        if let Err(error) = self.state_at(index, end, OWN_WRITE_WITHIN).await {
            tracing::debug!(%error, "a write was acknowledged before this node had applied it");
        }
    }

    /// Proposes at this node, which must lead.
    async fn propose(&self, stamped: Arc<Stamped>, end: Instant) -> Attempt {
        // Without a quorum writes would only pile up in doubt.
        match self.known_leader() {
            Ok(leader) if leader == self.me() => {}
            Ok(leader) => return Attempt::NotTaken(format!("{leader} leads, not {}", self.me())),
            Err(reason) => return Attempt::NotTaken(reason),
        }
        if let Err(reason) = self.disk().check() {
            return Attempt::NotTaken(format!("{}, the leader, takes no writes: {reason}", self.me()));
        }
        match timeout_at(end, self.core().client_write(stamped)).await {
            Ok(Ok(committed)) => Attempt::Answered { index: log_id(&committed.log_id).index, response: committed.data },
            Ok(Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)))) => {
                Attempt::InDoubt("the leader changed while the write was on its way".to_owned())
            }
            Ok(Err(RaftError::APIError(error))) => Attempt::NotTaken(error.to_string()),
            Ok(Err(RaftError::Fatal(error))) => Attempt::Stopped(error.to_string()),
            Err(_) => Attempt::InDoubt(format!("{} leads, but no quorum has acknowledged the write", self.me())),
        }
    }

    async fn forward_write(&self, leader: NodeId, stamped: &Arc<Stamped>, end: Instant) -> Attempt {
        let wait_ms = u64::try_from((end - Instant::now()).as_millis()).unwrap_or(u64::MAX);
        let question = Question::Write { stamped: Arc::clone(stamped), wait_ms };
        let asked = async {
            tokio::select! {
                biased;
                answer = self.inner.forwarder.ask(leader, question) => answer,
                () = self.no_longer_led_by(leader) => {
                    Err(ForwardError::NoAnswer(format!("{leader} leads no more")))
                }
            }
        };
        match timeout_at(end, asked).await {
            Ok(Ok(Answer::Applied { index, response })) => Attempt::Answered { index, response },
            Ok(Ok(Answer::NotDone { may_have_committed: false, reason })) => Attempt::NotTaken(reason),
            Ok(Ok(Answer::NotDone { reason, .. })) => Attempt::InDoubt(reason),
            Ok(Ok(Answer::ReadIndex(_))) => Attempt::InDoubt("the answer was to another question".to_owned()),
            Ok(Err(ForwardError::NotSent(error))) => Attempt::NotTaken(error.to_string()),
            Ok(Err(error @ ForwardError::NoAnswer(_))) => Attempt::InDoubt(error.to_string()),
            Err(_) => Attempt::InDoubt(format!("{leader}, the leader, has not answered")),
        }
    }

    /// Returns when this node no longer takes `leader` for the leader.
    pub(super) async fn no_longer_led_by(&self, leader: NodeId) {
        while self.leader() == Some(leader) {
            self.leader_may_have_changed().await;
        }
    }

    /// Returns when somebody may lead who did not before, or after a while.
    pub(super) async fn leader_may_have_changed(&self) {
        let mut metrics = self.core().server_metrics();
        metrics.borrow_and_update();
        if let Ok(Err(_)) = tokio::time::timeout(RETRY_INTERVAL, metrics.changed()).await {
            // The core is gone, and will not change any more.
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Waits for a better moment to try again; true when there is none before the end.
    pub(super) async fn is_too_late_to_retry(&self, end: Instant) -> bool {
        timeout_at(end, self.leader_may_have_changed()).await.is_err() || Instant::now() >= end
    }
}

impl Leader for Raft {
    async fn answer(&self, from: NodeId, question: Question) -> Answer {
        match question {
            Question::Write { stamped, wait_ms } => {
                let end = Instant::now() + Duration::from_millis(wait_ms.min(WAIT_MS_MAX));
                if let Err(error) = check_size(&stamped) {
                    return Answer::NotDone { may_have_committed: false, reason: error.to_string() };
                }
                match self.propose(stamped, end).await {
                    Attempt::Answered { index, response } => Answer::Applied { index, response },
                    Attempt::NotTaken(reason) => Answer::NotDone { may_have_committed: false, reason },
                    Attempt::InDoubt(reason) | Attempt::Stopped(reason) => {
                        Answer::NotDone { may_have_committed: true, reason }
                    }
                }
            }
            Question::ReadIndex { wait_ms } => {
                let end = Instant::now() + Duration::from_millis(wait_ms.min(WAIT_MS_MAX));
                match timeout_at(end, self.read_index_here()).await {
                    Ok(Ok(index)) => Answer::ReadIndex(index),
                    Ok(Err(reason)) => Answer::NotDone { may_have_committed: false, reason },
                    Err(_) => {
                        let reason = format!("{} could not confirm to {from} that it leads", self.me());
                        Answer::NotDone { may_have_committed: false, reason }
                    }
                }
            }
        }
    }
}

/// Milliseconds that a peer may ask this node to wait, at most.
const WAIT_MS_MAX: u64 = 10 * 60 * 1000;

fn check_size(stamped: &Stamped) -> Result<(), WriteError> {
    let bytes = codec::encode(stamped).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > PROPOSAL_BYTES_MAX { Err(WriteError::TooLarge { bytes }) } else { Ok(()) }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
