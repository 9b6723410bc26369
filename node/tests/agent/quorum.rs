//! Losing nodes: without a quorum nothing is written and everything is said; with one, things go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use node::view::{self, Applied, ApplyAnswer};
use rustix::process::Signal;

use crate::{
    documents::{WEB, segment},
    lab::{Agent, Lab, eventually, run, until},
};

/// G11: no quorum: writes fail within their deadline and say whether they may have been committed; what was committed stays
/// enforced and can be read, and every surface says so. G17: with a quorum again, all converge.
#[test]
fn g11_g17_without_a_quorum_nothing_is_written_and_every_surface_says_so() {
    let mut lab = Lab::formed(3);
    let web = lab.file("web.yaml", WEB);
    lab.agents[0].cli(["policy", "apply", "-f", &web]).done();
    // The leader is the one that is left: it must notice by itself.
    let survivor = lab.leader();
    for place in lab.followers() {
        lab.agents[place].kill();
    }
    let alone = &lab.agents[survivor];
    let late = lab.file("late.yaml", &segment("late", "10.0.0.1/32"));

    let started = Instant::now();
    let write = alone.cli(["policy", "apply", "-f", &late, "--timeout", "1s"]);
    assert!(started.elapsed() < Duration::from_secs(4), "a deadline is a deadline: {:?}", started.elapsed());
    write.refused(1, &["no quorum", "nothing was committed"]);
    let rollback = alone.cli(["policy", "rollback", "1", "--timeout", "1s"]);
    rollback.refused(1, &["no quorum", "nothing was committed"]);
    let body = alone.cli(["cluster", "token", "create"]);
    body.refused(1, &["no quorum"]);

    let status = eventually("the survivor to say that there is no quorum", || {
        alone.try_status().filter(|status| status.raft.as_ref().is_some_and(|raft| !raft.quorum))
    });
    assert!(!status.ready);
    assert!(status.waiting_for.iter().any(|sentence| sentence.contains("no quorum")), "{:?}", status.waiting_for);
    assert!(status.alarms.iter().any(|alarm| alarm.name == "no_quorum"), "{:?}", status.alarms);
    let shown = alone.cli(["status"]).done();
    assert!(shown.contains("NO QUORUM") && shown.contains("ALARM"), "{shown}");
    alone.cli(["status", "--wait", "0"]).refused(3, &["no quorum"]);
    let metrics = alone.ask(async |client| client.text("/metrics").await).unwrap();
    assert!(metrics.lines().any(|line| line == "hedgerow_quorum 0"), "{metrics}");

    // What was committed is enforced and readable, and says how old it may be.
    assert_eq!(status.enforcement.attested.unwrap().revision, 1);
    alone.cli(["policy", "get"]).refused(1, &["a local read is possible", "--local"]);
    let read: view::PolicyDocuments = alone.cli(["policy", "get", "--local", "-o", "json"]).json();
    assert_eq!((read.revision, read.documents.len()), (1, 2));
    assert!(read.index > 0);
    let history: view::History = alone.cli(["policy", "history", "--local", "-o", "json"]).json();
    assert_eq!(history.revisions.len(), 1);
    alone.cli(["segment", "list", "--local"]).done();
    alone.cli(["policy", "diff", "--local", "-f", &late]).done();
    let explained = alone.cli(["policy", "explain", "192.0.2.1", "203.0.113.10", "tcp/443"]).done();
    assert!(explained.starts_with("denied by revision 1"), "{explained}");
    alone.cli(["members"]).done();
    alone.cli(["channels"]).done();

    // Restarted without a quorum it cannot know the cluster's newest state, and says so.
    lab.agents[survivor].restart();
    lab.agents[survivor].waits_for("no quorum");
    for agent in lab.agents.iter_mut().filter(|agent| !agent.runs()) {
        agent.start();
    }
    lab.agents.iter().for_each(|agent| drop(agent.ready()));
    lab.agents[survivor].cli(["policy", "apply", "-f", &late]).done();
    lab.enforced(2);
}

/// G11: a leader whose followers fall silent at this very moment takes a write that nobody acknowledges: it cannot know
/// what will become of it, and says so. What becomes of it is the same everywhere.
#[test]
fn g11_a_write_in_doubt_is_said_to_be_in_doubt() {
    let lab = Lab::formed(3);
    // A machine that is slow now notices the silence first, and then takes no write: that is tried again.
    let in_doubt = (0..3).find_map(|_| {
        let (leader, others) = (lab.leader(), lab.followers());
        let gone = lab.agents[others[0]].node().to_string();
        others.iter().for_each(|other| lab.agents[*other].signal(Signal::STOP));
        let run = lab.agents[leader].cli(["cluster", "leave", "--node", &gone]);
        others.iter().for_each(|other| lab.agents[*other].signal(Signal::CONT));
        run.refused(1, &["the write was not acknowledged"]);
        run.err.contains("it may have been committed").then_some(leader)
    });
    let writer = in_doubt.expect("a write before the silence was noticed");
    let members = |agent: &Agent| agent.members().iter().map(|member| member.node).collect::<Vec<_>>();
    until("the same members everywhere", || {
        let views: Vec<_> = lab.agents.iter().map(members).collect();
        // Who was removed does not hear of it: the other two agree.
        views.iter().any(|view| views.iter().filter(|other| *other == view).count() >= 2)
    });
    lab.agents[writer].ready();
    lab.agents[writer].cli(["policy", "apply", "-f", &lab.file("web.yaml", WEB)]).done();
}

/// G2, G17: the leader is killed, the next write at another node works, and who returns has everything.
#[test]
fn g2_g17_a_killed_leader_is_replaced_and_converges_when_it_returns() {
    let mut lab = Lab::formed(3);
    let web = lab.file("web.yaml", WEB);
    lab.agents[0].cli(["policy", "apply", "-f", &web]).done();
    let leader = lab.leader();
    let others = lab.followers();
    lab.agents[leader].kill();

    // At once, while nobody leads: the write waits for the election.
    let started = Instant::now();
    let next = lab.file("next.yaml", &segment("next", "10.0.0.1/32"));
    let apply = ["policy", "apply", "-f", &next, "--wait", "quorum", "-o", "json"];
    let answer: ApplyAnswer = lab.agents[others[0]].cli(apply).json();
    assert_eq!((answer.revision, answer.outcome), (2, Applied::Active));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    for number in 0..5 {
        let file = lab.file("more.yaml", &segment("more", &format!("10.0.1.{number}/32")));
        lab.agents[others[number as usize % 2]].cli(["policy", "apply", "-f", &file]).done();
    }
    until("the dead node to be down", || lab.agents[others[1]].status().members.down == 1);

    lab.agents[leader].start();
    lab.agents[leader].ready();
    lab.enforced(7);
    until("everybody to be alive", || lab.running().all(|(_, agent)| agent.status().members.alive == 3));
    let digests: Vec<_> = lab.agents.iter().map(|agent| agent.status().policy.digest).collect();
    assert!(digests.iter().all(|digest| digest.is_some() && *digest == digests[0]), "{digests:?}");
    let more = lab.file("more.yaml", &segment("more", "10.0.2.1/32"));
    lab.agents[leader].cli(["policy", "apply", "-f", &more]).done();
    lab.enforced(8);
}

/// G2: leaders are killed while somebody writes at another node: no acknowledged write is lost, and none is made twice.
#[test]
fn g2_writes_while_leaders_are_killed_are_made_once_each() {
    const KILLS: usize = 3;
    let mut lab = Lab::formed(3);
    let writer = lab.followers()[0];
    let socket = lab.agents[writer].files.socket.display().to_string();
    let (file, over) = (lab.file("many.yaml", ""), Arc::new(AtomicBool::new(false)));
    let writing = std::thread::spawn({
        let over = over.clone();
        move || {
            let mut written = 0u64;
            while !over.load(Ordering::Relaxed) {
                std::fs::write(&file, segment(&format!("w{written}"), "10.0.0.1/32")).unwrap();
                let apply = ["--socket", &socket, "policy", "apply", "-f", &file, "--wait", "none", "--timeout", "20s"];
                run(apply).done();
                written += 1;
            }
            written
        }
    });
    for kill in 0..KILLS {
        let leader = lab.leader();
        let victim = if leader == writer { (writer + 1 + kill % 2) % 3 } else { leader };
        lab.agents[victim].restart();
        lab.agents[victim].ready();
    }
    over.store(true, Ordering::Relaxed);
    let written = writing.join().unwrap();
    assert!(written > 0);
    assert_eq!(lab.agents[writer].status().policy.revision, written, "one revision for each write");
    lab.enforced(written);
    let read: view::PolicyDocuments = lab.agents[writer].cli(["policy", "get", "-o", "json"]).json();
    assert_eq!(read.documents.len() as u64, written);
}

/// A node that stands still is not taken for one that works: it is waited for a while, then the others go on. G17.
#[test]
fn g17_a_node_that_stands_still_holds_nobody_up_and_converges() {
    let lab = Lab::formed(3);
    let still = lab.followers()[0];
    let writer = lab.leader();
    lab.agents[still].signal(Signal::STOP);
    let web = lab.file("web.yaml", WEB);
    let answer: ApplyAnswer = lab.agents[writer].cli(["policy", "apply", "-f", &web, "-o", "json"]).json();
    lab.agents[still].signal(Signal::CONT);
    assert_eq!((answer.revision, answer.outcome), (1, Applied::Active), "{answer:?}");
    let states: Vec<_> = answer.nodes.iter().map(|node| node.state).collect();
    assert!(states.contains(&view::NodeStateKind::Down), "{states:?}");
    lab.enforced(1);
}
