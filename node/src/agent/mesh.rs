//! A running member: Raft, gossip, the reconcile loop and the leader's loop, wired together.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use identity::{CertName, MemberRecord, NodeId};
use membership::{Attested, LocalMember, Meta};
use raft::{Command, Genesis, Raft, RaftConfig, ReadError, State, WriteError};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info, warn};
use transport::{Authority, DenyList};

use super::{
    capacity::{
        Capacity,
        judged::{self, Unwritten},
    },
    confirmation::{CONFIRM_WITHIN, Confirmation},
    contacts::Contacts,
    disk::DiskError,
    enforcement::Enforcement,
    enrolment::Enrolment,
    gossip::{self, Gossip},
    lead::{self, Leadership, Ledger},
    reconcile::Reconciler,
    site::{EnrolError, SharedSite},
    wire::{QuicWire, Refusals},
};

/// How often the gossiped metadata follows what the node does.
const META_EVERY: Duration = Duration::from_millis(250);

/// How long a change of this node's own record may take to commit before it is tried again.
const RECORD_WITHIN: Duration = Duration::from_secs(5);

/// How long one try to write the first entry of a cluster may take.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// How long the cluster waits before it asks again for a change of its own record that was refused.
const RECORD_RETRY: Duration = Duration::from_secs(60);

/// How long a removed member is still spoken with at most, so that it can take part in the change of voters that removes it:
/// of two voters, neither can go without the other's word (G12).
const REMOVAL_GRACE: Duration = Duration::from_secs(3);

/// How often it is looked whether a removed member is out of the voters.
const REMOVAL_LOOK_EVERY: Duration = Duration::from_millis(50);

const RAFT_DIRECTORY: &str = "raft";

/// Why a member could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeshError {
    /// The log cannot be opened.
    #[error("the replicated log cannot be opened: {0}")]
    Raft(#[from] raft::StartError),
    /// What the node must remember of itself and of the others cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The certificate on disk is not accepted.
    #[error("the node's certificate is not usable: {0}; remove the state directory and join again")]
    Credentials(#[from] EnrolError),
}

/// A running member of a cluster.
pub(crate) struct Mesh {
    /// Who this node is.
    pub(crate) name: CertName,
    /// The replicated log and its state.
    pub(crate) raft: Raft,
    /// Who is alive.
    pub(crate) gossip: Gossip,
    /// What the data path does.
    pub(crate) enforcement: watch::Receiver<Enforcement>,
    /// The leader's board.
    pub(crate) ledger: Ledger,
    /// Members that refuse this node.
    pub(crate) refusals: Refusals,
    confirmation: Confirmation,
    /// Ends every task of the mesh.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Mesh {
    /// Starts everything. `contacts` are members to reach the cluster by until the log says who is in it.
    ///
    /// # Errors
    /// The log cannot be opened, or the certificate is not usable.
    pub(crate) async fn start(
        site: &SharedSite,
        enrolment: &Enrolment,
        contacts: &[MemberRecord],
    ) -> Result<Arc<Self>, MeshError> {
        let name = enrolment.name;
        let incarnation = gossip::next_incarnation(&site.disk)?;
        site.use_enrolment(enrolment)?;
        let mut book = Contacts::load(&site.disk)?;
        if !contacts.is_empty() {
            book.keep(endpoints(contacts.iter(), name.node));
        }
        site.endpoint.set_directory(book.all());
        let refusals = Refusals::default();
        let config = RaftConfig::new(name.node, site.disk.path(RAFT_DIRECTORY));
        let raft = Raft::start(config, Arc::new(QuicWire::new(site.endpoint.clone(), refusals.clone()))).await?;
        let local = LocalMember { node: name.node, addr: site.listen(), incarnation, meta: first_meta(site) };
        let gossip = Gossip::start(local, site.disk.clone(), site.endpoint.clone());
        let (reconciler, enforcement) = Reconciler::new(name.node, site.clone());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (ledger, confirmation) = (Ledger::default(), Confirmation::default());
        let mesh = Self { name, raft, gossip, enforcement, ledger, refusals, confirmation, stop, tasks };
        let mesh = Arc::new(mesh);
        mesh.spawn(site, enrolment.clone(), reconciler, book);
        info!(node = %name.node, cluster = %name.cluster, "member running");
        Ok(mesh)
    }

    /// This node.
    #[must_use]
    pub(crate) fn me(&self) -> NodeId {
        self.name.node
    }

    /// The state of the cluster, and not only of this node, for questions that strangers ask.
    ///
    /// # Errors
    /// No quorum confirmed in time what is current.
    pub(crate) async fn current(&self) -> Result<Arc<State>, ReadError> {
        self.confirmation.current(|| self.raft.read(CONFIRM_WITHIN)).await
    }

    /// Stops the tasks and the log; the data path stays attached (G13).
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.raft.shutdown().await {
            warn!(%error, "the log did not shut down cleanly; it is recovered at the next start");
        }
    }

    /// Writes the first entry of a new cluster as soon as a quorum is there; does nothing where there is one.
    pub(crate) fn found(self: &Arc<Self>, members: Vec<MemberRecord>, genesis: Genesis) {
        let mesh = self.clone();
        self.spawn_until_stop(async move {
            while !mesh.raft.local().0.is_founded() {
                match mesh.raft.initialise(members.clone(), genesis.clone(), FOUND_WITHIN).await {
                    Ok(outcome) => info!(index = outcome.index, members = members.len(), "cluster founded"),
                    Err(error) => debug!(%error, "not founded yet; tried again"),
                }
            }
        });
    }

    /// Waits until the cluster has been founded, at most `within`; whether it has.
    pub(crate) async fn founded(&self, within: Duration) -> bool {
        let mut states = self.raft.watch();
        tokio::time::timeout(within, states.wait_for(|state| state.is_founded())).await.is_ok_and(|state| state.is_ok())
    }

    /// Waits until this removed member has no vote any more, or cannot know since nobody speaks with it; at most `within`.
    pub(crate) async fn until_without_vote(&self, within: Duration) {
        let mut look = tokio::time::interval(REMOVAL_LOOK_EVERY);
        let out = async {
            while self.raft.leader().is_some() && self.raft.metrics().voters.contains(&self.me()) {
                look.tick().await;
            }
        };
        if tokio::time::timeout(within, out).await.is_err() {
            warn!("leaving although the others still count on the vote of this node");
        }
    }

    fn spawn(self: &Arc<Self>, site: &SharedSite, enrolment: Enrolment, reconciler: Reconciler, book: Contacts) {
        let me = self.me();
        let leadership = Leadership {
            me,
            raft: self.raft.clone(),
            ledger: self.ledger.clone(),
            gossip: self.gossip.clone(),
            enforcement: self.enforcement.clone(),
        };
        let reports = lead::report(
            me,
            self.raft.clone(),
            site.endpoint.clone(),
            self.ledger.clone(),
            self.enforcement.clone(),
            self.stop.clone(),
        );
        let (inspector, stop) = (reconciler.inspector(), self.stop.clone());
        self.tasks.spawn(async move {
            if let Err(error) = inspector.run(stop).await {
                error!(%error, "looking after the data path has ended");
            }
        });
        let (raft, stop) = (self.raft.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            if let Err(error) = reconciler.run(raft, stop).await {
                error!(%error, "reconciling has ended");
            }
        });
        self.tasks.spawn(leadership.run(self.stop.clone()));
        self.tasks.spawn(reports);
        self.spawn_until_stop(follow_members(self.clone(), site.clone(), book));
        self.spawn_until_stop(follow_meta(self.clone(), site.clone()));
        self.spawn_until_stop(keep_record(self.clone(), site.clone()));
        self.spawn_until_stop(renew(self.clone(), site.clone(), enrolment));
    }

    fn spawn_until_stop(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(task).await });
    }
}

fn first_meta(site: &SharedSite) -> Meta {
    Meta {
        name: site.config.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: site.interfaces.iter().map(|interface| interface.role.to_string()).collect(),
        api: site.config.api.listen,
        witness: site.config.is_witness(),
        attested: None,
        applied_index: 0,
        disarmed: false,
    }
}

/// Tells the endpoint and gossip whom the cluster has committed as a member, and whom it has removed (G12).
async fn follow_members(mesh: Arc<Mesh>, site: SharedSite, mut book: Contacts) {
    let mut states = mesh.raft.watch();
    let (mut known, mut removed) = (BTreeMap::new(), BTreeMap::new());
    loop {
        let state = states.borrow_and_update().clone();
        let going = going(&mesh, &state, &removed);
        site.deny(DenyList {
            nodes: state.removed.keys().filter(|node| !going.contains_key(node)).copied().collect(),
            fingerprints: state
                .denied
                .iter()
                .filter(|key| !going.values().any(|one| one.fingerprint == **key))
                .copied()
                .collect(),
        });
        let others = || state.members.values().filter(|member| member.node != mesh.me());
        if others().next().is_some() {
            // Before the log has arrived, the contacts by which this node was let in are all it knows.
            site.endpoint.set_directory(endpoints(others().chain(going.values().copied()), mesh.me()));
            book.keep(endpoints(others(), mesh.me()));
        }
        for member in others() {
            if known.insert(member.node, member.endpoint) != Some(member.endpoint) {
                mesh.gossip.announce(member.node, member.endpoint).await;
            }
        }
        for node in state.removed.keys() {
            if let Entry::Vacant(first) = removed.entry(*node) {
                first.insert(Instant::now());
                mesh.gossip.remove(*node).await;
            }
        }
        let change = states.changed();
        let changed = match going.is_empty() {
            true => change.await,
            false => tokio::time::timeout(REMOVAL_LOOK_EVERY, change).await.unwrap_or(Ok(())),
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Where these members are, `me` left out.
fn endpoints<'a>(members: impl Iterator<Item = &'a MemberRecord>, me: NodeId) -> Vec<(NodeId, SocketAddr)> {
    members.filter(|member| member.node != me).map(|member| (member.node, member.endpoint)).collect()
}

/// Removed members that are still needed for the change of voters that removes them, for [`REMOVAL_GRACE`] at most.
fn going<'a>(mesh: &Mesh, state: &'a State, removed: &BTreeMap<NodeId, Instant>) -> BTreeMap<NodeId, &'a MemberRecord> {
    let voters = mesh.raft.metrics().voters;
    let is_recent = |node: &NodeId| removed.get(node).is_none_or(|since| since.elapsed() < REMOVAL_GRACE);
    let needed = state.removed.iter().filter(|(node, _)| voters.contains(node) && is_recent(node));
    needed.map(|(node, removed)| (*node, &removed.record)).collect()
}

/// Keeps the metadata that gossip spreads equal to what the node does.
async fn follow_meta(mesh: Arc<Mesh>, site: SharedSite) {
    let mut every = tokio::time::interval(META_EVERY);
    let mut told = first_meta(&site);
    loop {
        every.tick().await;
        let mut meta = first_meta(&site);
        {
            let enforcement = mesh.enforcement.borrow();
            meta.attested = enforcement.active.map(|active| Attested {
                revision: active.revision,
                generation: active.generation,
                digest: active.digest,
            });
            meta.disarmed = enforcement.disarmed;
        }
        meta.applied_index = mesh.raft.local().1;
        if meta != told {
            mesh.gossip.set_meta(meta.clone()).await;
            told = meta;
        }
    }
}

/// Commits this node's own record anew when its name or addresses have changed since it was admitted.
async fn keep_record(mesh: Arc<Mesh>, site: SharedSite) {
    let mut states = mesh.raft.watch();
    let wanted = site.record(mesh.me());
    let differs = |state: &Arc<State>| state.members.get(&mesh.me()).is_some_and(|committed| *committed != wanted);
    while states.wait_for(differs).await.is_ok() {
        let judge = |state: &State| {
            let in_force = mesh.enforcement.borrow().guard.clone();
            Capacity::new(&site, &mesh, state, &in_force).for_record(&wanted)
        };
        let (actor, command) = (format!("system:{}", mesh.me()), Command::UpdateMember(wanted.clone()));
        match judged::write(&mesh.raft, &actor, &command, RECORD_WITHIN, judge).await {
            Ok(outcome) => {
                info!("this node's name or addresses have changed; the cluster knows the new ones");
                let _ = states.wait_for(|state| state.applied_index() >= outcome.index).await;
            }
            Err(Unwritten::NoRoom(error)) => {
                warn!(%error, "this node's new name or addresses are not told to the cluster; looked at again later");
                tokio::time::sleep(RECORD_RETRY).await;
            }
            Err(Unwritten::Write(WriteError::Refused(refusal))) => {
                warn!(%refusal, "the cluster does not take this node's new name or addresses; asked again later");
                // A refusal is an entry of the log as well: to ask at once would fill it.
                tokio::time::sleep(RECORD_RETRY).await;
            }
            Err(error @ Unwritten::Write(WriteError::TooLarge { .. } | WriteError::Stopped { .. }))
            | Err(error @ Unwritten::Unread(ReadError::Stopped(_))) => {
                return warn!(%error, "the cluster does not know this node's new name or addresses");
            }
            Err(error) => {
                warn!(%error, "the cluster does not know this node's new name or addresses yet; tried again");
            }
        }
    }
}

/// Renews the certificate at two thirds of its life. Every member holds the authority and can issue its own.
async fn renew(mesh: Arc<Mesh>, site: SharedSite, mut enrolment: Enrolment) {
    const RETRY_EVERY: Duration = Duration::from_secs(60);
    loop {
        tokio::time::sleep(enrolment.renew_in(SystemTime::now())).await;
        match renewed(&mesh, &site) {
            Ok(fresh) => {
                info!("certificate renewed");
                enrolment = fresh;
            }
            Err(reason) => error!(reason, "the certificate was not renewed; tried again, the data path stays"),
        }
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

fn renewed(mesh: &Mesh, site: &SharedSite) -> Result<Enrolment, String> {
    let (state, _) = mesh.raft.local();
    let record = state.members.get(&mesh.me()).ok_or("this node is not a member")?;
    let authority = Authority::from_pem(&state.ca_pem).map_err(|error| error.to_string())?;
    let fresh = Enrolment::issue(&authority, record, &site.key.public_key(), SystemTime::now())
        .map_err(|error| error.to_string())?;
    fresh.save(&site.disk).map_err(|error| error.to_string())?;
    site.use_enrolment(&fresh).map_err(|error| error.to_string())?;
    Ok(fresh)
}
