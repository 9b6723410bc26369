//! What the cluster does when a node is cut off, killed, paused, or added: nothing acknowledged is lost, and all converge.

use std::thread;
use std::time::{Duration, Instant};

use crate::scene::{AGREED_SECONDS_MAX, SECOND, scene};
use chaos_tests::faults::Paused;
use chaos_tests::invariants::{MasterWatch, converged, enforced_at};
use chaos_tests::site::Forming;
use chaos_tests::wait;

/// G2, G11, G17: cut off from the others, the leader refuses writes in time and says so; the majority elects another and writes;
/// healed, all enforce the same bytes and the majority's write is there.
#[test]
fn g11_g17_a_leader_that_is_cut_off_refuses_writes_and_converges() {
    let Some(mut scene) = scene("g11_g17_a_leader_that_is_cut_off_refuses_writes_and_converges", 3) else { return };
    scene.formed(3);
    let (leader, others) = scene.leader_and_others();
    let cut = scene.site.networks.cluster.isolate(&scene.site.balancers[leader].machine).unwrap();
    let file = scene.churn.write_next().unwrap();
    let majority = scene.site.balancers[others[0]].cli();
    let written = majority.apply_with(&file, "none", &["--timeout", "20s"]).unwrap();

    let started = Instant::now();
    let lonely = scene.churn.write_next().unwrap().display().to_string();
    let cli = scene.site.balancers[leader].cli();
    let refused = cli.run(&["policy", "apply", "-f", &lonely, "--wait", "none", "--timeout", "3s"]).unwrap();
    assert_ne!(refused.code, 0, "{refused}");
    assert!(started.elapsed() < 6 * SECOND, "the deadline was 3 s, the answer took {:?}: {refused}", started.elapsed());
    assert!(refused.stderr.contains("committed"), "it must say whether it may have been committed: {refused}");
    wait::until("the lonely node to say that it has no quorum (G11)", 10 * SECOND, || {
        let raft = cli.status().map_err(|error| error.to_string())?.raft.ok_or("no raft")?;
        if raft.quorum { Err("it claims a quorum".to_owned()) } else { Ok(()) }
    })
    .unwrap();

    cut.heal().unwrap();
    let same = converged(&scene.site.balancers, written.revision, AGREED_SECONDS_MAX).unwrap();
    assert!(same.revision >= written.revision);
}

/// G13, G17: killed with SIGKILL, a peer's node goes on enforcing; back, it catches up with what it missed.
#[test]
fn g13_g17_a_killed_peer_leaves_enforcement_and_comes_back() {
    let Some(mut scene) = scene("g13_g17_a_killed_peer_leaves_enforcement_and_comes_back", 3) else { return };
    for index in 0..3 {
        scene.site.start_services(index).unwrap();
    }
    scene.site.settle(3).unwrap();
    scene.formed(3);
    let masters = MasterWatch::start(&scene.site);
    let (leader, others) = scene.leader_and_others();
    for victim in [leader, others[0]] {
        scene.site.balancers[victim].kill_agent().unwrap();
        let file = scene.churn.write_next().unwrap();
        let writer = others[1];
        let written = scene.site.balancers[writer].cli().apply_with(&file, "none", &["--timeout", "20s"]).unwrap();
        enforced_at(&scene.site, victim).unwrap().check().unwrap();
        let forming = scene.site.expect(3);
        scene.site.start_agent(victim, &forming).unwrap();
        converged(&scene.site.balancers, written.revision, AGREED_SECONDS_MAX).unwrap();
        enforced_at(&scene.site, victim).unwrap().check().unwrap();
    }
    assert_eq!(masters.changes(&scene.site).counted, []);
}

/// G1, G10, G17: a node that stands still for ten seconds finds another leader when it wakes, and follows it.
#[test]
fn g1_g17_a_leader_paused_for_ten_seconds_steps_back_and_converges() {
    let Some(mut scene) = scene("g1_g17_a_leader_paused_for_ten_seconds_steps_back_and_converges", 3) else { return };
    scene.formed(3);
    let (leader, others) = scene.leader_and_others();
    let term = scene.site.balancers[leader].cli().status().unwrap().raft.unwrap().term;
    let file = scene.churn.write_next().unwrap();
    let started = Instant::now();
    let agent = scene.site.balancers[leader].agent.as_ref().unwrap();
    let paused = Paused::new(agent).unwrap();
    let written = scene.site.balancers[others[0]].cli().apply_with(&file, "none", &["--timeout", "20s"]).unwrap();
    thread::sleep((10 * SECOND).saturating_sub(started.elapsed()));
    drop(paused);
    converged(&scene.site.balancers, written.revision, AGREED_SECONDS_MAX).unwrap();
    let terms: Vec<_> = scene
        .site
        .balancers
        .iter()
        .map(|one| one.cli().status().unwrap().raft.unwrap())
        .map(|raft| raft.term)
        .collect();
    assert!(terms.iter().all(|now| *now > term), "a new leader means a new term: {term} before, {terms:?} now");
    let leaders = scene.site.balancers.iter().filter(|one| one.cli().status().unwrap().leads()).count();
    assert_eq!(leaders, 1, "at most one leader per term (G1)");
}

/// G2: a fourth node joins while revisions are written at every other node; none is refused, none is lost.
#[test]
fn g2_a_fourth_node_joins_under_load() {
    let Some(mut scene) = scene("g2_a_fourth_node_joins_under_load", 4) else { return };
    let first = scene.formed(3);
    scene.site.start_agent(3, &Forming::ByHand).unwrap();
    let token = scene.site.balancers[1].cli().token(&["--ttl", "5m"]).unwrap();
    let joiner = scene.site.balancers[3].cli();
    let joining = thread::spawn(move || joiner.done(&["cluster", "join", &token]));
    let mut written = Vec::new();
    let started = Instant::now();
    while !joining.is_finished() || started.elapsed() < Duration::from_secs(3) {
        let file = scene.churn.write_next().unwrap();
        let writer = written.len() % 3;
        let applied = scene.site.balancers[writer].cli().apply_with(&file, "none", &["--timeout", "20s"]).unwrap();
        written.push(applied.revision);
    }
    joining.join().unwrap().unwrap();
    assert!(written.windows(2).all(|pair| pair[0] < pair[1]), "each write is a revision of its own: {written:?}");
    assert_eq!(written.first().copied(), Some(first + 1));
    let last = *written.last().unwrap();
    let same = converged(&scene.site.balancers, last, AGREED_SECONDS_MAX).unwrap();
    assert_eq!(same.revision, last, "as many revisions as writes that were acknowledged");
}
