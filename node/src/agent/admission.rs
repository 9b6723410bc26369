//! The words that pass on a forming stream, after both sides have proven the secret.

use identity::MemberRecord;
use raft::NewMember;
use serde::{Deserialize, Serialize};

use super::enrolment::Enrolment;

/// What a node without a certificate asks of one it has found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FormRequest {
    /// Zero-touch: what I know of the candidates and the ballot.
    Ballot(membership::forming::Message),
    /// Zero-touch: you were elected; my certificate, please.
    Collect,
    /// By token: admit me.
    Join(NewMember),
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FormReply {
    /// What I know of the candidates and the ballot.
    Ballot(membership::forming::Message),
    /// Not minted yet; ask again.
    NotYet,
    /// You are a member.
    Granted(Grant),
    /// No, and why.
    Refused(String),
}

/// Everything that a new member needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// Its name and certificate.
    pub(crate) enrolment: Enrolment,
    /// The members it can reach the cluster by, itself included.
    pub(crate) members: Vec<MemberRecord>,
}
