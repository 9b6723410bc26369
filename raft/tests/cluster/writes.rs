//! Writes at every node, and retries.

use std::{collections::BTreeSet, time::Duration};

use raft::{Command, Refusal, WriteError};

use crate::cluster::{Cluster, LONG, n, segment};

/// A cluster of three, and a follower that entries reach so late.
async fn with_a_late_follower(late: Duration) -> (Cluster, u64) {
    let cluster = Cluster::founded(3).await;
    let follower = cluster.leader_among(&[1, 2, 3]).await % 3 + 1;
    cluster.write(follower, segment("before")).await.unwrap();
    cluster.hub.lag(follower, late);
    (cluster, follower)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_takes_writes_and_all_agree() {
    let cluster = Cluster::founded(3).await;
    for round in 0..3 {
        for node in 1..=3 {
            let outcome = cluster.write(node, segment(&format!("s{round}-{node}"))).await.unwrap();
            assert_eq!(outcome.revision, Some(round * 3 + node));
        }
    }
    // G5: the same place in the log is the same state.
    let state = cluster.converge().await;
    assert_eq!(state.documents.len(), 9);
    assert_eq!(state.audit_entries().count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_at_every_node_is_one_revision() {
    let cluster = Cluster::founded(3).await;
    let proposal = cluster.proposal(segment("once"));
    let mut outcomes = Vec::new();
    for node in [2, 3, 1] {
        outcomes.push(cluster.raft(node).write(proposal.clone(), LONG).await.unwrap());
    }
    assert!(!outcomes[0].repeated && outcomes[1].repeated && outcomes[2].repeated);
    assert!(outcomes.iter().all(|outcome| outcome.revision == Some(1) && outcome.index == outcomes[0].index));
    assert_eq!(cluster.converge().await.revision(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_lose_nothing() {
    let cluster = Cluster::founded(3).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..24u64 {
        let raft = cluster.raft(writer % 3 + 1);
        let proposals: Vec<_> = (0..10).map(|turn| cluster.proposal(segment(&format!("w{writer}-{turn}")))).collect();
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for proposal in proposals {
                revisions.push(raft.write(proposal, LONG).await.unwrap().revision.unwrap());
            }
            revisions
        });
    }
    let revisions: BTreeSet<u64> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(revisions, (1..=240).collect());
    assert_eq!(cluster.converge().await.documents.len(), 240);
}

// The error says that the state machine refused, whichever node was asked.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_reach_the_writer_at_every_node() {
    let cluster = Cluster::founded(3).await;
    cluster.write(1, segment("a")).await.unwrap();
    for node in 1..=3 {
        let error =
            cluster.write(node, Command::Rollback { to: 9, expect: None, message: String::new() }).await.unwrap_err();
        assert_eq!(error, WriteError::Refused(Refusal::UnknownRevision { revision: 9, newest: 1 }));
        let stale = Command::Apply { documents: vec![], prune: false, expect: Some(0), message: String::new() };
        let error = cluster.write(node, stale).await.unwrap_err();
        assert_eq!(error, WriteError::Refused(Refusal::Conflict { expected: 0, current: 1 }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_revision_gets_through_and_a_too_large_one_is_refused_at_once() {
    let cluster = Cluster::founded(3).await;
    let message = "m".repeat(4000);
    let documents: Vec<String> = (0..3000)
        .map(|number| {
            format!(
                r#"{{"apiVersion":"hedgerow/v1","kind":"Segment","metadata":{{"name":"s{number}","labels":{{"note":"{}"}}}},"spec":{{"role":"backend","addresses":["10.1.0.0/16"]}}}}"#,
                "x".repeat(50)
            )
        })
        .collect();
    let bytes: usize = documents.iter().map(String::len).sum();
    assert!(bytes > raft::limits::FRAME_BYTES_MAX, "{bytes} bytes fit into one frame");
    let command = Command::Apply { documents, prune: true, expect: None, message };
    cluster.write(2, command).await.unwrap();
    assert_eq!(cluster.converge().await.documents.len(), 3000);

    let documents = vec!["x".repeat(raft::limits::PROPOSAL_BYTES_MAX)];
    let command = Command::Apply { documents, prune: true, expect: None, message: String::new() };
    assert!(matches!(cluster.write(3, command).await.unwrap_err(), WriteError::TooLarge { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_cluster_is_founded_nothing_is_committed() {
    let mut cluster = Cluster::new(|_| {});
    cluster.start(1).await.unwrap();
    assert!(!cluster.raft(1).is_initialised().await);
    let proposal = cluster.proposal(segment("a"));
    let error = cluster.raft(1).write(proposal, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, WriteError::Unavailable { may_have_committed: false, .. }), "{error}");
    assert_eq!(cluster.raft(1).me(), n(1));
}

// The bug: a token was made at a follower, and 9 ms later that follower did not know it.
#[tokio::test(flavor = "multi_thread")]
async fn who_writes_at_a_node_reads_it_there() {
    let (cluster, follower) = with_a_late_follower(Duration::from_millis(100)).await;
    for turn in 0..5u64 {
        let outcome = cluster.write(follower, segment(&format!("s{turn}"))).await.unwrap();
        let (state, applied) = cluster.raft(follower).local();
        assert!(applied >= outcome.index, "n{follower} is at {applied}, and acknowledged {}", outcome.index);
        assert_eq!(state.revision(), turn + 2);
    }
    // A refusal speaks of a state as well, and that is the one which is read afterwards.
    let other = (1..=3).find(|node| *node != follower).unwrap();
    let behind = cluster.write(other, segment("elsewhere")).await.unwrap();
    let stale = Command::Apply { documents: vec![], prune: false, expect: Some(6), message: String::new() };
    let error = cluster.write(follower, stale).await.unwrap_err();
    assert_eq!(error, WriteError::Refused(Refusal::Conflict { expected: 6, current: 7 }));
    assert!(cluster.raft(follower).local().1 > behind.index);
}

// What is committed is acknowledged, however far behind the node is that was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_a_node_that_is_far_behind_is_acknowledged() {
    let late = Duration::from_secs(4);
    let (cluster, follower) = with_a_late_follower(late).await;
    let outcome = cluster.write(follower, segment("committed")).await.unwrap();
    assert_eq!(outcome.revision, Some(2));
    assert!(cluster.raft(follower).local().1 < outcome.index);
}
