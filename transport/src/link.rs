//! Looking after one link: greeting, arriving streams and datagrams, its end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use identity::NodeId;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc::error::TrySendError, time::timeout};
use tracing::{debug, info, warn};

use crate::{
    Arrival, FrameReceiver, FrameSender, StreamKind,
    close::{CloseCode, reason_of},
    peers::{Installed, Link, Peer},
    shared::Shared,
    stats::Counters,
};

/// The longest greeting, in bytes.
pub(crate) const GREETING_BYTES_MAX: usize = 1024;

/// How long an opened stream may take to say what it is for.
const STREAM_KIND_TIMEOUT: Duration = Duration::from_secs(5);

/// The first frame in each direction on a link, on the first stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// Which life of the sender's process this is.
    pub(crate) instance: u64,
}

/// Makes a greeted connection the link to its member, unless the present one stays. Says whether it did.
pub(crate) fn install(shared: &Arc<Shared>, peer: &Peer, link: &Arc<Link>, me: NodeId) -> bool {
    match peer.install(link, me) {
        Installed::Kept => {
            CloseCode::Duplicate.close(&link.connection, "there is another connection between the two nodes");
            return false;
        }
        Installed::New(Some(old)) => {
            CloseCode::Duplicate.close(&old.connection, "a newer connection between the two nodes took its place");
        }
        Installed::New(None) => {}
    }
    // The deny-list may have grown since the handshake; who changes it looks at installed links only.
    let denied = shared.denied.load();
    if denied.nodes.contains(&link.node) || denied.fingerprints.contains(&link.fingerprint) {
        CloseCode::Denied.close(&link.connection, "the node was removed or its key revoked");
    }
    info!(node = %link.node, addr = %link.addr(), dialled = link.dialled, "connected");
    shared.runtime.spawn(tend(shared.clone(), link.clone()));
    if let Err(error) = peer.flush(link) {
        debug!(node = %link.node, "kept datagrams were not sent: {error}");
    }
    true
}

/// Until the link ends: hands on what arrives, then says that it ended.
async fn tend(shared: Arc<Shared>, link: Arc<Link>) {
    let arrivals = shared.outlets.arrivals.clone();
    let _ = arrivals.send(Arrival::Connected { node: link.node, addr: link.addr() }).await;
    tokio::join!(take_streams(&shared, &link), take_datagrams(&shared, &link));
    let reason = link.connection.closed().await;
    let was_current = shared.peers.peer(link.node).remove(&link);
    info!(node = %link.node, addr = %link.addr(), was_current, "disconnected: {}", reason_of(&reason));
    if was_current {
        let _ = arrivals.send(Arrival::Disconnected { node: link.node }).await;
    }
}

async fn take_streams(shared: &Arc<Shared>, link: &Arc<Link>) {
    // QUIC bounds how many streams are open, and so how many of these tasks there are.
    while let Ok((send, receive)) = link.connection.accept_bi().await {
        shared.runtime.spawn(take_stream(shared.clone(), link.clone(), send, receive));
    }
}

async fn take_stream(shared: Arc<Shared>, link: Arc<Link>, send: quinn::SendStream, mut receive: quinn::RecvStream) {
    let mut number = [0u8; 1];
    let read = timeout(STREAM_KIND_TIMEOUT, receive.read_exact(&mut number)).await;
    let Some(kind) = matches!(read, Ok(Ok(()))).then(|| StreamKind::from_number(number[0])).flatten() else {
        warn!(node = %link.node, kind = number[0], "a stream was refused: it did not say in time what it is for");
        return;
    };
    let _ = send.set_priority(kind.priority());
    let context = shared.context(&link, kind.frame_bytes_max());
    let sender = FrameSender::new(send, context.clone());
    let receiver = FrameReceiver::new(receive, context);
    // A full inbox holds the stream back here; the peer runs into its limit of open streams.
    let _ = shared.outlets.arrivals.send(Arrival::Stream { from: link.node, kind, sender, receiver }).await;
}

async fn take_datagrams(shared: &Arc<Shared>, link: &Arc<Link>) {
    while let Ok(bytes) = link.connection.read_datagram().await {
        let arrival = Arrival::Datagram { from: link.node, bytes };
        if let Err(TrySendError::Full(_)) = shared.outlets.datagrams.try_send(arrival) {
            Counters::add(&shared.counters.datagrams_dropped);
        }
    }
}

/// Opens a stream on a link and says what it is for.
pub(crate) async fn open_stream(
    shared: &Shared,
    link: &Link,
    kind: StreamKind,
) -> Result<(FrameSender, FrameReceiver), String> {
    let (send, receive) = link.connection.open_bi().await.map_err(|error| reason_of(&error))?;
    let _ = send.set_priority(kind.priority());
    let context = shared.context(link, kind.frame_bytes_max());
    let mut sender = FrameSender::new(send, context.clone());
    sender.write(Bytes::copy_from_slice(&[kind.number()])).await.map_err(|error| error.to_string())?;
    Ok((sender, FrameReceiver::new(receive, context)))
}
