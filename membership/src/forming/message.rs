//! What forming nodes tell each other.

use std::net::SocketAddr;

use identity::Fingerprint;
use serde::{Deserialize, Serialize};

use super::{Ballot, CANDIDATES_MAX};

/// Longest name of a candidate, in bytes.
pub const CANDIDATE_NAME_BYTES_MAX: usize = 64;

/// Longest payload of a candidate, in bytes.
pub const CANDIDATE_PAYLOAD_BYTES_MAX: usize = 4_096;

/// A node that may found the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    /// The fingerprint of its key: who it is.
    pub fingerprint: Fingerprint,
    /// Where it can be reached.
    pub addr: SocketAddr,
    /// Its name, for people.
    pub name: String,
    /// Whatever the founders need to know of each other, carried along unread.
    pub payload: Vec<u8>,
}

/// All that a forming node knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// How many founders it expects.
    pub expect: usize,
    /// The candidates that it has heard of, itself among them.
    pub candidates: Vec<Candidate>,
    /// Its ballot, once it has been cast and made durable.
    pub ballot: Option<Ballot>,
}

/// A message that no sound node sends; nothing was taken from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error("its sender is not among its candidates")]
    Sender,
    #[error("it tells of {0} candidates; at most {max} are kept in mind", max = CANDIDATES_MAX + 1)]
    Candidates(usize),
    #[error("the name or the payload of a candidate is too long")]
    Length,
    #[error("its ballot does not contain its sender")]
    Ballot,
}

impl Message {
    pub(super) fn check(&self, from: &Fingerprint) -> Result<(), MessageError> {
        if self.candidates.len() > CANDIDATES_MAX + 1 {
            return Err(MessageError::Candidates(self.candidates.len()));
        }
        if !self.candidates.iter().any(|candidate| candidate.fingerprint == *from) {
            return Err(MessageError::Sender);
        }
        if self.ballot.as_ref().is_some_and(|ballot| !ballot.set().contains(from)) {
            return Err(MessageError::Ballot);
        }
        let fits = |candidate: &Candidate| {
            candidate.name.len() <= CANDIDATE_NAME_BYTES_MAX && candidate.payload.len() <= CANDIDATE_PAYLOAD_BYTES_MAX
        };
        if self.candidates.iter().all(fits) { Ok(()) } else { Err(MessageError::Length) }
    }
}
