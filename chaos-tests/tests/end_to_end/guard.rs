//! G0 with real daemons: whatever policy says, VRRP, HAProxy's peers, gossip and Raft go on.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chaos_tests::invariants::{MasterWatch, PeersWatch, converged, enforced, locked_down};
use chaos_tests::site::Forming;

use crate::scene::{AGREED_SECONDS_MAX, SECOND, Scene, scene};

/// Longer than HAProxy's peers, VRRP and gossip each need to notice a silent channel (5 s, 0.4 s, under 2 s).
const HELD: Duration = Duration::from_secs(7);

fn deny_all() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/deny-all")
}

/// Three load balancers with everything on them, under the policies of the demonstration; returns their revision.
fn everything(scene: &mut Scene) -> u64 {
    for index in 0..3 {
        scene.site.start_services(index).expect("keepalived and HAProxy");
    }
    scene.site.settle(3).expect("one master and connected peers");
    scene.formed(3)
}

/// G0: under "deny everything to everyone" the channels live, nodes still agree, and the revision can be taken back.
#[test]
fn g0_deny_everything_cuts_no_channel() {
    let Some(mut scene) = scene("g0_deny_everything_cuts_no_channel", 3) else { return };
    let before = everything(&mut scene);
    let masters = MasterWatch::start(&scene.site);
    let peers = PeersWatch::start(&scene.site.balancers).unwrap();
    assert_eq!(peers.count(), 6);
    assert_eq!(scene.site.balancers[0].cli().apply(&deny_all(), &[]).unwrap().outcome, "active");
    let started = Instant::now();
    locked_down(&scene.site, &[0, 1, 2]).unwrap().check().unwrap();
    for index in 0..3 {
        let file = scene.churn.write_next().unwrap();
        assert_eq!(scene.site.balancers[index].cli().apply(&file, &[]).unwrap().outcome, "active");
    }
    thread::sleep(HELD.saturating_sub(started.elapsed()));
    for balancer in &scene.site.balancers {
        let status = balancer.cli().status().unwrap();
        assert_eq!(status.members.alive, 3, "gossip of {}", balancer.name());
    }
    assert_eq!(masters.changes(&scene.site).counted, []);
    assert_eq!(peers.broken(&scene.site.balancers).unwrap(), Vec::<String>::new());
    let back = scene.site.balancers[2].cli().rollback(before).unwrap();
    converged(&scene.site.balancers, back.revision, AGREED_SECONDS_MAX).unwrap();
    chaos_tests::wait::until("the shop to be served again", 10 * SECOND, || {
        enforced(&scene.site, &[0, 1, 2]).map_err(|error| error.to_string())?.check()
    })
    .unwrap();
}

/// G0, G13: a peer that is killed and comes back under "deny everything" finds the others, and they it; the channels of its
/// node live meanwhile. A fourth can still join.
#[test]
fn g0_g13_under_deny_everything_a_peer_restarts_and_another_joins() {
    let Some(mut scene) = scene("g0_g13_under_deny_everything_a_peer_restarts_and_another_joins", 4) else { return };
    everything(&mut scene);
    let denied = scene.site.balancers[0].cli().apply(&deny_all(), &[]).unwrap();
    let masters = MasterWatch::start(&scene.site);
    let peers = PeersWatch::start(&scene.site.balancers).unwrap();
    let (leader, others) = scene.leader_and_others();
    for victim in [leader, others[0]] {
        scene.site.balancers[victim].kill_agent().unwrap();
        let forming = scene.site.expect(3);
        scene.site.start_agent(victim, &forming).unwrap();
        converged(&scene.site.balancers[..3], denied.revision, AGREED_SECONDS_MAX).unwrap();
    }
    scene.site.start_agent(3, &Forming::ByHand).unwrap();
    let token = scene.site.balancers[1].cli().token(&[]).unwrap();
    scene.site.balancers[3].cli().done(&["cluster", "join", &token]).unwrap();
    converged(&scene.site.balancers, denied.revision, AGREED_SECONDS_MAX).unwrap();
    locked_down(&scene.site, &[0, 1, 2]).unwrap().check().unwrap();
    assert_eq!(masters.changes(&scene.site).counted, []);
    assert_eq!(peers.broken(&scene.site.balancers).unwrap(), Vec::<String>::new());
}

/// G0, G6: thirty revisions in a row at every node in turn; the demonstration plays two hundred.
#[test]
fn g0_g6_revisions_in_a_row_cut_no_channel() {
    let Some(mut scene) = scene("g0_g6_revisions_in_a_row_cut_no_channel", 3) else { return };
    everything(&mut scene);
    let masters = MasterWatch::start(&scene.site);
    let peers = PeersWatch::start(&scene.site.balancers).unwrap();
    let mut last = 0;
    for number in 0..30 {
        let file = scene.churn.write_next().unwrap();
        let applied = scene.site.balancers[number % 3].cli().apply(&file, &[]).unwrap();
        assert_eq!(applied.outcome, "active");
        assert!(applied.revision > last, "generations only go forward (G6)");
        last = applied.revision;
    }
    converged(&scene.site.balancers, last, AGREED_SECONDS_MAX).unwrap();
    assert_eq!(masters.changes(&scene.site).counted, []);
    assert_eq!(peers.broken(&scene.site.balancers).unwrap(), Vec::<String>::new());
}

/// G12: a member that leaves is forgotten by gossip, votes and guards, and the rest go on.
#[test]
fn g12_a_member_that_leaves_is_gone() {
    let Some(mut scene) = scene("g12_a_member_that_leaves_is_gone", 3) else { return };
    scene.formed(3);
    let (_, others) = scene.leader_and_others();
    let entries = |index: usize| {
        scene.site.balancers[index].cli().json(&["status"]).unwrap()["enforcement"]["guard_entries"].as_u64()
    };
    let (leaver, stays) = (others[0], others[1]);
    let before = entries(stays).unwrap();
    scene.site.balancers[leaver].cli().done(&["cluster", "leave"]).unwrap();
    let cli = scene.site.balancers[stays].cli();
    cli.wait_status("the others to forget the member that left", 20 * SECOND, |status| {
        let voters = status.raft.as_ref().map_or(0, |raft| raft.voters.len());
        if status.members.total == 2 && voters == 2 {
            Ok(())
        } else {
            Err(format!("{} members, {voters} voters", status.members.total))
        }
    })
    .unwrap();
    chaos_tests::wait::until_true("its guard entries to go, after the grace time", 60 * SECOND, || {
        entries(stays).is_some_and(|now| now < before)
    })
    .unwrap();
    let file = scene.churn.write_next().unwrap();
    assert_eq!(cli.apply(&file, &[]).unwrap().outcome, "active");
}
