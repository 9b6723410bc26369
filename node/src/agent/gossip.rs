//! Drives the membership state machine: gives it datagrams and time, carries out what it returns.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use identity::NodeId;
use membership::{Action, Cluster, Config, Event, Input, LocalMember, Member, Meta};
use tokio::sync::mpsc;
use tracing::{info, warn};
use transport::Endpoint;

use super::disk::{Disk, DiskError};

/// Inputs that may wait for the state machine; more datagrams than that are dropped, as a network would.
const INPUTS_QUEUED_MAX: usize = 1024;

const INCARNATION_FILE: &str = "incarnation";

/// A handle on the running gossip.
#[derive(Clone)]
pub(crate) struct Gossip {
    inputs: mpsc::Sender<Input>,
    members: Arc<ArcSwap<Vec<Member>>>,
}

impl Gossip {
    /// Starts gossip as `local`; it ends when the last handle is dropped.
    #[must_use]
    pub(crate) fn start(local: LocalMember, disk: Disk, endpoint: Endpoint) -> Self {
        let (inputs, inbox) = mpsc::channel(INPUTS_QUEUED_MAX);
        let members = Arc::new(ArcSwap::from_pointee(Vec::new()));
        let cluster = Cluster::new(local, Config::default(), rand::random());
        let driver = Driver { cluster, members: members.clone(), disk, endpoint, inputs: inputs.downgrade() };
        tokio::spawn(driver.run(inbox));
        Self { inputs, members }
    }

    /// A datagram of a peer. When too many wait, it is dropped.
    pub(crate) fn datagram(&self, from: NodeId, bytes: Bytes) {
        let _ = self.inputs.try_send(Input::Datagram { from, bytes });
    }

    /// Names a node that should be a member; it is looked for until it answers.
    pub(crate) async fn announce(&self, to: NodeId, addr: SocketAddr) {
        let _ = self.inputs.send(Input::Announce { to, addr }).await;
    }

    /// A node was removed for good: it is neither listened to nor looked for (G12).
    pub(crate) async fn remove(&self, node: NodeId) {
        let _ = self.inputs.send(Input::Remove(node)).await;
    }

    /// Tells the others what has changed about this node.
    pub(crate) async fn set_meta(&self, meta: Meta) {
        let _ = self.inputs.send(Input::SetMeta(meta)).await;
    }

    /// Tells the others that this node goes, so that they need not suspect it.
    pub(crate) async fn leave(&self) {
        let _ = self.inputs.send(Input::Leave).await;
    }

    /// The members as gossip sees them now, this node among them.
    #[must_use]
    pub(crate) fn members(&self) -> Arc<Vec<Member>> {
        self.members.load_full()
    }

    /// Whether gossip has ever heard of `node`, in whatever state it is now.
    #[must_use]
    pub(crate) fn has_met(&self, node: NodeId) -> bool {
        self.members.load().iter().any(|member| member.node == node)
    }

    /// Whether gossip holds `node` for alive; a suspect is still alive.
    #[must_use]
    pub(crate) fn is_alive(&self, node: NodeId) -> bool {
        let alive = |member: &Member| member.state.is_active();
        self.members.load().iter().any(|member| member.node == node && alive(member))
    }
}

/// The incarnation of this start: one more than any before, and durable before it is used.
///
/// # Errors
/// The one before cannot be read, or is damaged.
pub(crate) fn next_incarnation(disk: &Disk) -> Result<u64, DiskError> {
    let before = match disk.read_text(INCARNATION_FILE)? {
        Some(text) => text.trim().parse::<u64>().map_err(|error| disk.damaged(INCARNATION_FILE, &error))?,
        None => 0,
    };
    let incarnation = before.saturating_add(1);
    persist_incarnation(disk, incarnation);
    Ok(incarnation)
}

fn persist_incarnation(disk: &Disk, incarnation: u64) {
    if let Err(error) = disk.write(INCARNATION_FILE, incarnation.to_string().as_bytes()) {
        warn!(%error, incarnation, "the gossip incarnation is not durable; peers may refuse this node after a restart");
    }
}

struct Driver {
    cluster: Cluster,
    members: Arc<ArcSwap<Vec<Member>>>,
    disk: Disk,
    endpoint: Endpoint,
    inputs: mpsc::WeakSender<Input>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::Receiver<Input>) {
        let first = self.cluster.start();
        self.carry_out(first);
        while let Some(input) = inbox.recv().await {
            let actions = self.cluster.handle(input);
            self.carry_out(actions);
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { to, addr, bytes } => self.send(to, addr, bytes),
                Action::Schedule { after, timer } => self.schedule(after, Input::Timer(timer)),
                Action::PersistIncarnation(incarnation) => persist_incarnation(&self.disk, incarnation),
                Action::Event(event) => log_event(&event),
            }
        }
        self.members.store(Arc::new(self.cluster.members()));
    }

    fn send(&self, to: NodeId, addr: SocketAddr, bytes: Bytes) {
        // A lost datagram is what SWIM is made for: the probe that misses it says so.
        let _ = self.endpoint.send_datagram(to, Some(addr), bytes);
    }

    fn schedule(&self, after: Duration, input: Input) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(inputs) = inputs.upgrade() {
                let _ = inputs.send(input).await;
            }
        });
    }
}

fn log_event(event: &Event) {
    match event {
        Event::Joined(member) => {
            info!(node = %member.node, addr = %member.addr, name = member.meta.name, "member joined");
        }
        Event::Changed(_) => {}
        Event::Suspected(node) => info!(%node, "member suspected"),
        Event::Down(node) => warn!(%node, "member down"),
        Event::Left(node) => info!(%node, "member left"),
    }
}
