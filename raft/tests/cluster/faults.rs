//! Partitions and lost leaders.

use std::time::Duration;

use raft::WriteError;

use crate::cluster::{Cluster, LONG, n, segment};

const SHORT: Duration = Duration::from_millis(700);

fn others(all: std::ops::RangeInclusive<u64>, not: &[u64]) -> Vec<u64> {
    all.filter(|node| !not.contains(node)).collect()
}

// G1, G2, G17: the majority goes on, the old leader acknowledges nothing, and all converge after healing.
#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_cut_off() {
    let cluster = Cluster::founded(5).await;
    cluster.write(1, segment("before")).await.unwrap();
    let old = cluster.leader_among(&[1, 2, 3, 4, 5]).await;
    let majority = others(1..=5, &[old]);
    cluster.hub.cut(&[old], &majority);

    let lost = cluster.raft(old).write(cluster.proposal(segment("lost")), SHORT).await.unwrap_err();
    assert!(matches!(lost, WriteError::Unavailable { may_have_committed: true, .. }), "{lost}");
    assert!(lost.to_string().contains("ask again with the same request id"));

    let new = cluster.leader_among(&majority).await;
    assert!(cluster.raft(new).metrics().term > 1);
    for node in &majority {
        cluster.write(*node, segment(&format!("during-{node}"))).await.unwrap();
    }
    assert!(cluster.raft(old).local().0.documents.len() < 3);

    cluster.hub.heal();
    let state = cluster.converge().await;
    let names: Vec<&str> = state.documents.iter().map(|document| document.name.as_str()).collect();
    assert!(majority.iter().all(|node| names.contains(&format!("during-{node}").as_str())), "{names:?}");
    assert!(!names.contains(&"lost"), "nobody acknowledged it, and the log of the majority went on without it");
    cluster.write(old, segment("after")).await.unwrap();
}

// A write that waits at the old leader is taken up by the new one, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_outlives_the_leader_it_was_sent_to() {
    let cluster = Cluster::founded(3).await;
    let old = cluster.leader_among(&[1, 2, 3]).await;
    let majority = others(1..=3, &[old]);
    cluster.hub.cut(&[old], &majority);
    let waiting = {
        let (raft, proposal) = (cluster.raft(old), cluster.proposal(segment("waits")));
        tokio::spawn(async move { raft.write(proposal, LONG).await })
    };
    cluster.leader_among(&majority).await;
    cluster.write(majority[0], segment("during")).await.unwrap();
    cluster.hub.heal();
    waiting.await.unwrap().unwrap();
    let state = cluster.converge().await;
    assert_eq!(state.documents.len(), 2);
    assert_eq!(state.revision(), 2, "a retry is not a second revision");
}

// G11: without a quorum nothing commits, and the error says whether something may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_minority_refuses() {
    let cluster = Cluster::founded(5).await;
    let leader = cluster.leader_among(&[1, 2, 3, 4, 5]).await;
    let rest = others(1..=5, &[leader]);
    let (minority, majority) = (&rest[..2], [leader, rest[2], rest[3]]);
    cluster.hub.cut(minority, &majority);
    let outside = minority[0];
    cluster
        .eventually("the minority misses its leader", || cluster.raft(outside).leader().is_none().then_some(()))
        .await;
    let error = cluster.raft(outside).write(cluster.proposal(segment("x")), SHORT).await.unwrap_err();
    assert!(matches!(error, WriteError::Unavailable { may_have_committed: false, .. }), "{error}");
    assert!(error.to_string().contains("it was not committed"));
    assert!(cluster.raft(outside).read(SHORT).await.is_err());
    // Pre-vote: the minority asks in vain, and does not disturb the leader when it comes back.
    let term = cluster.raft(leader).metrics().term;
    cluster.write(leader, segment("y")).await.unwrap();
    cluster.hub.heal();
    let state = cluster.converge().await;
    assert_eq!(state.documents.len(), 1);
    assert_eq!(cluster.raft(leader).metrics().term, term);
}

// A leader that lost its quorum says so at once, instead of collecting writes in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_quorum_takes_no_writes() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.leader_among(&[1, 2, 3]).await;
    cluster.hub.cut(&[leader], &others(1..=3, &[leader]));
    cluster
        .eventually("the silence is noticed", || {
            cluster.raft(leader).metrics().millis_since_quorum_ack.is_some_and(|silent| silent > 700).then_some(())
        })
        .await;
    let last_log = cluster.raft(leader).metrics().last_log;
    let error = cluster.raft(leader).write(cluster.proposal(segment("x")), SHORT).await.unwrap_err();
    assert!(matches!(error, WriteError::Unavailable { may_have_committed: false, .. }), "{error}");
    assert_eq!(cluster.raft(leader).metrics().last_log, last_log);
}

// G2: whoever leads dies, again and again; everything acknowledged is there.
#[tokio::test(flavor = "multi_thread")]
async fn leaders_crash_one_after_another() {
    let mut cluster = Cluster::founded(3).await;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let leader = cluster.leader_among(&others(1..=3, &[])).await;
        let name = format!("r{round}");
        cluster.write(leader % 3 + 1, segment(&name)).await.unwrap();
        acknowledged.push(name);
        cluster.crash(leader);
        let survivor = *cluster.running().first().unwrap();
        let name = format!("s{round}");
        cluster.write(survivor, segment(&name)).await.unwrap();
        acknowledged.push(name);
        cluster.start(leader).await.unwrap();
    }
    let state = cluster.converge().await;
    let names: Vec<&str> = state.documents.iter().map(|document| document.name.as_str()).collect();
    assert!(acknowledged.iter().all(|name| names.contains(&name.as_str())), "{names:?}");
    assert_eq!(cluster.raft(1).me(), n(1));
}
