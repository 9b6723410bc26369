//! How long a durable write takes on three nodes over loopback TCP, for 1, 16 and 64 clients.
//!
//! `cargo run -p raft --example write_latency [DIRECTORY [SECONDS]]`: the logs go below the directory, which decides
//! which disk is measured. All nodes share one process and one disk: a real cluster has three of each.

mod tcp;

use std::{
    collections::BTreeMap,
    io::Write,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use identity::{ClusterId, Fingerprint, MemberRecord, NodeId};
use raft::{Command, Genesis, Proposal, Raft, RaftConfig};
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const NODES: u64 = 3;
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().unwrap_or_else(|| "target/write-latency".to_owned()));
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    std::fs::create_dir_all(&dir)?;
    let dir = tempfile::tempdir_in(dir)?;
    let nodes = cluster(dir.path()).await?;
    let leader = nodes[0].leader().ok_or("no leader")?;
    let mut out = std::io::stdout();
    writeln!(out, "at        clients   writes/s    p50 ms    p99 ms    max ms")?;
    for (name, at_leader) in [("leader", true), ("follower", false)] {
        let node = nodes.iter().find(|node| (node.me() == leader) == at_leader).ok_or("no such node")?;
        for clients in [1, 16, 64] {
            let mut took = measure(node, clients, Duration::from_secs(seconds)).await?;
            took.sort_unstable();
            let at = |share: f64| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short list")]
                let place = (took.len() as f64 * share) as usize;
                took[place.min(took.len() - 1)].as_secs_f64() * 1e3
            };
            let rate = took.len() as u64 / seconds;
            writeln!(out, "{name:<9} {clients:>7} {rate:>10} {:>9.3} {:>9.3} {:>9.3}", at(0.5), at(0.99), at(1.0))?;
        }
    }
    writeln!(out, "the leader was elected in term 1, and is now in term {}", nodes[0].metrics().term)?;
    for node in nodes {
        node.shutdown().await?;
    }
    Ok(())
}

async fn cluster(dir: &std::path::Path) -> Result<Vec<Raft>, Failure> {
    let mut listeners = Vec::new();
    let mut peers = BTreeMap::new();
    for number in 1..=NODES {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        peers.insert(NodeId::new(number)?, listener.local_addr()?);
        listeners.push((NodeId::new(number)?, listener));
    }
    let peers = Arc::new(peers);
    let mut nodes = Vec::new();
    for (me, listener) in listeners {
        let wire = tcp::Tcp { me, peers: Arc::clone(&peers) };
        let node = Raft::start(RaftConfig::new(me, dir.join(me.to_string())), Arc::new(wire)).await?;
        tokio::spawn(tcp::accept(listener, node.clone()));
        nodes.push(node);
    }
    let records = peers.iter().map(|(node, endpoint)| record(*node, *endpoint)).collect();
    let genesis = Genesis { cluster: ClusterId::from_bytes([1; 16]), epoch: 1, ca_pem: String::new() };
    nodes[0].initialise(records, genesis, DEADLINE).await?;
    Ok(nodes)
}

fn record(node: NodeId, endpoint: std::net::SocketAddr) -> MemberRecord {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&node.get().to_le_bytes());
    let fingerprint = Fingerprint(key);
    MemberRecord {
        node,
        name: node.to_string(),
        endpoint,
        api: None,
        fingerprint,
        addresses: Vec::new(),
        witness: false,
    }
}

/// Clients that write one after another, each waiting for its answer; how long each write took.
async fn measure(node: &Raft, clients: u64, time: Duration) -> Result<Vec<Duration>, Failure> {
    let end = Instant::now() + time;
    let salt = u128::from(node.me().get()) << 120 | u128::from(node.local().1) << 64;
    let mut running = tokio::task::JoinSet::new();
    for client in 0..clients {
        let node = node.clone();
        running.spawn(async move {
            let mut took = Vec::new();
            for turn in 0u32.. {
                let request_id = salt | u128::from(client) << 32 | u128::from(turn);
                let command = segment(&format!("c{client}"));
                let begin = Instant::now();
                node.write(Proposal { request_id, actor: "bench".to_owned(), guard_basis: None, command }, DEADLINE)
                    .await?;
                took.push(begin.elapsed());
                if Instant::now() > end {
                    break;
                }
            }
            Ok::<_, Failure>(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = running.join_next().await {
        all.extend(took??);
    }
    Ok(all)
}

fn segment(name: &str) -> Command {
    let document = format!(
        r#"{{"apiVersion":"hedgerow/v1","kind":"Segment","metadata":{{"name":"{name}"}},"spec":{{"role":"backend","addresses":["10.1.0.0/16"]}}}}"#
    );
    Command::Apply { documents: vec![document], prune: true, expect: None, message: String::new() }
}
