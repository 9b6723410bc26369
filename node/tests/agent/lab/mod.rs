//! Agents on the loopback: started alike or by hand, waited for by what they answer, ended with their test.

mod agent;
mod run;
mod setup;
mod wait;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use identity::ClusterId;
use node::view::{RaftRole, Status};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) use self::{
    agent::Agent,
    run::{PROGRAM, Run, run},
    setup::Setup,
    wait::{eventually, until},
};

/// The agents of one test, and their folder. Dropped, it ends them and removes everything; after a failure it first prints
/// what they logged.
pub(crate) struct Lab {
    /// Before the folder: agents end before their state goes.
    pub(crate) agents: Vec<Agent>,
    dir: TempDir,
    runtime: Arc<Runtime>,
    network: [u8; 3],
}

/// Loopback networks handed out by this process.
static NETWORKS: AtomicU8 = AtomicU8::new(0);

impl Lab {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        // Every test has addresses of its own in 127.0.0.0/8, so that ports need not be hunted for and no two tests meet:
        // not in this process, nor in another one that runs at the same time.
        let process = std::process::id();
        let [_, _, high, low] = (process % 50_000).to_be_bytes();
        let network = [high.saturating_add(1), low, NETWORKS.fetch_add(1, Ordering::Relaxed)];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { agents: Vec::new(), dir: tempfile::tempdir().unwrap(), runtime: Arc::new(runtime), network }
    }

    /// A node with this number and configuration; it does not run yet.
    pub(crate) fn node(&self, number: u8, setup: &Setup) -> Agent {
        let [one, two, three] = self.network;
        // 127.one.two.x: `three` counts tests, eight nodes each.
        let host = move |number: u8| [127, one, two, three.wrapping_mul(8).wrapping_add(number)].into();
        Agent::new(self.dir.path(), self.runtime.clone(), host, number, setup)
    }

    /// `count` nodes that were started alike and have formed one cluster.
    pub(crate) fn formed(count: u8) -> Self {
        let mut lab = Self::new();
        for number in 1..=count {
            lab.agents.push(lab.node(number, &Setup::alike(count)));
        }
        lab.agents.iter_mut().for_each(Agent::start);
        lab.agents.iter().for_each(|agent| drop(agent.ready()));
        lab
    }

    /// One node that has founded a cluster by hand, and `others` that wait to join.
    pub(crate) fn by_hand(others: u8) -> Self {
        let mut lab = Self::new();
        for number in 1..=others + 1 {
            let mut agent = lab.node(number, &Setup::by_hand());
            agent.start();
            agent.answers();
            lab.agents.push(agent);
        }
        lab.agents[0].cli(["cluster", "init"]).done();
        lab.agents[0].ready();
        lab
    }

    /// The place of the node that leads, once all that run agree on one.
    pub(crate) fn leader(&self) -> usize {
        eventually("one leader that everybody names", || {
            let running: Vec<_> = self.running().map(|(place, agent)| Some((place, agent.try_status()?))).collect();
            let statuses: Vec<(usize, Status)> = running.into_iter().collect::<Option<_>>()?;
            let leads = |(_, status): &&(usize, Status)| role(status) == Some(RaftRole::Leader);
            let (place, leader) = statuses.iter().find(leads)?;
            let agrees = |(_, status): &(usize, Status)| {
                status.raft.as_ref().is_some_and(|raft| raft.quorum && raft.leader == leader.node)
            };
            statuses.iter().all(agrees).then_some(*place)
        })
    }

    /// The places of the running nodes that follow.
    pub(crate) fn followers(&self) -> Vec<usize> {
        let leader = self.leader();
        self.running().map(|(place, _)| place).filter(|place| *place != leader).collect()
    }

    /// The nodes that run, with their places.
    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, &Agent)> {
        self.agents.iter().enumerate().filter(|(_, agent)| agent.runs())
    }

    /// The one cluster that all running nodes belong to.
    pub(crate) fn cluster(&self) -> ClusterId {
        let mut ids = self.running().map(|(_, agent)| agent.status().cluster.expect("a member of a cluster"));
        let first = ids.next().expect("one that runs");
        assert!(ids.all(|other| other == first), "all are in one cluster");
        first
    }

    /// A file in the folder of the test.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A new folder in that of the test.
    pub(crate) fn dir(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path.display().to_string()
    }

    /// Waits until every running node enforces `revision`, with the same digest on all of them (G5).
    pub(crate) fn enforced(&self, revision: u64) {
        eventually(&format!("revision {revision} enforced everywhere with one digest"), || {
            let attested: Vec<_> = self.running().map(|(_, agent)| agent.try_status()?.enforcement.attested).collect();
            let attested = attested.into_iter().collect::<Option<Vec<_>>>()?;
            let first = attested.first()?;
            let same = attested.iter().all(|one| (one.revision, one.digest) == (revision, first.digest));
            same.then_some(())
        });
    }
}

fn role(status: &Status) -> Option<RaftRole> {
    status.raft.as_ref().map(|raft| raft.role)
}

/// How long a run of the command line may take before it hangs.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(30);
