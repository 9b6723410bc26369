//! A SWIM packet looked through before foca sees it: foca applies what it reads until it meets an error, so a packet
//! with an error at its end would leave a trace. Here it is refused as a whole.

use bytes::Buf;
use foca::{Codec, Header, Member, Message};

use super::wire::{Wire, WireError};
use crate::incarnation::Identity;

/// What a packet says.
pub(crate) struct Packet {
    pub(crate) header: Header<Identity>,
    pub(crate) updates: Vec<Member<Identity>>,
}

/// Why bytes are no packet of SWIM; nothing has been done with them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PacketError {
    #[error("a SWIM packet that does not parse: {0}")]
    Parse(String),
    #[error("a SWIM packet with {0} bytes too many")]
    Trailing(usize),
    #[error("a SWIM packet of a kind that is not in use here")]
    Kind,
}

impl From<WireError> for PacketError {
    fn from(error: WireError) -> Self {
        Self::Parse(error.to_string())
    }
}

impl Packet {
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Self, PacketError> {
        let header = Wire.decode_header(&mut bytes)?;
        let mut updates = Vec::new();
        match header.message {
            Message::Broadcast => return Err(PacketError::Kind),
            Message::Announce | Message::TurnUndead => {}
            _ => {
                let count = bytes.try_get_u16().map_err(|error| PacketError::Parse(error.to_string()))?;
                for _ in 0..count {
                    updates.push(Wire.decode_member(&mut bytes)?);
                }
            }
        }
        if !bytes.is_empty() {
            return Err(PacketError::Trailing(bytes.len()));
        }
        Ok(Self { header, updates })
    }

    /// All lives that the packet speaks of, the sender's first.
    pub(crate) fn lives(&self) -> impl Iterator<Item = Identity> {
        std::iter::once(self.header.src).chain(self.updates.iter().map(|update| *update.id()))
    }
}

/// Whether a packet of our own is the first or second word between two nodes.
pub(crate) fn is_introduction(packet: &[u8]) -> bool {
    let mut bytes = packet;
    Wire.decode_header(&mut bytes).is_ok_and(|header| matches!(header.message, Message::Announce | Message::Feed))
}
