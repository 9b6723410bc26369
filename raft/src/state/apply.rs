//! The state machine's one entry: what a committed write does.

use super::{Answered, LogId, State};
use crate::{
    command::{ACTOR_BYTES_MAX, Command, Genesis, MESSAGE_TEXT_BYTES_MAX, Stamped},
    outcome::{Outcome, Refusal, Response},
};

/// Where and when a write happens: all that a command may know besides the state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    pub index: u64,
    pub at_ms: u64,
    pub actor: &'a str,
}

impl State {
    /// Takes note of an entry that is not a write.
    pub(crate) fn advance(&mut self, at: LogId) {
        self.applied = Some(at);
    }

    /// Applies a committed write. A refused one changes nothing but [`State::applied`]; a repeated one neither.
    pub(crate) fn apply(&mut self, stamped: &Stamped, at: LogId) -> Response {
        self.applied = Some(at);
        let proposal = &stamped.proposal;
        if let Some(outcome) = self.answered(proposal.request_id) {
            return Response::Done(Outcome { repeated: true, ..outcome });
        }
        let moment = Moment { index: at.index, at_ms: stamped.at_ms, actor: &proposal.actor };
        match self.check_guard_basis(proposal).and_then(|()| self.execute(&proposal.command, moment)) {
            Ok(outcome) => {
                self.audit.record(at.index, stamped.at_ms, &proposal.actor, proposal.command.summary());
                self.requests.push(Answered { request_id: proposal.request_id, outcome });
                Response::Done(outcome)
            }
            Err(refusal) => Response::Refused(refusal),
        }
    }

    /// Every command checks first and changes afterwards, so that an error means that nothing changed.
    fn execute(&mut self, command: &Command, moment: Moment<'_>) -> Result<Outcome, Refusal> {
        limit("bytes of the actor's name", moment.actor.len(), ACTOR_BYTES_MAX)?;
        if !self.is_founded() && !matches!(command, Command::Found { .. }) {
            return Err(Refusal::NotFounded);
        }
        match command {
            Command::Found { genesis, members } => self.found(genesis, members, moment),
            Command::Apply { documents, prune, expect, message } => {
                limit("bytes of the message", message.len(), MESSAGE_TEXT_BYTES_MAX)?;
                self.apply_documents(documents, *prune, *expect, message, moment)
            }
            Command::Rollback { to, expect, message } => {
                limit("bytes of the message", message.len(), MESSAGE_TEXT_BYTES_MAX)?;
                self.roll_back(*to, *expect, message, moment)
            }
            Command::Activate { revision, image } => self.activate(*revision, *image, moment),
            Command::Abort { revision, reason } => {
                limit("bytes of the reason", reason.len(), MESSAGE_TEXT_BYTES_MAX)?;
                self.abort(*revision, reason, moment)
            }
            Command::CreateToken(record) => self.create_token(record, moment),
            Command::Admit { token, member } => self.admit(*token, member, moment),
            Command::UpdateMember(record) => self.update_member(record, moment),
            Command::RemoveMember { node } => self.remove_member(*node, moment),
            Command::Note { what } => {
                limit("bytes of the note", what.len(), MESSAGE_TEXT_BYTES_MAX)?;
                Ok(Outcome::at(moment.index))
            }
        }
    }

    fn found(
        &mut self,
        genesis: &Genesis,
        members: &[identity::MemberRecord],
        moment: Moment<'_>,
    ) -> Result<Outcome, Refusal> {
        match self.cluster {
            Some(cluster) if cluster == genesis.cluster => return Ok(Outcome::at(moment.index)),
            Some(cluster) => return Err(Refusal::AlreadyFounded(cluster)),
            None => {}
        }
        limit("members", members.len(), super::MEMBERS_MAX)?;
        self.cluster = Some(genesis.cluster);
        self.epoch = genesis.epoch;
        self.ca_pem = genesis.ca_pem.as_str().into();
        self.next_node = members.iter().map(|member| member.node.get()).max().unwrap_or(0) + 1;
        self.members = std::sync::Arc::new(members.iter().map(|member| (member.node, member.clone())).collect());
        Ok(Outcome::at(moment.index))
    }
}

/// Refuses what is above a limit.
pub(super) fn limit(what: &str, found: usize, limit: usize) -> Result<(), Refusal> {
    if found <= limit {
        return Ok(());
    }
    Err(Refusal::AboveLimit { what: what.to_owned(), found: found as u64, limit: limit as u64 })
}
