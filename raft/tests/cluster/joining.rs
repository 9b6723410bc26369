//! Members that come and go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use identity::Digest;
use raft::{Command, Proposal, Refusal, TokenRecord, WriteError};

use crate::cluster::{Cluster, LONG, n, newcomer, segment};

fn now_ms() -> u64 {
    u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

fn token(id: u8, expires_ms: u64) -> Command {
    Command::CreateToken(TokenRecord { id: [id; 16], secret_hash: Digest([id; 32]), expires_ms, used_by: None })
}

fn admit(id: u8, number: u64) -> Command {
    Command::Admit { token: [id; 16], member: newcomer(number) }
}

/// Admits the next node and starts it.
async fn join(cluster: &mut Cluster, number: u64) {
    let id = u8::try_from(number).unwrap();
    cluster.write(1, token(id, now_ms() + 60_000)).await.unwrap();
    let outcome = cluster.write(1, admit(id, number)).await.unwrap();
    assert_eq!(outcome.node, Some(n(number)));
    cluster.start(number).await.unwrap();
}

async fn voters(cluster: &Cluster, wanted: &[u64]) {
    let wanted: Vec<_> = wanted.iter().map(|number| n(*number)).collect();
    cluster
        .eventually("the voters", || {
            let leader = cluster.raft(*cluster.running().first().unwrap()).leader()?;
            let leads = cluster.running().contains(&leader.get());
            (leads && cluster.raft(leader.get()).metrics().voters == wanted).then_some(())
        })
        .await;
}

// A token is used once, in time, and a lost answer can be asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_single_use_and_expire() {
    let cluster = Cluster::founded(3).await;
    cluster.write(2, token(1, now_ms() + 60_000)).await.unwrap();
    assert_eq!(cluster.write(3, admit(1, 4)).await.unwrap().node, Some(n(4)));
    assert_eq!(cluster.write(1, admit(1, 4)).await.unwrap().node, Some(n(4)));
    assert_eq!(cluster.write(2, admit(1, 5)).await.unwrap_err(), WriteError::Refused(Refusal::UsedToken(n(4))));
    cluster.write(2, token(2, now_ms() - 5_000)).await.unwrap();
    let error = cluster.write(2, admit(2, 5)).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused(Refusal::ExpiredToken { seconds: 5.. })), "{error}");
}

// G0: two members judge at one moment by the same state whether the guard has room for one more. One of the two is admitted,
// whichever; the other has to be judged again.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_were_judged_by_one_state_one_is_admitted() {
    let cluster = Cluster::founded(3).await;
    for id in [4, 5] {
        cluster.write(1, token(id, now_ms() + 60_000)).await.unwrap();
    }
    let guard_basis = Some(cluster.raft(1).read(LONG).await.unwrap().guard_basis());
    let at_once = [(2, 4), (3, 5)].map(|(node, number): (u64, u8)| {
        let proposal = Proposal { guard_basis, ..cluster.proposal(admit(number, number.into())) };
        let raft = cluster.raft(node);
        async move { raft.write(proposal, LONG).await }
    });
    let [one, other] = at_once;
    let (one, other) = tokio::join!(one, other);
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "{one:?} {other:?}");
    let moved = WriteError::Refused(Refusal::GuardMoved);
    assert!(one == Err(moved.clone()) || other == Err(moved), "the other is told why");
    assert_eq!(cluster.converge().await.members.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_grows_to_three_voters_and_a_fourth_stays_a_learner() {
    let mut cluster = Cluster::founded(1).await;
    join(&mut cluster, 2).await;
    voters(&cluster, &[1, 2]).await;
    join(&mut cluster, 3).await;
    voters(&cluster, &[1, 2, 3]).await;
    join(&mut cluster, 4).await;
    cluster.wait(4, |state| state.members.len() == 4).await;
    // Every node takes writes, learners too.
    cluster.write(4, segment("at-a-learner")).await.unwrap();
    assert!(cluster.raft(4).read(LONG).await.unwrap().documents.len() == 1);
    voters(&cluster, &[1, 2, 3]).await;
    join(&mut cluster, 5).await;
    voters(&cluster, &[1, 2, 3, 4, 5]).await;
    cluster.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_under_load() {
    let mut cluster = Cluster::founded(3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for node in 1..=3 {
        let (raft, stop) = (cluster.raft(node), Arc::clone(&stop));
        let proposals: Vec<_> = (0..500).map(|turn| cluster.proposal(segment(&format!("s{}", turn % 5)))).collect();
        writers.spawn(async move {
            let mut written = 0;
            for proposal in proposals {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                raft.write(proposal, LONG).await.unwrap();
                written += 1;
            }
            written
        });
    }
    join(&mut cluster, 4).await;
    cluster.wait(4, |state| state.members.len() == 4 && state.revision() > 20).await;
    stop.store(true, Ordering::Relaxed);
    let written: u64 = writers.join_all().await.into_iter().sum();
    assert_eq!(cluster.converge().await.revision(), written);
}

// G12: a removed voter votes no more, a learner takes its place, and it is not served.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_voter_is_replaced() {
    let mut cluster = Cluster::founded(3).await;
    join(&mut cluster, 4).await;
    cluster.wait(4, |state| state.members.len() == 4).await;
    let leader = cluster.leader_among(&[1, 2, 3]).await;
    let removed = leader % 3 + 1;
    cluster.write(leader, Command::RemoveMember { node: n(removed) }).await.unwrap();
    let mut rest: Vec<u64> = (1..=4).filter(|node| *node != removed).collect();
    rest.sort_unstable();
    let wanted: Vec<_> = rest.iter().map(|number| n(*number)).collect();
    cluster.eventually("the new voters", || (cluster.raft(leader).metrics().voters == wanted).then_some(())).await;
    cluster.crash(removed);
    cluster.write(4, segment("after")).await.unwrap();
    cluster.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_leader_hands_over() {
    let mut cluster = Cluster::founded(3).await;
    let leader = cluster.leader_among(&[1, 2, 3]).await;
    cluster.write(leader, Command::RemoveMember { node: n(leader) }).await.unwrap();
    let rest: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
    cluster.leader_among(&rest).await;
    cluster.crash(leader);
    let wanted: Vec<_> = rest.iter().map(|number| n(*number)).collect();
    cluster
        .eventually("two voters", || {
            rest.iter().any(|node| cluster.raft(*node).metrics().voters == wanted).then_some(())
        })
        .await;
    cluster.write(rest[0], segment("after")).await.unwrap();
    assert!(cluster.running().len() == 2);
    tokio::time::timeout(Duration::from_secs(1), cluster.converge()).await.unwrap();
}

// A witness votes and does not want to lead.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_leads_hands_over() {
    let cluster = Cluster::founded(3).await;
    let leader = cluster.leader_among(&[1, 2, 3]).await;
    let witness = identity::MemberRecord { witness: true, ..crate::cluster::record(leader) };
    cluster.write(leader, Command::UpdateMember(witness)).await.unwrap();
    let others: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
    cluster.leader_among(&others).await;
}
