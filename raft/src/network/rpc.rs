//! Calls with one answer: votes, heartbeats, leadership transfer.

use openraft::{
    errors::{NetworkError, RPCError, Timeout, Unreachable},
    network::{RPCOption, RPCTypes},
};
use tokio::time::timeout;

use super::{
    WireError,
    link::Reconnecting,
    protocol::{Call, CallBody, Reply, ReplyBody},
};
use crate::types::C;

/// Calls to one node over one stream. A late answer to a call that was given up is recognised by its number.
pub(super) struct Caller {
    pub stream: Reconnecting<Reply>,
    pub me: u64,
    number: u64,
}

impl Caller {
    pub(super) fn new(stream: Reconnecting<Reply>, me: u64) -> Self {
        Self { stream, me, number: 0 }
    }

    /// Calls and waits for the answer.
    pub(super) async fn call(
        &mut self,
        body: CallBody,
        action: RPCTypes,
        option: &RPCOption,
    ) -> Result<ReplyBody, RPCError<C>> {
        let limit = option.hard_ttl();
        let (id, target) = (self.me, self.stream.target.get());
        match timeout(limit, self.exchange(body, option)).await {
            Ok(Ok(body)) => {
                self.stream.answered();
                Ok(body)
            }
            Ok(Err(error)) => {
                self.stream.failed(&error);
                Err(rpc_error(&error))
            }
            Err(_) => Err(RPCError::Timeout(Timeout { action, id, target, timeout: limit })),
        }
    }

    async fn exchange(&mut self, body: CallBody, option: &RPCOption) -> Result<ReplyBody, WireError> {
        self.number += 1;
        let number = self.number;
        let link = self.stream.link().await?;
        link.send(&Call { number, body }, option.hard_ttl()).await?;
        loop {
            match link.answer().await {
                Some(reply) if reply.number == number => return Ok(reply.body),
                Some(_) => {}
                None => return Err(WireError::Broken("the peer ended the stream".to_owned())),
            }
        }
    }
}

/// An answer of the wrong kind.
pub(super) fn unexpected() -> RPCError<C> {
    rpc_error(&WireError::Malformed("an answer to another question".to_owned()))
}

/// What cannot be reached is tried again after a pause, a broken stream at once.
pub(super) fn rpc_error(error: &WireError) -> RPCError<C> {
    match error {
        WireError::Unreachable { .. } => RPCError::Unreachable(Unreachable::new(error)),
        WireError::Broken(_) | WireError::Malformed(_) => RPCError::Network(NetworkError::new(error)),
    }
}
