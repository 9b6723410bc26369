//! The form of foca's headers and members on the wire.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Buf, BufMut};
use foca::{Header, Incarnation, Member, Message, State};
use identity::NodeId;
use serde::{Deserialize, Serialize};

use crate::{
    codec,
    incarnation::{self, Identity},
};

/// Foca's codec.
pub(super) struct Wire;

/// Why foca's values and bytes do not fit together.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("no room left in the packet")]
    Full,
    #[error(transparent)]
    Decode(#[from] bincode::error::DecodeError),
}

/// A header without the receiver's address: the receiver knows where it lives.
#[derive(Serialize, Deserialize)]
struct HeaderWire {
    src: Identity,
    src_incarnation: Incarnation,
    node: NodeId,
    #[serde(deserialize_with = "incarnation::bounded")]
    incarnation: u64,
    message: Message<Identity>,
}

/// Identity, incarnation within the life (raised by refutations), state.
type MemberWire = (Identity, Incarnation, State);

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl foca::Codec<Identity> for Wire {
    type Error = WireError;

    fn encode_header(&mut self, header: &Header<Identity>, buf: impl BufMut) -> Result<(), WireError> {
        let Header { src, src_incarnation, dst, message } = header.clone();
        put(&HeaderWire { src, src_incarnation, node: dst.node, incarnation: dst.incarnation, message }, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, WireError> {
        let HeaderWire { src, src_incarnation, node, incarnation, message } = get(buf)?;
        let dst = Identity { node, incarnation, addr: NOWHERE };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<Identity>, buf: impl BufMut) -> Result<(), WireError> {
        let wire: MemberWire = (*member.id(), member.incarnation(), member.state());
        put(&wire, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, WireError> {
        let (identity, incarnation, state): MemberWire = get(buf)?;
        Ok(Member::new(identity, incarnation, state))
    }
}

/// All or nothing: a value that does not fit leaves no half behind.
fn put<T: Serialize>(value: &T, mut buf: impl BufMut) -> Result<(), WireError> {
    let bytes = codec::encode(value);
    if buf.remaining_mut() < bytes.len() {
        return Err(WireError::Full);
    }
    buf.put_slice(&bytes);
    Ok(())
}

/// Foca gives slices, which are one chunk.
fn get<T: serde::de::DeserializeOwned>(mut buf: impl Buf) -> Result<T, WireError> {
    let (value, taken) = codec::take(buf.chunk())?;
    buf.advance(taken);
    Ok(value)
}
