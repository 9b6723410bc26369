//! Random faults under load: cuts, crashes, restarts, from one seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use raft::{Proposal, RaftState};

use crate::{
    cluster::{Cluster, segment},
    wire::Hub,
};

const NODES: u64 = 5;
const STEPS: u64 = 25;
const WRITERS: u64 = 3;

/// A small generator (Marsaglia, "Xorshift RNGs", 2003): one seed, one run of faults.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Writes one segment after another, each until somebody acknowledges it, at whatever node is there.
async fn write_on(hub: Arc<Hub>, writer: u64, stop: Arc<AtomicBool>, acknowledged: Arc<Mutex<BTreeSet<String>>>) {
    let mut dice = Dice(writer + 77);
    for turn in 0u64.. {
        let name = format!("w{writer}-{turn}");
        let request_id = u128::from(writer + 1) << 96 | u128::from(turn + 1);
        let proposal = Proposal { request_id, actor: "chaos".to_owned(), guard_basis: None, command: segment(&name) };
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let nodes = hub.nodes();
            let at = nodes[usize::try_from(dice.below(nodes.len() as u64)).unwrap()].clone();
            if at.write(proposal.clone(), Duration::from_millis(600)).await.is_ok() {
                acknowledged.lock().unwrap().insert(name);
                break;
            }
        }
    }
}

/// Notes who leads in which term; a second leader of one term fails the test (G1).
async fn watch_leaders(hub: Arc<Hub>, stop: Arc<AtomicBool>) {
    let mut leaders = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        for node in hub.nodes() {
            let metrics = node.metrics();
            if metrics.state == RaftState::Leader {
                let first = *leaders.entry(metrics.term).or_insert(node.me());
                assert_eq!(first, node.me(), "G1: two leaders in term {}", metrics.term);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn fault(cluster: &mut Cluster, dice: &mut Dice) {
    let down: Vec<u64> = (1..=NODES).filter(|node| !cluster.running().contains(node)).collect();
    let any = dice.below(NODES) + 1;
    match dice.below(5) {
        0 | 1 => {
            cluster.hub.heal();
            let size = dice.below(2) + 1;
            let side: Vec<u64> = (0..size).map(|step| (any + step) % NODES + 1).collect();
            let rest: Vec<u64> = (1..=NODES).filter(|node| !side.contains(node)).collect();
            cluster.hub.cut(&side, &rest);
        }
        2 => cluster.hub.heal(),
        3 if down.len() < 2 && !down.contains(&any) => cluster.crash(any),
        _ => {
            if let Some(node) = down.first() {
                cluster.start(*node).await.unwrap();
            }
        }
    }
}

async fn run(seed: u64) {
    println!("seed {seed}");
    let mut cluster = Cluster::founded_with(NODES, |config| {
        config.compaction.snapshot_entries = 60;
        config.compaction.keep_entries = 10;
    })
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        tasks.spawn(write_on(Arc::clone(&cluster.hub), writer, Arc::clone(&stop), Arc::clone(&acknowledged)));
    }
    tasks.spawn(watch_leaders(Arc::clone(&cluster.hub), Arc::clone(&stop)));
    let mut dice = Dice(seed);
    for _ in 0..STEPS {
        fault(&mut cluster, &mut dice).await;
        tokio::time::sleep(Duration::from_millis(20 + dice.below(200))).await;
    }
    cluster.hub.heal();
    for node in 1..=NODES {
        if !cluster.running().contains(&node) {
            cluster.start(node).await.unwrap();
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let state = cluster.converge().await;
    let names: BTreeSet<String> = state.documents.iter().map(|document| document.name.clone()).collect();
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&names).collect();
    assert!(lost.is_empty(), "seed {seed}: G2: acknowledged and lost: {lost:?}");
    assert_eq!(state.revision(), names.len() as u64, "seed {seed}: a retry was a second write");
    assert!(!acknowledged.is_empty(), "seed {seed}: nothing was written");
}

// G1, G2, G5, G17: whatever happens to links and nodes, as long as the disks are whole.
#[tokio::test(flavor = "multi_thread")]
async fn random_faults_lose_nothing() {
    let seed = std::env::var("HEDGEROW_SEED").ok().and_then(|text| text.parse().ok());
    for seed in seed.map_or(vec![11, 23, 47], |seed: u64| vec![seed]) {
        run(seed).await;
    }
}
