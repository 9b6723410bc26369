//! Connections that arrive: accepted side by side, bounded in number and time, sorted by what they want.

use std::{net::SocketAddr, sync::Arc};

use tokio::{sync::Semaphore, time::timeout};
use tracing::info;

use crate::{
    CloseCode, FrameReceiver, FrameSender,
    close::reason_of,
    credentials::Member,
    dial::peer_chain,
    form,
    judge::PeerIdentity,
    link::{Greeting, install},
    peers::Link,
    quic::{self, Protocol},
    shared::Shared,
    stats::Counters,
    verifier::Note,
};

/// Accepts until the endpoint closes.
pub(crate) async fn accept(shared: Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(shared.limits.handshakes_max));
    loop {
        let incoming = tokio::select! {
            () = shared.closing.cancelled() => None,
            incoming = shared.quinn.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        // When half the places are taken, only those who receive at the address they claim get one.
        let busy = permits.available_permits() <= shared.limits.handshakes_max / 2;
        if busy && incoming.may_retry() && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            continue;
        }
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            Counters::add(&shared.counters.handshakes_refused);
            incoming.refuse();
            continue;
        };
        let shared = shared.clone();
        shared.runtime.clone().spawn(async move {
            handshake(&shared, incoming).await;
            drop(permit);
        });
    }
    shared.quinn.close(0u32.into(), b"the node shuts down");
}

async fn handshake(shared: &Arc<Shared>, incoming: quinn::Incoming) {
    let addr = incoming.remote_address();
    let note = Arc::new(Note::default());
    let member = shared.member.load_full();
    let after = shared.limits.handshake_timeout;
    let connection = match timeout(after, shake(shared, incoming, member.clone(), &note)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(reason)) => {
            Counters::add(&shared.counters.handshakes_refused);
            shared.log_refusal(addr, &format_args!("a connection was refused: {reason}"));
            return;
        }
        Err(_) => {
            Counters::add(&shared.counters.handshakes_timed_out);
            let took = after.as_millis();
            shared.log_refusal(addr, &format_args!("a connection was given up: its handshake took over {took} ms"));
            return;
        }
    };
    let greeting = greet(shared, &connection, addr, member, &note);
    if timeout(after, greeting).await.is_err() {
        Counters::add(&shared.counters.handshakes_timed_out);
        let took = after.as_millis();
        shared.log_refusal(addr, &format_args!("a connection was closed: its greeting took over {took} ms"));
        CloseCode::TimedOut.close(&connection, "the greeting took too long");
    }
}

async fn shake(
    shared: &Shared,
    incoming: quinn::Incoming,
    member: Option<Arc<Member>>,
    note: &Arc<Note>,
) -> Result<quinn::Connection, String> {
    let config = shared.server_config(member, note.clone()).map_err(|error| error.to_string())?;
    let connecting = incoming.accept_with(Arc::new(config)).map_err(|error| reason_of(&error))?;
    connecting.await.map_err(|error| match note.verdict() {
        Some(Err(refused)) => refused.to_string(),
        _ => reason_of(&error),
    })
}

async fn greet(
    shared: &Arc<Shared>,
    connection: &quinn::Connection,
    addr: SocketAddr,
    member: Option<Arc<Member>>,
    note: &Note,
) {
    match (note.protocol(), note.verdict(), member) {
        (Some(Protocol::Form), _, member) => form::accept(shared, connection, addr, member.as_deref()).await,
        (Some(Protocol::Cluster), Some(Ok(identity)), Some(member)) => {
            if let Err(reason) = welcome(shared, connection, identity, &member).await {
                Counters::add(&shared.counters.handshakes_refused);
                shared.log_refusal(addr, &format_args!("a connection of {} was closed: {reason}", identity.node));
                CloseCode::Protocol.close(connection, &reason);
            }
        }
        // The verifier lets nobody through without a verdict; should it ever, the connection ends here.
        _ => CloseCode::Protocol.close(connection, "the certificate was not judged"),
    }
}

/// Exchanges greetings with a member that dialled and makes the connection its link.
async fn welcome(
    shared: &Arc<Shared>,
    connection: &quinn::Connection,
    identity: PeerIdentity,
    member: &Member,
) -> Result<(), String> {
    let (node, me) = (identity.node, member.name.node);
    let (send, receive) = connection.accept_bi().await.map_err(|error| reason_of(&error))?;
    let context = shared.greeting_context(node, connection);
    let mut sender = FrameSender::new(send, context.clone());
    let greeting = FrameReceiver::new(receive, context).recv_msg::<Greeting>().await.map_err(|e| e.to_string())?;
    let instance = greeting.ok_or("it sent no greeting")?.instance;
    let peer = shared.peers.peer(node);
    if me < node {
        // Both dial at the same time and the lower one's dial wins: wait how it ends before accepting the other's.
        let _ = peer.state.subscribe().wait_for(|state| !state.is_dialling()).await;
    }
    let link = Link {
        connection: connection.clone(),
        node,
        fingerprint: identity.fingerprint,
        chain: peer_chain(connection),
        dialled: false,
        instance,
    };
    // The link must be here before the welcome goes out: with it, the other side may open streams.
    if !install(shared, &peer, &Arc::new(link), me) {
        info!(%node, "a second connection was closed: the pair has one");
        return Ok(());
    }
    quic::open_up(connection, &shared.limits);
    sender.send_msg(&Greeting { instance: shared.instance }).await.map_err(|error| error.to_string())
}
