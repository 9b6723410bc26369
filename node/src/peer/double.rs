//! A stand-in for the node behind the API: remembers what it was asked, answers with samples or with one error.

use std::{
    fmt::Debug,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use identity::{ClusterId, Digest, NodeId, Role};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    client::Client,
    http::{self, Api, UnixApi},
    metrics::Metrics,
};

/// The stand-in.
#[derive(Default)]
pub(crate) struct Double {
    /// What was asked: the verb, then actor and request as far as there are any.
    pub(crate) calls: Mutex<Vec<String>>,
    /// What to fail with.
    pub(crate) failure: Mutex<Option<ApiError>>,
    /// What an apply comes to.
    pub(crate) outcome: Mutex<Option<view::Applied>>,
    /// How often status is asked before it says that the node is ready.
    pub(crate) polls_until_ready: Mutex<u32>,
}

impl Double {
    fn answer<T>(&self, verb: &str, asked: impl Debug, sample: T) -> Result<T, ApiError> {
        locked(&self.calls).push(format!("{verb} {asked:?}"));
        match locked(&self.failure).clone() {
            Some(failure) => Err(failure),
            None => Ok(sample),
        }
    }

    /// The only thing that was asked.
    pub(crate) fn only_call(&self) -> String {
        let calls = locked(&self.calls);
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls[0].clone()
    }
}

/// What a mutex of the stand-in holds.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}

pub(crate) fn node(number: u64) -> NodeId {
    NodeId::new(number).expect("tests count nodes from 1")
}

fn attested() -> view::Attested {
    view::Attested { revision: 7, generation: 9, digest: Digest([0xab; 32]) }
}

pub(crate) fn status(ready: bool) -> view::Status {
    view::Status {
        name: "lb1".to_owned(),
        version: "0.1.0".to_owned(),
        phase: if ready { view::Phase::Running } else { view::Phase::Forming },
        ready,
        waiting_for: if ready { Vec::new() } else { vec!["2 of 3 nodes have been heard of".to_owned()] },
        node: ready.then(|| node(1)),
        cluster: ready.then(|| ClusterId::from_bytes([1; 16])),
        uptime_ms: 61_000,
        raft: ready.then(|| view::Raft {
            role: view::RaftRole::Follower,
            term: 3,
            leader: Some(node(2)),
            last_log: 42,
            committed: 41,
            applied: 41,
            voters: vec![node(1), node(2), node(3)],
            learners: vec![node(4)],
            quorum: true,
        }),
        policy: view::PolicyState {
            revision: 7,
            digest: Some(Digest([0xcd; 32])),
            active_revision: 7,
            epoch: 5,
            rejected: None,
        },
        enforcement: view::Enforcement {
            mode: view::EnforcementMode::Kernel,
            attested: Some(attested()),
            guard_entries: 42,
            hooks: vec![view::Hook {
                interface: "eth0".to_owned(),
                role: Role::Cluster,
                hook: "xdp generic".to_owned(),
                attached: true,
                repaired: 0,
            }],
            others_judge: false,
            disarmed: None,
        },
        members: view::MemberCounts { total: 3, alive: 3, suspect: 0, down: 0 },
        alarms: Vec::new(),
    }
}

fn members() -> view::Members {
    let member = view::Member {
        node: node(1),
        name: "lb1".to_owned(),
        endpoint: ([10, 77, 0, 1], 7400).into(),
        api: None,
        state: view::MemberState::Alive,
        voter: true,
        leader: false,
        witness: false,
        me: true,
        version: Some("0.1.0".to_owned()),
        attested: Some(attested()),
        applied_index: Some(41),
        disarmed: false,
        addresses: vec![view::MemberAddress { role: Role::Cluster, addr: [10, 77, 0, 1].into() }],
    };
    view::Members { members: vec![member] }
}

fn applied(outcome: view::Applied) -> view::ApplyAnswer {
    let state = |number, state, reason: Option<&str>| view::NodeState {
        node: node(number),
        name: format!("lb{number}"),
        state,
        digest: Some(Digest([0xab; 32])),
        reason: reason.map(str::to_owned),
    };
    view::ApplyAnswer {
        revision: 8,
        index: 43,
        digest: Digest([0xcd; 32]),
        outcome,
        changes: vec![change()],
        committed_ms: 12,
        activated_ms: Some(45),
        nodes: vec![
            state(1, view::NodeStateKind::Active, None),
            state(2, view::NodeStateKind::Down, Some("not alive; it catches up when it returns")),
        ],
    }
}

fn change() -> view::Change {
    view::Change {
        change: view::ChangeKind::Changed,
        kind: "Policy".to_owned(),
        name: "shop-web".to_owned(),
        text: "-  port: 80\n+  port: 443\n".to_owned(),
    }
}

fn flow_event() -> view::FlowEvent {
    view::FlowEvent {
        sequence: 17,
        at_ms: 1_795_348_800_123,
        interface: "eth1".to_owned(),
        direction: view::FlowDirection::Ingress,
        verdict: view::FlowVerdict::Drop,
        reason: "denied".to_owned(),
        src: [198, 51, 100, 7].into(),
        src_port: 50_000,
        dst: [203, 0, 113, 10].into(),
        service: "tcp/22".parse().expect("a protocol and a port"),
        tcp_flags: "SYN".to_owned(),
        bytes: 74,
        ingress_rule: Some("shop-web/ingress (no rule matched)".to_owned()),
        egress_rule: Some("default action".to_owned()),
        generation: 9,
        revision: Some(7),
        logged: false,
    }
}

fn cluster() -> view::ClusterAnswer {
    view::ClusterAnswer { cluster: ClusterId::from_bytes([1; 16]), node: node(4) }
}

#[async_trait]
impl Peer for Double {
    async fn status(&self) -> Result<view::Status, ApiError> {
        let mut polls = locked(&self.polls_until_ready);
        let ready = *polls == 0;
        *polls = polls.saturating_sub(1);
        self.answer("status", (), status(ready))
    }

    async fn members(&self) -> Result<view::Members, ApiError> {
        self.answer("members", (), members())
    }

    async fn channels(&self) -> Result<view::Channels, ApiError> {
        let channel = view::Channel {
            name: "vrrp".to_owned(),
            role: Role::Vip,
            interfaces: vec!["eth1".to_owned()],
            wire: "protocol 112 to 224.0.0.18".to_owned(),
            origin: view::ChannelOrigin::Config,
            guard_entries: 8,
        };
        self.answer("channels", (), view::Channels { channels: vec![channel], link_entries: 14 })
    }

    async fn flows(&self, query: view::FlowsQuery) -> Result<view::Flows, ApiError> {
        // Who follows asks for what comes after the sample; there is nothing, and waiting for it fails.
        if query.since.is_some() {
            self.answer("flows", query, ())?;
            return Err(ApiError::internal("nothing follows the sample"));
        }
        self.answer("flows", query, view::Flows { events: vec![flow_event()], next_since: 17, missed: 0 })
    }

    async fn policy_documents(&self, query: view::PolicyQuery) -> Result<view::PolicyDocuments, ApiError> {
        let document = serde_json::json!({
            "apiVersion": "hedgerow/v1",
            "kind": "Segment",
            "metadata": {"name": "shop-web"},
            "spec": {"role": "vip", "addresses": ["203.0.113.10/32"]},
        });
        let answer = view::PolicyDocuments {
            revision: 7,
            index: 41,
            digest: Some(Digest([0xcd; 32])),
            documents: vec![document.clone(), document],
        };
        self.answer("documents", query, answer)
    }

    async fn apply(&self, actor: &Actor, request: view::ApplyRequest) -> Result<view::ApplyAnswer, ApiError> {
        let outcome = locked(&self.outcome).unwrap_or(view::Applied::Active);
        self.answer("apply", (actor, request), applied(outcome))
    }

    async fn diff(&self, request: view::DiffRequest) -> Result<view::DiffAnswer, ApiError> {
        self.answer("diff", request, view::DiffAnswer { revision: 7, changes: vec![change()] })
    }

    async fn explain(&self, query: view::ExplainQuery) -> Result<view::Explanation, ApiError> {
        let answer = view::Explanation {
            revision: 7,
            verdict: view::Verdict::Deny,
            text: "ingress: policy shop-web, no rule matched: denied".to_owned(),
            steps: serde_json::json!([]),
            kernel: vec![view::KernelAnswer {
                hook: "eth1 xdp".to_owned(),
                verdict: view::Verdict::Deny,
                reason: "policy_deny".to_owned(),
                agrees: true,
            }],
        };
        self.answer("explain", query, answer)
    }

    async fn history(&self, consistency: view::Consistency) -> Result<view::History, ApiError> {
        let revision = view::Revision {
            number: 7,
            digest: Digest([0xcd; 32]),
            actor: "root".to_owned(),
            at_ms: 1_795_348_800_000,
            message: "open the shop".to_owned(),
            documents: 2,
            active: true,
        };
        self.answer("history", consistency, view::History { revisions: vec![revision] })
    }

    async fn rollback(&self, actor: &Actor, request: view::RollbackRequest) -> Result<view::ApplyAnswer, ApiError> {
        self.answer("rollback", (actor, request), applied(view::Applied::Active))
    }

    async fn segments(&self, consistency: view::Consistency) -> Result<view::Segments, ApiError> {
        let segment = view::Segment {
            name: "shop-web".to_owned(),
            role: "vip".to_owned(),
            labels: [("app".to_owned(), "shop".to_owned())].into(),
            addresses: (1..=5).map(|host| format!("203.0.113.{host}/32")).collect(),
            services: vec!["https tcp/443".to_owned()],
            policies: vec!["shop-web".to_owned()],
        };
        self.answer("segments", consistency, view::Segments { revision: 7, segments: vec![segment] })
    }

    async fn init(&self, actor: &Actor) -> Result<view::ClusterAnswer, ApiError> {
        self.answer("init", actor, cluster())
    }

    async fn join(&self, actor: &Actor, request: view::JoinRequest) -> Result<view::ClusterAnswer, ApiError> {
        self.answer("join", (actor, request), cluster())
    }

    async fn leave(&self, actor: &Actor, request: view::LeaveRequest) -> Result<view::Done, ApiError> {
        self.answer("leave", (actor, request), view::Done { message: "n1 has left".to_owned() })
    }

    async fn create_token(&self, actor: &Actor, ttl: Duration) -> Result<view::TokenAnswer, ApiError> {
        let answer = view::TokenAnswer { token: "hrt1.abc".to_owned(), expires_at_ms: 1_795_348_800_000 };
        self.answer("create_token", (actor, ttl), answer)
    }

    async fn disarm(&self, actor: &Actor, reason: String, duration: Duration) -> Result<view::DisarmAnswer, ApiError> {
        let answer = view::DisarmAnswer { until_ms: 1_795_348_800_000 };
        self.answer("disarm", (actor, reason, duration), answer)
    }

    async fn arm(&self, actor: &Actor) -> Result<view::Done, ApiError> {
        self.answer("arm", actor, view::Done { message: "this node enforces again".to_owned() })
    }

    async fn metrics(&self) -> Result<view::MetricsSnapshot, ApiError> {
        let snapshot = view::MetricsSnapshot { ready: true, revision_applied: Some(7), ..Default::default() };
        self.answer("metrics", (), snapshot)
    }
}

/// The API of a stand-in on a Unix socket in a directory of its own, on threads of its own.
pub(crate) struct Rig {
    pub(crate) double: Arc<Double>,
    pub(crate) socket: PathBuf,
    runtime: Runtime,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    _directory: TempDir,
}

impl Rig {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("room for a folder");
        let socket = directory.path().join("run/api.sock");
        let double = Arc::new(Double::default());
        let api = Api { peer: double.clone(), metrics: Arc::new(Metrics::new("lb1")) };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("one more thread");
        let shutdown = CancellationToken::new();
        let listener = {
            let _inside = runtime.enter();
            UnixApi::bind(&socket).expect("a socket in an empty folder")
        };
        let serving = runtime.spawn(listener.serve(http::router(api), shutdown.clone()));
        Self { double, socket, runtime, shutdown, serving, _directory: directory }
    }

    pub(crate) fn client(&self) -> Client {
        Client::unix(&self.socket).expect("the path of a socket")
    }

    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(crate) fn fail_with(&self, error: ApiError) {
        *locked(&self.double.failure) = Some(error);
    }

    /// Stops it, and waits until it has stopped.
    pub(crate) fn stop(self) {
        self.shutdown.cancel();
        self.runtime.block_on(self.serving).expect("the API ends when it is told to");
    }
}
