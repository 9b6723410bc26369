//! Clusters in virtual time: joining, failing, partitions, returning, leaving, metadata.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod sim;

use std::time::Duration;

use identity::{Digest, NodeId};
use membership::{Attested, Event, Input, MemberState, Meta};
use sim::{Sim, addr, meta, ms, n};

/// Within this time every one of five nodes knows that one has failed.
const FAILURE_SEEN_MAX: Duration = ms(1_600);

/// Within this time all nodes see each other again after a cut of any length.
const HEALED_MAX: Duration = ms(3_000);

fn went(sim: &Sim) -> Vec<(NodeId, Duration, Event)> {
    let is_end = |event: &Event| matches!(event, Event::Down(_) | Event::Left(_));
    sim.all_events().into_iter().filter(|(_, _, event)| is_end(event)).collect()
}

#[test]
fn nodes_started_alike_know_each_other_within_a_second() {
    for (seed, count) in (0..40).zip([2, 3, 4, 5, 7].into_iter().cycle()) {
        let mut sim = Sim::new(count, seed);
        sim.nodes().into_iter().for_each(|node| sim.start(node));
        sim.run_until(ms(1_000), "all know all", Sim::is_meshed);
        assert_eq!(went(&sim), []);
    }
}

#[test]
fn a_node_that_joins_is_seen_by_all_at_once() {
    for seed in 0..40 {
        let mut sim = Sim::new(6, seed);
        (1..=5).for_each(|number| sim.start(n(number)));
        sim.run_until(ms(1_000), "five know each other", Sim::is_meshed);
        sim.run_for(ms(seed * 7));
        sim.start(n(6));
        let took = sim.run_until(ms(160), "all see the sixth", |sim| sim.all_see(n(6), MemberState::Alive));
        assert!(took < ms(160), "{took:?}");
        sim.run_until(ms(500), "with what it tells", Sim::is_meshed);
    }
}

#[test]
fn one_seed_is_enough_to_find_everybody() {
    for seed in 0..20 {
        let mut sim = Sim::meshed(5, seed);
        sim.partition(&[&[5], &[2, 3, 4]]);
        sim.kill(n(5));
        sim.run_until(FAILURE_SEEN_MAX, "n5 is down", |sim| sim.all_see(n(5), MemberState::Down));
        sim.start(n(5)); // Hears only n1 at first.
        sim.run_for(ms(50));
        sim.heal();
        sim.run_until(HEALED_MAX, "all know all", Sim::is_meshed);
    }
}

#[test]
fn a_failure_is_seen_by_all_of_five_in_time() {
    let mut times = Vec::new();
    for seed in 0..200 {
        let mut sim = Sim::meshed(5, seed);
        sim.run_for(ms(1_000 + seed * 13));
        sim.kill(n(3));
        times.push(sim.run_until(FAILURE_SEEN_MAX, "all see n3 down", |sim| sim.all_see(n(3), MemberState::Down)));
        assert!(went(&sim).iter().all(|(_, _, event)| *event == Event::Down(n(3))), "seed {seed}");
    }
    times.sort_unstable();
    println!(
        "failure seen by all of five: median {:?}, worst of {} {:?}",
        times[times.len() / 2],
        times.len(),
        times.last()
    );
}

#[test]
fn small_clusters_probe_as_well() {
    for (seed, count) in (0..60).zip([2, 3].into_iter().cycle()) {
        let mut sim = Sim::meshed(count, seed);
        sim.run_for(ms(500 + seed * 17));
        sim.kill(n(1));
        sim.run_until(FAILURE_SEEN_MAX, "the others see n1 down", |sim| sim.all_see(n(1), MemberState::Down));
        sim.run_for(ms(5_000));
        assert!(went(&sim).iter().all(|(_, _, event)| *event == Event::Down(n(1))), "seed {seed}");
        sim.start(n(1));
        sim.run_until(HEALED_MAX, "n1 is back", Sim::is_meshed);
    }
}

#[test]
fn nobody_is_declared_down_in_ten_minutes_of_a_bad_network() {
    for (seed, count) in (0..6).zip([2, 3, 5].into_iter().cycle()) {
        let mut sim = Sim::meshed(count, seed);
        sim.network.delay = ms(0)..ms(25);
        (sim.network.loss, sim.network.duplicates) = (0.02, 0.02);
        sim.run_for(Duration::from_secs(600));
        assert_eq!(went(&sim), [], "seed {seed}, {count} nodes");
    }
}

#[test]
fn a_way_that_is_cut_in_one_direction_is_no_failure() {
    for seed in 0..10 {
        let mut sim = Sim::meshed(5, seed);
        sim.network.cut.insert((n(1), n(2)));
        sim.run_for(Duration::from_secs(60));
        assert_eq!(went(&sim), [], "seed {seed}");
    }
}

#[test]
fn a_partition_heals() {
    for seed in 0..30 {
        let mut sim = Sim::meshed(5, seed);
        sim.partition(&[&[1, 2], &[3, 4, 5]]);
        sim.run_until(ms(5_000), "both sides see the other down", |sim| {
            let down =
                |at: u64, of: u64| sim.member(n(at), n(of)).is_some_and(|member| member.state == MemberState::Down);
            (1..=2).all(|at| (3..=5).all(|of| down(at, of) && down(of, at)))
        });
        sim.run_for(Duration::from_secs(seed * 3));
        sim.heal();
        sim.run_until(HEALED_MAX, "all are back", Sim::is_meshed);
        sim.run_for(ms(2_000));
        sim.forget_events();
        sim.run_for(Duration::from_secs(30));
        assert_eq!(went(&sim), [], "seed {seed}: the healed cluster is calm");
    }
}

/// SWIM alone never speaks again after everybody is down (foca #15).
#[test]
fn total_isolation_heals() {
    for (seed, count) in (0..30).zip([2, 3, 5].into_iter().cycle()) {
        let mut sim = Sim::meshed(count, seed);
        sim.partition(&[&[1], &[2], &[3], &[4], &[5]]);
        sim.run_until(ms(10_000), "all are alone", |sim| {
            sim.nodes().iter().all(|node| sim.all_see(*node, MemberState::Down))
        });
        sim.run_for(Duration::from_secs(60));
        sim.heal();
        sim.run_until(HEALED_MAX, "all are back", Sim::is_meshed);
        sim.run_for(ms(2_000));
        sim.forget_events();
        sim.run_for(Duration::from_secs(20));
        assert_eq!(went(&sim), [], "seed {seed}: the healed cluster is calm");
    }
}

#[test]
fn a_node_that_slept_for_ten_seconds_comes_back_and_takes_nobody_down() {
    for (seed, count) in (0..30).zip([2, 3, 5].into_iter().cycle()) {
        let mut sim = Sim::meshed(count, seed);
        sim.pause(n(1));
        sim.run_for(Duration::from_secs(10));
        sim.resume(n(1));
        sim.run_until(HEALED_MAX, "all are back", Sim::is_meshed);
        let others_down: Vec<_> = went(&sim).into_iter().filter(|(_, _, event)| *event != Event::Down(n(1))).collect();
        assert_eq!(others_down, [], "seed {seed}, {count} nodes");
    }
}

#[test]
fn a_quick_restart_is_not_a_failure() {
    for seed in 0..30 {
        let mut sim = Sim::meshed(5, seed);
        sim.kill(n(2));
        sim.run_for(ms(100));
        sim.start(n(2));
        sim.run_until(ms(300), "n2 is back in a new life", |sim| {
            let knows = |at: &NodeId| sim.member(*at, n(2)).unwrap().incarnation == sim.incarnation_on_disk(n(2));
            sim.is_meshed() && sim.nodes().iter().all(knows)
        });
        sim.run_for(ms(5_000));
        assert_eq!(went(&sim), [], "seed {seed}");
    }
}

#[test]
fn a_slow_restart_is_down_and_then_joined() {
    for seed in 0..30 {
        let mut sim = Sim::meshed(3, seed);
        sim.kill(n(2));
        sim.run_for(Duration::from_secs(20));
        sim.start(n(2));
        sim.run_until(ms(1_000), "n2 is back", Sim::is_meshed);
        let events = sim.events(n(1));
        let down = events.iter().position(|event| *event == Event::Down(n(2))).expect("n2 was down");
        let joined = |event: &Event| matches!(event, Event::Joined(member) if member.node == n(2));
        assert!(events[down..].iter().any(joined), "{events:?}");
    }
}

/// A disk that was lost or set back: the node begins below what the others remember, and must still get in.
#[test]
fn a_forgotten_incarnation_is_overtaken() {
    for (seed, count) in (0..30).zip([2, 3, 5].into_iter().cycle()) {
        let mut sim = Sim::new(count, seed);
        sim.set_incarnation_on_disk(n(1), 1_000);
        sim.nodes().into_iter().for_each(|node| sim.start(node));
        sim.run_until(ms(1_000), "all know all", Sim::is_meshed);
        sim.kill(n(1));
        sim.run_for(ms(seed * 100));
        sim.set_incarnation_on_disk(n(1), 0);
        sim.start(n(1));
        sim.run_until(HEALED_MAX, "n1 is back", |sim| sim.is_meshed() && sim.incarnation_on_disk(n(1)) > 1_001);
    }
}

#[test]
fn who_leaves_has_left_and_is_never_down() {
    for (seed, count) in (0..40).zip([2, 3, 5].into_iter().cycle()) {
        let mut sim = Sim::meshed(count, seed);
        sim.network.loss = 0.1;
        sim.input(n(1), Input::Leave);
        sim.run_until(ms(1_500), "all see that n1 left", |sim| sim.all_see(n(1), MemberState::Left));
        assert_eq!(sim.member(n(1), n(1)).unwrap().state, MemberState::Left);
        sim.run_for(ms(200));
        sim.kill(n(1));
        sim.run_for(Duration::from_secs(10));
        assert!(sim.all_see(n(1), MemberState::Left));
        assert!(went(&sim).iter().all(|(_, _, event)| *event == Event::Left(n(1))), "seed {seed}: {:?}", went(&sim));
        sim.start(n(1));
        sim.run_until(HEALED_MAX, "n1 is back", Sim::is_meshed);
    }
}

#[test]
fn metadata_reaches_all_within_a_second_although_a_fifth_is_lost() {
    for seed in 0..30 {
        let mut sim = Sim::meshed(5, seed);
        sim.network.loss = 0.2;
        let attested = Attested { revision: 8, generation: 3, digest: Digest([8; 32]) };
        sim.set_meta(n(4), Meta { attested: Some(attested), ..meta("lb4") });
        let has_it =
            |sim: &Sim| sim.nodes().iter().all(|at| sim.member(*at, n(4)).unwrap().meta.attested == Some(attested));
        sim.run_until(ms(1_000), "all know what n4 enforces", has_it);
    }
}

#[test]
fn of_many_versions_the_last_one_stays() {
    for seed in 0..10 {
        let mut sim = Sim::meshed(3, seed);
        sim.network.delay = ms(0)..ms(40);
        (sim.network.loss, sim.network.duplicates) = (0.1, 0.2);
        for applied_index in 1..=200 {
            let disarmed = applied_index % 3 == 0;
            sim.set_meta(n(1), Meta { applied_index, disarmed, ..meta("lb1") });
            sim.run_for(ms(13));
        }
        sim.run_until(ms(1_000), "the last version is everywhere", |sim| {
            sim.nodes().iter().all(|at| sim.member(*at, n(1)).unwrap().meta.applied_index == 200)
        });
    }
}

/// G12: whoever was removed is neither listed nor listened to, and does not come back through what others say.
#[test]
fn g12_a_removed_node_is_gone_for_good() {
    for seed in 0..10 {
        let mut sim = Sim::meshed(4, seed);
        for at in [1, 2] {
            sim.input(n(at), Input::Remove(n(4)));
        }
        let is_gone = |sim: &Sim| [1, 2].iter().all(|at| sim.member(n(*at), n(4)).is_none());
        assert!(is_gone(&sim));
        for _ in 0..300 {
            sim.run_for(ms(100)); // n3, which does not know yet, still talks of n4; n4 still talks to all.
            assert!(is_gone(&sim), "seed {seed}");
        }
        sim.input(n(3), Input::Remove(n(4)));
        sim.input(n(1), Input::Announce { to: n(4), addr: addr(n(4)) });
        sim.kill(n(4));
        sim.run_for(Duration::from_secs(5));
        assert_eq!(sim.running().iter().filter(|at| sim.members(**at).len() == 3).count(), 3);
        assert!(sim.is_meshed());
    }
}

/// G17 for gossip: whatever has happened, once it is over all nodes see each other, and their events told them so.
#[test]
fn g17_after_a_minute_of_faults_all_nodes_agree() {
    for seed in 0..40 {
        let mut sim = Sim::new(5, seed);
        sim.nodes().into_iter().for_each(|node| sim.start(node));
        sim.network.loss = 0.05;
        for _ in 0..40 {
            one_fault(&mut sim);
            let pause = ms(sim.draw(20..3_000));
            sim.run_for(pause);
        }
        sim.heal();
        sim.network.loss = 0.0;
        for node in sim.nodes() {
            sim.resume(node);
            if !sim.running().contains(&node) || sim.member(node, node).unwrap().state == MemberState::Left {
                sim.start(node);
            }
        }
        sim.run_until(HEALED_MAX, "all agree", Sim::is_meshed);
        sim.run_for(ms(2_000));
        for node in sim.nodes() {
            let mut told = sim.told(node);
            told.insert(node, sim.member(node, node).unwrap());
            assert_eq!(told.into_values().collect::<Vec<_>>(), sim.members(node), "seed {seed}: the events of {node}");
        }
    }
}

fn one_fault(sim: &mut Sim) {
    let (a, b, applied_index) = (sim.draw(1..6), sim.draw(1..6), sim.draw(0..100));
    match sim.draw(0..10) {
        0 | 1 => sim.kill(n(a)),
        2 => sim.input(n(a), Input::Leave),
        3 | 4 => sim.start(n(a)),
        5 => sim.pause(n(a)),
        6 => sim.resume(n(a)),
        7 => {
            let others: Vec<_> = (1..6).filter(|other| ![a, b].contains(other)).collect();
            sim.partition(&[&[a, b], &others]);
        }
        8 => sim.heal(),
        _ => sim.set_meta(n(a), Meta { applied_index, ..meta(&format!("lb{b}")) }),
    }
}

#[test]
fn a_cluster_of_forty_holds_together() {
    let mut sim = Sim::new(40, 7);
    sim.network.loss = 0.01;
    sim.nodes().into_iter().for_each(|node| sim.start(node));
    sim.run_until(ms(5_000), "all know all", Sim::is_meshed);
    sim.forget_events();
    sim.set_meta(n(17), Meta { disarmed: true, ..meta("lb17") });
    sim.run_until(ms(1_000), "all know that n17 is disarmed", Sim::is_meshed);
    sim.kill(n(23));
    sim.run_until(ms(2_500), "all see n23 down", |sim| sim.all_see(n(23), MemberState::Down));
    sim.run_for(Duration::from_secs(20));
    assert!(went(&sim).iter().all(|(_, _, event)| *event == Event::Down(n(23))), "{:?}", went(&sim));
}

/// The target is twice what serf sends when idle (267 to 292 bytes per node and second).
#[test]
fn an_idle_cluster_is_quiet() {
    let mut sim = Sim::meshed(5, 1);
    sim.run_for(Duration::from_secs(5));
    sim.forget_events();
    sim.run_for(Duration::from_secs(100));
    let (bytes, packets) = sim.nodes().into_iter().map(|node| sim.sent(node)).max().unwrap();
    println!("idle, per node and second: {} bytes in {} datagrams", bytes / 100, packets / 100);
    assert!(bytes / 100 <= 300, "{bytes} bytes in 100 s");
    assert_eq!(sim.all_events(), []);
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| {
        let mut sim = Sim::meshed(5, seed);
        sim.network.loss = 0.1;
        sim.kill(n(1));
        sim.run_for(Duration::from_secs(10));
        format!("{:?}", sim.all_events())
    };
    assert_eq!(history(3), history(3));
    assert_ne!(history(3), history(4));
}
