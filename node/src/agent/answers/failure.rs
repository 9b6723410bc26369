//! What went wrong below, in the words of the API.

use raft::{ReadError, Refusal, WriteError};

use crate::peer::ApiError;

/// Why a linearizable read has no answer.
pub(super) fn read(error: &ReadError) -> ApiError {
    let message = format!("{error} (`--local`, or `consistency=local` in the API)");
    ApiError::Unavailable { message, may_have_committed: false }
}

/// Why a write was not even begun: what it builds on could not be read.
pub(super) fn unread(error: &ReadError) -> ApiError {
    let message = match error {
        ReadError::Unavailable { waited, reason } => {
            format!("no quorum answered within {waited:?}: {reason}; the write was not begun")
        }
        ReadError::Stopped(_) => error.to_string(),
    };
    ApiError::Unavailable { message, may_have_committed: false }
}

/// Why a write was not acknowledged.
pub(super) fn write(error: WriteError) -> ApiError {
    match error {
        WriteError::Refused(refusal) => refused(&refusal),
        WriteError::Unavailable { may_have_committed, .. } => {
            ApiError::Unavailable { message: error.to_string(), may_have_committed }
        }
        WriteError::TooLarge { .. } => ApiError::TooLarge { message: error.to_string() },
        WriteError::Stopped { may_have_committed, .. } => {
            ApiError::Unavailable { message: error.to_string(), may_have_committed }
        }
    }
}

fn refused(refusal: &Refusal) -> ApiError {
    let message = refusal.to_string();
    match refusal {
        Refusal::Conflict { current, .. } => ApiError::Conflict { message, revision: Some(*current) },
        Refusal::GuardMoved => ApiError::Conflict { message, revision: None },
        Refusal::UnknownRevision { .. } | Refusal::CompactedRevision { .. } | Refusal::UnknownMember(_) => {
            ApiError::NotFound { message, help: None }
        }
        Refusal::NotFounded => ApiError::not_ready(message, "wait: `hedgerow status --wait 60`"),
        _ => ApiError::invalid(message),
    }
}
