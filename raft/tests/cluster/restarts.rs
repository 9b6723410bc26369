//! What is on disk is enough.

use std::time::Duration;

use raft::StartError;

use crate::cluster::{Cluster, LONG, segment};

// G2, G4: all nodes crash at once, nothing acknowledged is lost, votes are remembered.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_cluster_crashes_and_comes_back() {
    let mut cluster = Cluster::founded(3).await;
    for write in 0..20 {
        cluster.write(write % 3 + 1, segment(&format!("s{write}"))).await.unwrap();
    }
    let term = cluster.raft(1).metrics().term;
    for node in 1..=3 {
        cluster.crash(node);
    }
    for node in 1..=3 {
        cluster.start(node).await.unwrap();
    }
    cluster.write(2, segment("after")).await.unwrap();
    let state = cluster.converge().await;
    assert_eq!(state.documents.len(), 21);
    assert!(cluster.raft(1).metrics().term > term);
}

// A clean end leaves what a crash leaves, and one node alone elects itself again.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_is_restarted() {
    let mut cluster = Cluster::founded(1).await;
    cluster.write(1, segment("a")).await.unwrap();
    let before = cluster.raft(1).read(LONG).await.unwrap();
    cluster.raft(1).shutdown().await.unwrap();
    cluster.crash(1);
    cluster.start(1).await.unwrap();
    let after = cluster.raft(1).read(LONG).await.unwrap();
    assert_eq!(after.documents, before.documents);
    assert_eq!(after.audit_head(), before.audit_head());
    assert_eq!(cluster.write(1, segment("b")).await.unwrap().revision, Some(2));
}

// G5: state from a snapshot and a shortened log is the state of the whole log.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_far_behind_gets_a_snapshot() {
    let mut cluster = Cluster::founded_with(3, |config| {
        config.compaction.snapshot_entries = 50;
        config.compaction.keep_entries = 10;
    })
    .await;
    cluster.crash(3);
    for write in 0..200 {
        cluster.write(write % 2 + 1, segment(&format!("s{}", write % 7))).await.unwrap();
    }
    cluster
        .eventually("a snapshot on both nodes", || {
            (1..=2).all(|node| cluster.raft(node).metrics().snapshot.is_some_and(|at| at > 100)).then_some(())
        })
        .await;
    cluster.start(3).await.unwrap();
    let state = cluster.wait(3, |state| state.revision() == 200).await;
    assert_eq!(state.documents.len(), 7);
    cluster.eventually("a snapshot", || cluster.raft(3).metrics().snapshot).await;
    cluster.converge().await;
    // Its own disk is enough from now on.
    for node in 1..=3 {
        cluster.crash(node);
    }
    for node in 1..=3 {
        cluster.start(node).await.unwrap();
    }
    assert_eq!(cluster.raft(3).read(LONG).await.unwrap().revision(), 200);
    cluster.converge().await;
}

// G7: a node whose log is damaged does not start; the others go on without its vote.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_node_stays_out() {
    let mut cluster = Cluster::founded(3).await;
    for write in 0..10 {
        cluster.write(1, segment(&format!("s{write}"))).await.unwrap();
    }
    cluster.converge().await;
    cluster.raft(3).shutdown().await.unwrap();
    cluster.crash(3);
    // The file is cut in half once the last holder has let go of it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let file = std::fs::OpenOptions::new().write(true).open(cluster.path(3).join("raft.redb")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let error = cluster.start(3).await.unwrap_err();
    assert!(matches!(error, StartError::Damaged(_)), "{error}");
    assert!(error.to_string().contains("remove it from the cluster"), "{error}");
    cluster.write(2, segment("without")).await.unwrap();
}

// A node alone is its own quorum, however long nobody has written.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_takes_writes_after_a_long_silence() {
    let cluster = Cluster::founded(1).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(cluster.raft(1).leader(), Some(crate::cluster::n(1)));
    cluster.write(1, segment("a")).await.unwrap();
    cluster.raft(1).read(LONG).await.unwrap();
}

// G13: a leader that is shut down in order hands over first; the next write does not wait for an election.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_ends_hands_over() {
    let mut cluster = Cluster::founded_with(3, |config| {
        config.timing.heartbeat = Duration::from_secs(1);
        config.timing.election_min = Duration::from_secs(3);
        config.timing.election_max = Duration::from_secs(6);
    })
    .await;
    let leader = cluster.raft(1).leader().unwrap().get();
    cluster.write(leader, segment("before")).await.unwrap();
    let begin = std::time::Instant::now();
    cluster.raft(leader).shutdown().await.unwrap();
    cluster.crash(leader);
    cluster.write(leader % 3 + 1, segment("after")).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

// A handle that outlives its node answers within the deadline, and does not spin.
#[tokio::test(flavor = "multi_thread")]
async fn the_handle_of_a_crashed_node_keeps_its_deadline() {
    let mut cluster = Cluster::founded(3).await;
    let raft = cluster.raft(2);
    cluster.crash(2);
    let proposal = cluster.proposal(segment("a"));
    let limit = Duration::from_secs(5);
    let written = tokio::time::timeout(limit, raft.write(proposal, Duration::from_millis(300))).await;
    // Another node may still take it for this one, or not: both are answers.
    assert!(written.is_ok());
    assert!(tokio::time::timeout(limit, raft.read(Duration::from_millis(300))).await.is_ok());
}
