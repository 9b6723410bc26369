//! Zero-touch forming: nodes that were started alike find each other, agree unanimously, and one of them mints (G9).
//!
//! Who may found what is decided by `membership::forming`, which knows no network. Here are its network and its disk.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use identity::Fingerprint;
use membership::forming::{Action, Ballot, Candidate, Forming, Input, Message, Status};
use raft::NewMember;
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};
use transport::{FormError, FormPeer, Refusal, Secret, SecretId};

use super::{
    admission::{FormReply, FormRequest, Grant},
    disk::DiskError,
    founding::Founding,
    life::{Life, Stage},
    mesh::Mesh,
    site::SharedSite,
    tokens,
};
use crate::config::BootstrapSecret;

/// How often candidates and seeds are spoken to while nothing changes.
const GREET_EVERY: Duration = Duration::from_millis(250);

/// How long one exchange may take.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(2);

const BALLOT_FILE: &str = "ballot";

/// The desk at which forming nodes and joiners are served.
pub(crate) struct FormingDesk {
    site: SharedSite,
    secret: Option<Secret>,
    book: Mutex<Book>,
    news: Notify,
}

/// What the desk knows.
struct Book {
    /// The vote, while this node takes part in one.
    forming: Option<Forming>,
    /// The outcome of the vote: who mints, and all founders.
    elected: Option<(Fingerprint, Vec<Candidate>)>,
    /// What this node minted, if it is the founder.
    founding: Option<Founding>,
    /// What the founder granted this node.
    granted: Option<Grant>,
    /// Nodes that refused this one, and why: waiting alone does not change their minds.
    refusals: BTreeMap<SocketAddr, String>,
}

/// Why a question has no answer.
enum Unasked {
    /// The node was not reached, or is not far enough; later it may be.
    Unreachable(String),
    /// The node does not take this one's secret.
    Refused(String),
}

impl FormingDesk {
    /// Opens the desk; takes up a vote or a founding of a former start.
    ///
    /// # Errors
    /// The secret or a file of the state directory cannot be read.
    pub(crate) fn open(site: &SharedSite) -> anyhow::Result<Arc<Self>> {
        let cluster = &site.config.cluster;
        let secret = match (&cluster.bootstrap_secret_file, cluster.expect) {
            (Some(path), Some(_)) => read_secret(path)?,
            _ => None,
        };
        let founding = Founding::load(&site.disk)?;
        let book = Book { forming: None, elected: None, founding, granted: None, refusals: BTreeMap::new() };
        Ok(Arc::new(Self { site: site.clone(), secret, book: Mutex::new(book), news: Notify::new() }))
    }

    /// Tells the endpoint which secrets open this node, and why others do not.
    pub(crate) fn let_in(self: &Arc<Self>, life: &Arc<Life>) {
        let (desk, life) = (self.clone(), life.clone());
        self.site.endpoint.set_form_secrets(move |id: SecretId| {
            let (desk, life) = (desk.clone(), life.clone());
            async move {
                if id == SecretId::BOOTSTRAP { desk.bootstrap_secret(&life) } else { tokens::secret(&life, id).await }
            }
        });
    }

    /// The bootstrap secret opens a node that takes part in a vote, and the founder as long as a founder is missing.
    fn bootstrap_secret(&self, life: &Life) -> Result<Secret, Refusal> {
        let open = match life.mesh() {
            None => self.book().forming.is_some(),
            Some(mesh) => self.book().founding.as_ref().is_some_and(|founding| {
                let (state, _) = mesh.raft.local();
                let missing = |member: &identity::MemberRecord| {
                    let is_removed = state.removed.contains_key(&member.node);
                    member.node != mesh.me() && !is_removed && !mesh.gossip.has_met(member.node)
                };
                founding.members.iter().any(missing)
            }),
        };
        let closed = if life.mesh().is_some() { Refusal::NoLongerForming } else { Refusal::NotReady };
        self.secret.clone().filter(|_| open).ok_or(closed)
    }

    /// A candidate tells what it knows; the answer is what this node knows, or the candidate's certificate.
    pub(crate) async fn ballot(self: &Arc<Self>, life: &Life, peer: &FormPeer, message: Message) -> FormReply {
        if self.book().founding.is_some() {
            return self.collect(peer);
        }
        if life.mesh().is_some() || peer.secret != SecretId::BOOTSTRAP {
            return FormReply::Refused(Refusal::NoLongerForming.to_string());
        }
        if let Err(error) = self.step(Input::Heard { from: peer.fingerprint, message }) {
            error!(%error, "forming cannot go on");
        }
        match &self.book().forming {
            Some(forming) => FormReply::Ballot(forming.message()),
            None => FormReply::NotYet,
        }
    }

    /// A founder asks for its certificate.
    pub(crate) fn collect(&self, peer: &FormPeer) -> FormReply {
        let book = self.book();
        let Some(founding) = &book.founding else { return FormReply::NotYet };
        let Some(record) = founding.members.iter().find(|member| member.fingerprint == peer.fingerprint) else {
            return FormReply::Refused(Refusal::NoLongerForming.to_string());
        };
        match founding.enrol(record, &peer.public_key) {
            Ok(enrolment) => FormReply::Granted(Grant { enrolment, members: founding.members.clone() }),
            Err(error) => FormReply::Refused(error.to_string()),
        }
    }

    /// Takes part in the vote until this node is a running member.
    ///
    /// # Errors
    /// The disk fails, or the member cannot be started.
    pub(crate) async fn form(self: &Arc<Self>, life: &Life) -> anyhow::Result<Arc<Mesh>> {
        self.begin_vote()?;
        loop {
            self.step(Input::Tick)?;
            anyhow::ensure!(
                self.book().forming.is_some(),
                "the ballot could not be kept; make room and start the agent again"
            );
            self.greet_seeds();
            self.tell_stage(life);
            if let Some(mesh) = self.conclude().await? {
                return Ok(mesh);
            }
            // News are acted on at once; the greeting is for what was lost.
            let _ = tokio::time::timeout(GREET_EVERY, self.news.notified()).await;
        }
    }

    fn begin_vote(&self) -> anyhow::Result<()> {
        let cluster = &self.site.config.cluster;
        let expect = cluster.expect.context("zero-touch forming needs `expect` in [cluster]")?;
        if self.secret.is_none() {
            let path = cluster.bootstrap_secret_file.as_deref().unwrap_or(std::path::Path::new(""));
            BootstrapSecret::read(path).context("this node is in no cluster and has nothing to prove to others")?;
        }
        let cast = match self.site.disk.read_text(BALLOT_FILE)? {
            Some(text) => Some(text.parse::<Ballot>()?),
            None => None,
        };
        let newcomer = self.site.newcomer();
        let payload = transport::codec::encode(&newcomer)?;
        let me = Candidate { fingerprint: newcomer.fingerprint, addr: newcomer.endpoint, name: newcomer.name, payload };
        info!(expect, fingerprint = %me.fingerprint, "forming a cluster");
        self.book().forming = Some(Forming::new(me, expect, cast));
        Ok(())
    }

    /// One step of the vote. A ballot is durable before anyone is told of it; if it cannot be made durable, this node
    /// takes part no more, and nobody has been told (G9).
    fn step(self: &Arc<Self>, input: Input) -> Result<(), DiskError> {
        let mut book = self.book();
        let Some(forming) = &mut book.forming else { return Ok(()) };
        for action in forming.handle(input) {
            match action {
                Action::Persist(ballot) => {
                    let kept = self.site.disk.write(BALLOT_FILE, ballot.to_string().as_bytes());
                    if let Err(error) = kept {
                        book.forming = None;
                        return Err(error);
                    }
                }
                Action::Tell { addr, message, .. } => {
                    tokio::spawn(self.clone().exchange(addr, FormRequest::Ballot(message)));
                }
                Action::Elected { lowest, set } => {
                    info!(founder = %lowest, founders = set.len(), "all founders agree");
                    book.elected = Some((lowest, set));
                    self.news.notify_one();
                    return Ok(());
                }
                Action::Stuck(stuck) => warn!("forming is stuck: {stuck}"),
            }
        }
        Ok(())
    }

    fn greet_seeds(self: &Arc<Self>) {
        let book = self.book();
        let Some(message) = book.forming.as_ref().map(Forming::message) else { return };
        let known = |seed: &SocketAddr| message.candidates.iter().any(|candidate| candidate.addr == *seed);
        for seed in self.site.config.cluster.seeds.iter().filter(|seed| !known(seed)) {
            tokio::spawn(self.clone().exchange(*seed, FormRequest::Ballot(message.clone())));
        }
    }

    /// Speaks to one node and takes in what it answers.
    async fn exchange(self: Arc<Self>, addr: SocketAddr, request: FormRequest) {
        let asked = tokio::time::timeout(EXCHANGE_WITHIN, self.ask(addr, &request)).await;
        let outcome = asked.unwrap_or_else(|_| Err(Unasked::Unreachable("no answer in time".to_owned())));
        self.note_refusal(addr, &outcome);
        match outcome {
            Ok((from, FormReply::Ballot(message))) => {
                if let Err(error) = self.step(Input::Heard { from, message }) {
                    error!(%error, "forming cannot go on");
                }
            }
            Ok((_, FormReply::Granted(grant))) => {
                self.book().granted = Some(grant);
                self.news.notify_one();
            }
            Ok((_, FormReply::NotYet | FormReply::Refused(_))) | Err(Unasked::Refused(_)) => {}
            Err(Unasked::Unreachable(reason)) => debug!(%addr, reason, "not reached while forming"),
        }
    }

    /// Remembers a refusal, for whoever asks what this node waits for; says it in the log once.
    fn note_refusal(&self, addr: SocketAddr, outcome: &Result<(Fingerprint, FormReply), Unasked>) {
        let mut book = self.book();
        let (Ok((_, FormReply::Refused(reason))) | Err(Unasked::Refused(reason))) = outcome else {
            if outcome.is_ok() {
                book.refusals.remove(&addr);
            }
            return;
        };
        if book.refusals.insert(addr, reason.clone()).as_ref() != Some(reason) {
            warn!(%addr, reason, "refused while forming");
        }
    }

    async fn ask(&self, addr: SocketAddr, request: &FormRequest) -> Result<(Fingerprint, FormReply), Unasked> {
        let unreachable = |error: &dyn std::fmt::Display| Unasked::Unreachable(error.to_string());
        let secret = self.secret.as_ref().ok_or_else(|| unreachable(&"there is no bootstrap secret"))?;
        let dialled = self.site.endpoint.dial_form(addr, secret, None).await;
        let mut stream = dialled.map_err(|error| match error {
            FormError::Refused { refusal: Refusal::NotReady, .. } => unreachable(&error),
            FormError::Refused { refusal, .. } => Unasked::Refused(refusal.to_string()),
            FormError::Unproven { .. } => Unasked::Refused(error.to_string()),
            other => unreachable(&other),
        })?;
        stream.sender.send_msg(request).await.map_err(|error| unreachable(&error))?;
        let reply = stream.receiver.recv_msg().await.map_err(|error| unreachable(&error))?;
        Ok((stream.peer.fingerprint, reply.ok_or_else(|| unreachable(&"it hung up"))?))
    }

    /// Mints if this node is the lowest, asks the lowest otherwise; the member once there is one.
    async fn conclude(self: &Arc<Self>) -> anyhow::Result<Option<Arc<Mesh>>> {
        let granted = self.book().granted.take();
        if let Some(grant) = granted {
            grant.enrolment.save(&self.site.disk)?;
            return Ok(Some(Mesh::start(&self.site, &grant.enrolment, &grant.members).await?));
        }
        let elected = self.book().elected.clone();
        let Some((lowest, set)) = elected else { return Ok(None) };
        if lowest != self.site.key.fingerprint() {
            if let Some(founder) = set.iter().find(|candidate| candidate.fingerprint == lowest) {
                tokio::spawn(self.clone().exchange(founder.addr, FormRequest::Collect));
            }
            return Ok(None);
        }
        let founders = set
            .iter()
            .map(|candidate| transport::codec::decode(&candidate.payload))
            .collect::<Result<Vec<NewMember>, _>>()?;
        let founding = Founding::mint(&self.site.disk, founders)?;
        self.book().founding = Some(founding.clone());
        Ok(Some(founding.begin(&self.site).await?))
    }

    fn tell_stage(&self, life: &Life) {
        let status = self.book().forming.as_ref().map(Forming::status);
        let sentence = match status {
            None => "the other founders".to_owned(),
            Some(Status::Gathering { expect, heard }) => {
                format!("{} of {expect} founders, heard of: {}", heard.len(), heard.join(", "))
            }
            Some(Status::Voting { missing }) => format!("the ballots of {}", missing.join(", ")),
            Some(Status::Elected { .. }) => "its certificate from the founder".to_owned(),
            Some(Status::Stuck(stuck)) => stuck.to_string(),
        };
        let refusals: Vec<_> =
            self.book().refusals.iter().map(|(addr, reason)| format!("; refused by {addr}: {reason}")).collect();
        life.enter(Stage::Forming(sentence + &refusals.concat()));
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Entries are replaced as a whole: a panic elsewhere leaves none half-written.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secret may be gone once the cluster has formed: then it opens nothing.
fn read_secret(path: &std::path::Path) -> anyhow::Result<Option<Secret>> {
    match BootstrapSecret::read(path) {
        Ok(secret) => Ok(Some(Secret::bootstrap(secret.bytes())?)),
        Err(crate::config::SecretError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
