//! Join tokens: each admits one node, once.

use std::sync::Arc;

use super::{
    State, TOKENS_MAX,
    apply::{Moment, limit},
};
use crate::{
    command::{NewMember, TokenRecord, TokenUse},
    outcome::{Outcome, Refusal},
};

/// How long an expired token is remembered, so that its use is refused with the right reason.
const EXPIRED_KEPT_MS: u64 = 24 * 3600 * 1000;

impl State {
    pub(super) fn create_token(&mut self, record: &TokenRecord, moment: Moment<'_>) -> Result<Outcome, Refusal> {
        if self.tokens.contains_key(&record.id) {
            return Err(Refusal::DuplicateToken);
        }
        let fresh = |token: &TokenRecord| token.expires_ms.saturating_add(EXPIRED_KEPT_MS) >= moment.at_ms;
        let kept = self.tokens.values().filter(|token| fresh(token)).count();
        limit("join tokens", kept + 1, TOKENS_MAX)?;
        let tokens = Arc::make_mut(&mut self.tokens);
        tokens.retain(|_, token| fresh(token));
        tokens.insert(record.id, TokenRecord { used_by: None, ..record.clone() });
        Ok(Outcome::at(moment.index))
    }

    /// Admits a node by a token. The same token and key again answers the same id: the first answer may have been lost.
    pub(super) fn admit(&mut self, id: [u8; 16], member: &NewMember, moment: Moment<'_>) -> Result<Outcome, Refusal> {
        let token = self.tokens.get(&id).ok_or(Refusal::UnknownToken)?;
        let admitted = |node| Outcome { node: Some(node), ..Outcome::at(moment.index) };
        match token.used_by {
            Some(by) if by.fingerprint == member.fingerprint && self.members.contains_key(&by.node) => {
                return Ok(admitted(by.node));
            }
            Some(by) => return Err(Refusal::UsedToken(by.node)),
            None => {}
        }
        if moment.at_ms >= token.expires_ms {
            return Err(Refusal::ExpiredToken { seconds: (moment.at_ms - token.expires_ms) / 1000 });
        }
        let node = self.add_member(member)?;
        if let Some(token) = Arc::make_mut(&mut self.tokens).get_mut(&id) {
            token.used_by = Some(TokenUse { fingerprint: member.fingerprint, node });
        }
        Ok(admitted(node))
    }
}
