//! A cluster in one process: every node with a directory and a runtime of its own, so that it can be crashed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use identity::{ClusterId, Fingerprint, MemberRecord, NodeId};
use raft::{Command, Genesis, NewMember, Outcome, Proposal, Raft, RaftConfig, StartError, State, WriteError};
use tokio::runtime::Runtime;

use crate::wire::Hub;

/// How long anything may take in these tests, at most.
pub(crate) const LONG: Duration = Duration::from_secs(15);

pub(crate) struct Cluster {
    pub(crate) hub: Arc<Hub>,
    nodes: BTreeMap<u64, Node>,
    dir: tempfile::TempDir,
    requests: AtomicU64,
    /// What every node's configuration goes through before it starts.
    pub(crate) tune: fn(&mut RaftConfig),
}

struct Node {
    raft: Raft,
    runtime: Option<Runtime>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn n(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

pub(crate) fn newcomer(number: u64) -> NewMember {
    let byte = u8::try_from(number).unwrap();
    NewMember {
        name: format!("lb{number}"),
        endpoint: format!("10.0.0.{number}:7400").parse().unwrap(),
        api: None,
        fingerprint: Fingerprint([byte; 32]),
        addresses: Vec::new(),
        witness: false,
    }
}

pub(crate) fn record(number: u64) -> MemberRecord {
    newcomer(number).into_record(n(number))
}

/// A command that makes a revision with one segment of this name.
pub(crate) fn segment(name: &str) -> Command {
    let document = format!(
        r#"{{"apiVersion":"hedgerow/v1","kind":"Segment","metadata":{{"name":"{name}"}},"spec":{{"role":"backend","addresses":["10.1.0.0/16"]}}}}"#
    );
    Command::Apply { documents: vec![document], prune: false, expect: None, message: String::new() }
}

impl Cluster {
    pub(crate) fn new(tune: fn(&mut RaftConfig)) -> Self {
        Self {
            hub: Hub::new(),
            nodes: BTreeMap::new(),
            dir: tempfile::tempdir().unwrap(),
            requests: AtomicU64::new(1),
            tune,
        }
    }

    /// A founded cluster of `1..=size`, with a leader.
    pub(crate) async fn founded(size: u64) -> Self {
        Self::founded_with(size, |_| {}).await
    }

    pub(crate) async fn founded_with(size: u64, tune: fn(&mut RaftConfig)) -> Self {
        let mut cluster = Self::new(tune);
        for node in 1..=size {
            cluster.start(node).await.unwrap();
        }
        let genesis = Genesis { cluster: ClusterId::from_bytes([9; 16]), epoch: 1, ca_pem: "pem".to_owned() };
        cluster.raft(1).initialise((1..=size).map(record).collect(), genesis, LONG).await.unwrap();
        for node in 1..=size {
            cluster.wait(node, State::is_founded).await;
        }
        cluster
    }

    pub(crate) fn path(&self, node: u64) -> PathBuf {
        self.dir.path().join(format!("n{node}"))
    }

    /// Starts a node on its directory; waits while a crashed predecessor still lets go of it.
    pub(crate) async fn start(&mut self, node: u64) -> Result<(), StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut config = RaftConfig::new(n(node), self.path(node));
        config.autopilot.stable_for = Duration::from_millis(200);
        (self.tune)(&mut config);
        let port = self.hub.port(n(node));
        let started = runtime.spawn(async move {
            loop {
                match Raft::start(config.clone(), Arc::clone(&port)).await {
                    Err(StartError::Storage(reason)) if reason.contains("in use") => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    other => return other,
                }
            }
        });
        let started = started.await.unwrap();
        let raft = match started {
            Ok(raft) => raft,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        self.hub.attach(raft.clone());
        self.nodes.insert(node, Node { raft, runtime: Some(runtime) });
        Ok(())
    }

    /// Ends a node without a word: every task of it is dropped where it stands.
    pub(crate) fn crash(&mut self, node: u64) {
        self.hub.detach(node);
        drop(self.nodes.remove(&node));
    }

    pub(crate) fn raft(&self, node: u64) -> Raft {
        self.nodes[&node].raft.clone()
    }

    pub(crate) fn running(&self) -> BTreeSet<u64> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn proposal(&self, command: Command) -> Proposal {
        let request_id = u128::from(self.requests.fetch_add(1, Ordering::Relaxed)) << 64 | 7;
        Proposal { request_id, actor: "test".to_owned(), guard_basis: None, command }
    }

    pub(crate) async fn write(&self, node: u64, command: Command) -> Result<Outcome, WriteError> {
        self.raft(node).write(self.proposal(command), LONG).await
    }

    /// Waits until the state of a node is as wanted.
    pub(crate) async fn wait(&self, node: u64, wanted: impl FnMut(&State) -> bool) -> Arc<State> {
        let mut watch = self.raft(node).watch();
        let mut wanted = wanted;
        let state = tokio::time::timeout(LONG, watch.wait_for(|state| wanted(state))).await;
        Arc::clone(&*state.unwrap_or_else(|_| panic!("n{node}: {:?}", self.raft(node).metrics())).unwrap())
    }

    /// Waits until one of the nodes leads, by its own word, with a quorum behind it.
    pub(crate) async fn leader_among(&self, nodes: &[u64]) -> u64 {
        self.eventually("a leader", || {
            let leads = |node: &&u64| {
                let metrics = self.raft(**node).metrics();
                metrics.leader == Some(n(**node)) && metrics.millis_since_quorum_ack.is_some_and(|silent| silent < 250)
            };
            nodes.iter().find(leads).copied()
        })
        .await
    }

    /// Waits until every running node has the same state, and returns it (G5, G17).
    pub(crate) async fn converge(&self) -> Arc<State> {
        self.eventually("one state everywhere", || {
            let states: Vec<Arc<State>> = self.nodes.values().map(|node| node.raft.local().0).collect();
            let same_place = states.iter().all(|state| state.applied == states[0].applied && state.applied.is_some());
            if !same_place {
                return None;
            }
            let digests: BTreeSet<_> = states.iter().map(|state| state.digest()).collect();
            assert_eq!(digests.len(), 1, "G5: the same place in the log, but not the same state");
            Some(Arc::clone(&states[0]))
        })
        .await
    }

    /// Looks until there is something to see.
    pub(crate) async fn eventually<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = tokio::time::Instant::now() + LONG;
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            if tokio::time::Instant::now() > end {
                let seen: Vec<_> = self.nodes.values().map(|node| node.raft.metrics()).collect();
                panic!("{what} was not seen for {LONG:?}; {seen:#?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
