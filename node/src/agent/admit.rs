//! Admits a joiner that has proven a token.

use std::time::{Duration, SystemTime};

use raft::{Command, NewMember, Outcome, State, WriteError};
use tracing::{info, warn};
use transport::{Authority, FormPeer};

use super::{
    admission::{FormReply, Grant},
    capacity::{
        Capacity,
        judged::{self, Unwritten},
    },
    enrolment::Enrolment,
    life::Life,
    mesh::Mesh,
};

/// How long an admission may take to commit.
const ADMIT_WITHIN: Duration = Duration::from_secs(5);

/// Admits a joiner: the cluster uses up the token and gives an id, this member issues the certificate.
pub(crate) async fn admit(life: &Life, peer: &FormPeer, member: NewMember) -> FormReply {
    let Some(mesh) = life.mesh() else { return FormReply::NotYet };
    if member.fingerprint != peer.fingerprint {
        return FormReply::Refused("the key in the request is not the key of the connection".to_owned());
    }
    let judge = |state: &State| {
        let in_force = mesh.enforcement.borrow().guard.clone();
        Capacity::new(&life.site, &mesh, state, &in_force).for_newcomer(&member)
    };
    let name = &member.name;
    let command = Command::Admit { token: peer.secret.0, member: member.clone() };
    let actor = format!("token:{}", peer.secret);
    match judged::write(&mesh.raft, &actor, &command, ADMIT_WITHIN, judge).await {
        Ok(outcome) => match grant(&mesh, &outcome, peer).await {
            Ok(grant) => {
                info!(node = %grant.enrolment.name.node, name, "admitted a node");
                FormReply::Granted(grant)
            }
            Err(reason) => FormReply::Refused(reason),
        },
        Err(Unwritten::NoRoom(error)) => {
            warn!(name, %error, "a node was not admitted");
            FormReply::Refused(format!("{error}; the token is still good"))
        }
        Err(Unwritten::Write(WriteError::Refused(refusal))) => FormReply::Refused(refusal.to_string()),
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
    let authority = Authority::from_pem(&state.ca_pem).map_err(|error| error.to_string())?;
    let enrolment =
        Enrolment::issue(&authority, record, &peer.public_key, SystemTime::now()).map_err(|error| error.to_string())?;
    Ok(Grant { enrolment, members: state.members.values().cloned().collect() })
}
