//! Hands what arrives at the endpoint to whom it is for.

use std::sync::Arc;

use identity::NodeId;
use raft::{Command, Outcome};
use tracing::{debug, info, warn};
use transport::{Arrival, FormPeer, FrameReceiver, FrameSender, Inbox, StreamKind};

use super::{
    admission::{FormReply, FormRequest, Grant},
    capacity::Capacity,
    control,
    enrolment::Enrolment,
    forming::FormingDesk,
    lead,
    life::Life,
    mesh::Mesh,
    wire::{self, Sink, Source},
};

/// How long an admission may take to commit.
const ADMIT_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

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

/// Admits a joiner: the cluster uses up the token and gives an id, this member issues the certificate.
async fn admit(life: &Life, peer: &FormPeer, member: raft::NewMember) -> FormReply {
    let Some(mesh) = life.mesh() else { return FormReply::NotYet };
    if member.fingerprint != peer.fingerprint {
        return FormReply::Refused("the key in the request is not the key of the connection".to_owned());
    }
    let name = member.name.clone();
    // A founder that has not applied its first entry knows no members to judge by: it asks the log.
    let (state, _) = mesh.raft.local();
    let in_force = mesh.enforcement.borrow().guard.clone();
    if let Err(error) = Capacity::new(&life.site, &mesh, &state, &in_force).for_newcomer(&member) {
        warn!(name, %error, "a node was not admitted");
        return FormReply::Refused(format!("{error}; the token is still good"));
    }
    let command = Command::Admit { token: peer.secret.0, member };
    let actor = format!("token:{}", peer.secret);
    match mesh.raft.write(lead::proposal(&actor, command), ADMIT_WITHIN).await {
        Ok(outcome) => match grant(&mesh, &outcome, peer).await {
            Ok(grant) => {
                info!(node = %grant.enrolment.name.node, name, "admitted a node");
                FormReply::Granted(grant)
            }
            Err(reason) => FormReply::Refused(reason),
        },
        Err(raft::WriteError::Refused(refusal)) => FormReply::Refused(refusal.to_string()),
        Err(error) => {
            warn!(name, %error, "an admission was not committed");
            FormReply::NotYet
        }
    }
}

/// The certificate of the node that was admitted by `outcome`, once this member has applied it too.
async fn grant(mesh: &Mesh, outcome: &Outcome, peer: &FormPeer) -> Result<Grant, String> {
    let node = outcome.node.ok_or("the log gave no node id")?;
    let mut states = mesh.raft.watch();
    let applied = states.wait_for(|state| state.applied_index() >= outcome.index);
    let applied = tokio::time::timeout(ADMIT_WITHIN, applied).await;
    let late = "this member is behind the log; join again with the same token";
    let state = applied.map_err(|_| late)?.map_err(|_| late)?.clone();
    let record = state.members.get(&node).ok_or("the node was removed while it was being admitted")?;
    let authority = transport::Authority::from_pem(&state.ca_pem).map_err(|error| error.to_string())?;
    let enrolment = Enrolment::issue(&authority, record, &peer.public_key, std::time::SystemTime::now())
        .map_err(|error| error.to_string())?;
    Ok(Grant { enrolment, members: state.members.values().cloned().collect() })
}
