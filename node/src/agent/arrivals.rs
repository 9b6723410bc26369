//! Hands what arrives at the endpoint to whom it is for.

use std::sync::Arc;

use identity::NodeId;
use tracing::{debug, warn};
use transport::{Arrival, FormPeer, FrameReceiver, FrameSender, Inbox, StreamKind};

use super::{
    admission::FormRequest,
    admit::admit,
    control,
    forming::FormingDesk,
    lead,
    life::Life,
    mesh::Mesh,
    wire::{self, Sink, Source},
};

/// Serves the endpoint's inbox until the endpoint is gone.
pub(crate) async fn serve(life: Arc<Life>, desk: Arc<FormingDesk>, mut inbox: Inbox) {
    while let Some(arrival) = inbox.recv().await {
        match arrival {
            Arrival::Stream { from, kind, sender, receiver } => stream(&life, from, kind, sender, receiver),
            Arrival::Datagram { from, bytes } => {
                if let Some(mesh) = life.mesh() {
                    mesh.gossip.datagram(from, bytes);
                }
            }
            Arrival::Form { peer, sender, receiver } => {
                tokio::spawn(form(life.clone(), desk.clone(), peer, sender, receiver));
            }
            Arrival::Connected { node, addr } => debug!(%node, %addr, "connected"),
            Arrival::Disconnected { node } => debug!(%node, "disconnected"),
        }
    }
}

/// A stream that arrives before the member has started is dropped: the peer opens another.
fn stream(life: &Arc<Life>, from: NodeId, kind: StreamKind, sender: FrameSender, receiver: FrameReceiver) {
    let Some(mesh) = life.mesh() else { return };
    match wire::channel_of(kind) {
        Some(channel) => mesh.raft.serve(from, channel, Box::new(Sink(sender)), Box::new(Source(receiver))),
        None => {
            tokio::spawn(control(mesh, from, sender, receiver));
        }
    }
}

async fn control(mesh: Arc<Mesh>, from: NodeId, mut sender: FrameSender, mut receiver: FrameReceiver) {
    let request = match receiver.recv_msg::<control::Request>().await {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(error) => return warn!(%from, %error, "a control request was not understood"),
    };
    let reply = lead::answer(request, mesh.me(), &mesh.raft, &mesh.ledger);
    if let Err(error) = sender.send_msg(&reply).await {
        debug!(%from, %error, "a control answer was not delivered");
    }
}

/// Serves someone who has proven a secret, until it hangs up.
async fn form(
    life: Arc<Life>,
    desk: Arc<FormingDesk>,
    peer: FormPeer,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    loop {
        let request = match receiver.recv_msg::<FormRequest>().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => return debug!(%error, "a forming stream ended"),
        };
        let reply = match request {
            FormRequest::Ballot(message) => desk.ballot(&life, &peer, message).await,
            FormRequest::Collect => desk.collect(&peer),
            FormRequest::Join(member) => admit(&life, &peer, member).await,
        };
        if let Err(error) = sender.send_msg(&reply).await {
            return debug!(%error, "a forming answer was not delivered");
        }
    }
}
