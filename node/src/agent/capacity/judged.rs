//! Writing what asks more of the guard: judged by what the cluster knows, and taken only while that is so (G0).
//!
//! Who judges and then writes may be overtaken in between: two joiners at two members each fit alone. So the log refuses
//! what was judged by members or channels that are not the current ones, and the judgement is made again.

use std::time::Duration;

use raft::{Command, Outcome, Proposal, Raft, ReadError, Refusal, State, WriteError};
use tokio::time::Instant;

use super::NoRoom;
use crate::agent::lead;

/// Why nothing was written; [`WriteError`] may leave it open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwritten {
    /// The guard has no room.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// What to judge by could not be read.
    #[error(transparent)]
    Unread(#[from] ReadError),
    /// The log did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Others were faster, every time.
    #[error(
        "members or channels changed again and again for {0:?} while this was judged; nothing was written; try again"
    )]
    Overtaken(Duration),
}

/// Commits `command` if `judge` finds room in the guard, as it is when the command takes effect.
///
/// # Errors
/// See [`Unwritten`].
pub(crate) async fn write(
    raft: &Raft,
    actor: &str,
    command: &Command,
    within: Duration,
    judge: impl Fn(&State) -> Result<(), NoRoom>,
) -> Result<Outcome, Unwritten> {
    let end = Instant::now() + within;
    let left = || end.saturating_duration_since(Instant::now());
    loop {
        let state = raft.read(left()).await?;
        judge(&state)?;
        let proposal = Proposal { guard_basis: Some(state.guard_basis()), ..lead::proposal(actor, command.clone()) };
        match raft.write(proposal, left()).await {
            Err(WriteError::Refused(Refusal::GuardMoved)) if left().is_zero() => {
                return Err(Unwritten::Overtaken(within));
            }
            Err(WriteError::Refused(Refusal::GuardMoved)) => {}
            written => return Ok(written?),
        }
    }
}

#[cfg(test)]
mod tests;
