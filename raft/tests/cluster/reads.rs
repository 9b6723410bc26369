//! Linearizable reads (G3).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::cluster::{Cluster, LONG, segment};

#[tokio::test(flavor = "multi_thread")]
async fn a_read_at_any_node_sees_every_acknowledged_write() {
    let cluster = Cluster::founded(3).await;
    for round in 0..20u64 {
        let revision = cluster.write(round % 3 + 1, segment(&format!("s{round}"))).await.unwrap().revision.unwrap();
        for node in 1..=3 {
            let state = cluster.raft(node).read(LONG).await.unwrap();
            assert!(state.revision() >= revision, "n{node} read {} after {revision}", state.revision());
        }
    }
}

// G3: while links are cut and healed, a read never misses what was acknowledged before it began.
#[tokio::test(flavor = "multi_thread")]
async fn no_read_is_stale_while_leaders_are_cut_off() {
    let cluster = Cluster::founded(3).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for node in 1..=3 {
        let (raft, acknowledged) = (cluster.raft(node), Arc::clone(&acknowledged));
        readers.spawn(async move {
            let mut reads = 0u64;
            loop {
                let before = acknowledged.load(Ordering::SeqCst);
                if let Ok(state) = raft.read(Duration::from_millis(400)).await {
                    assert!(state.revision() >= before, "read {} after {before} was acknowledged", state.revision());
                    reads += 1;
                }
                if before >= 30 {
                    return reads;
                }
            }
        });
    }
    for round in 0..3 {
        let leader = cluster.leader_among(&[1, 2, 3]).await;
        let others: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
        cluster.hub.cut(&[leader], &others);
        for write in 0..10 {
            let outcome = cluster.write(others[write % 2], segment(&format!("s{round}-{write}"))).await.unwrap();
            acknowledged.fetch_max(outcome.revision.unwrap(), Ordering::SeqCst);
        }
        cluster.hub.heal();
    }
    let reads = readers.join_all().await;
    assert!(reads.iter().all(|reads| *reads > 0), "{reads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_leader_does_not_answer_reads() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.leader_among(&[1, 2, 3]).await;
    let others: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
    cluster.hub.cut(&[leader], &others);
    let error = cluster.raft(leader).read(Duration::from_millis(400)).await.unwrap_err();
    assert!(error.to_string().contains("a local read is possible"), "{error}");
    assert!(cluster.raft(leader).local().0.is_founded());
}
