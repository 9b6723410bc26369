//! The first moment of a cluster: minted once, made durable, then begun (G9).
//!
//! What was minted is on disk before anything is done with it. A founder that is killed in between goes on at its next
//! start with the same cluster id, the same authority and the same members.

use std::{sync::Arc, time::SystemTime};

use identity::{ClusterId, MemberRecord, NodeId};
use raft::{Genesis, NewMember};
use serde::{Deserialize, Serialize};
use transport::Authority;

use super::{
    disk::{Disk, DiskError},
    enrolment::Enrolment,
    mesh::{Mesh, MeshError},
    site::Site,
};

const FILE: &str = "founding";

/// The first recovery epoch of a cluster.
const FIRST_EPOCH: u32 = 1;

/// What a founder minted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Founding {
    /// Identity and authority of the new cluster.
    pub(crate) genesis: Genesis,
    /// Its first members, this node among them.
    pub(crate) members: Vec<MemberRecord>,
}

/// Why a cluster was not founded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoundError {
    /// What was minted could not be kept, so it was thrown away.
    #[error("the new cluster could not be kept: {0}")]
    Disk(#[from] DiskError),
    /// No authority could be made.
    #[error("no certificate authority could be made: {0}")]
    Authority(#[from] transport::AuthorityError),
    /// No certificate could be made.
    #[error("no certificate could be made: {0}")]
    Issue(#[from] transport::IssueError),
    /// The member could not be started.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The founder is not among the founded.
    #[error("this node is not among the members of the cluster that it should found")]
    NotAmongThem,
}

impl Founding {
    /// Mints a cluster of these nodes, numbered in the order given, and makes it durable.
    ///
    /// # Errors
    /// No authority can be made, or it cannot be kept.
    pub(crate) fn mint(disk: &Disk, nodes: impl IntoIterator<Item = NewMember>) -> Result<Self, FoundError> {
        let cluster = ClusterId::from_bytes(rand::random());
        let authority = Authority::mint(cluster, FIRST_EPOCH)?;
        let number = |place: usize| NodeId::new(place as u64 + 1).expect("counted from one");
        let members = nodes.into_iter().enumerate().map(|(place, node)| node.into_record(number(place)));
        let genesis = Genesis { cluster, epoch: FIRST_EPOCH, ca_pem: authority.to_pem() };
        let founding = Self { genesis, members: members.collect() };
        founding.save(disk)?;
        Ok(founding)
    }

    /// What a former start of this node minted, if it was a founder.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub(crate) fn load(disk: &Disk) -> Result<Option<Self>, DiskError> {
        let Some(bytes) = disk.read(FILE)? else { return Ok(None) };
        transport::codec::decode(&bytes).map(Some).map_err(|error| disk.damaged(FILE, &error))
    }

    fn save(&self, disk: &Disk) -> Result<(), DiskError> {
        let bytes = transport::codec::encode(self).map_err(|error| disk.damaged(FILE, &error))?;
        disk.write(FILE, &bytes)
    }

    /// The enrolment of the founded member that holds this key (DER `SubjectPublicKeyInfo`); none for a stranger.
    ///
    /// # Errors
    /// No certificate can be issued.
    pub(crate) fn enrol(&self, member: &MemberRecord, public_key: &[u8]) -> Result<Enrolment, FoundError> {
        let authority = Authority::from_pem(&self.genesis.ca_pem)?;
        Ok(Enrolment::issue(&authority, member, public_key, SystemTime::now())?)
    }

    /// Starts this node as a member, which writes the first entry of the log as soon as a quorum is there, unless a
    /// former start did.
    ///
    /// # Errors
    /// The member cannot be started.
    pub(crate) async fn begin(&self, site: &Arc<Site>) -> Result<Arc<Mesh>, FoundError> {
        let enrolment = match Enrolment::load(&site.disk)? {
            Some(enrolment) => enrolment,
            None => self.enrol_self(site)?,
        };
        let mesh = Mesh::start(site, &enrolment, &self.members).await?;
        mesh.found(self.members.clone(), self.genesis.clone());
        Ok(mesh)
    }

    fn enrol_self(&self, site: &Site) -> Result<Enrolment, FoundError> {
        let mine = site.key.fingerprint();
        let record = self.members.iter().find(|member| member.fingerprint == mine).ok_or(FoundError::NotAmongThem)?;
        let enrolment = self.enrol(record, &site.key.public_key())?;
        enrolment.save(&site.disk)?;
        Ok(enrolment)
    }
}

/// Founds a cluster of this node alone: `hedgerow cluster init`.
///
/// # Errors
/// Nothing is left half-done: at the next start the node goes on or begins anew.
pub(crate) async fn found_alone(site: &Arc<Site>) -> Result<Arc<Mesh>, FoundError> {
    let founding = match Founding::load(&site.disk)? {
        Some(founding) => founding,
        None => Founding::mint(&site.disk, [site.newcomer()])?,
    };
    founding.begin(site).await
}
