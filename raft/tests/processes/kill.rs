//! Processes that are killed while they write.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command as Process, Stdio},
};

use crate::single::{LONG, proposal, segment, single};

const CHILD: &str = "HEDGEROW_RAFT_CHILD";

/// Runs as a process of its own: writes as fast as it can, and says what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_writes() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let raft = single(Path::new(&dir), |_| {}).await;
    let start = raft.read(LONG).await.unwrap().revision();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4u64 {
        let raft = raft.clone();
        writers.spawn(async move {
            for turn in 0.. {
                let name = format!("s{start}-{writer}-{turn}");
                let id = u128::from(start) << 64 | u128::from(writer) << 32 | turn;
                raft.write(proposal(id + 1, segment(&name)), LONG).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "\nacknowledged {name}").unwrap();
                out.flush().unwrap();
            }
        });
    }
    writers.join_all().await;
}

/// Kills the child after so many acknowledgements, and returns all that it gave.
fn killed_after(dir: &Path, acknowledgements: usize) -> Vec<String> {
    let mut child: Child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_writes", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut names = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Ok(line) = line else { break };
        if let Some(name) = line.strip_prefix("acknowledged ") {
            names.push(name.to_owned());
        }
        if names.len() == acknowledgements {
            // SIGKILL: nothing of the process runs any more.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(names.len() >= acknowledgements, "the child ended by itself after {} writes", names.len());
    names
}

// G2, G4: whenever the process is killed, also while it makes snapshots, nothing acknowledged is lost.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for kill in [1, 17, 60, 130, 45] {
        acknowledged.extend(killed_after(dir.path(), kill));
    }
    let raft = single(dir.path(), |_| {}).await;
    let state = raft.read(LONG).await.unwrap();
    let names: BTreeSet<String> = state.documents.iter().map(|document| document.name.clone()).collect();
    let lost: Vec<_> = acknowledged.difference(&names).collect();
    assert!(lost.is_empty(), "{lost:?} were acknowledged and are lost");
    assert!(raft.metrics().snapshot.is_some());
    raft.shutdown().await.unwrap();
}
