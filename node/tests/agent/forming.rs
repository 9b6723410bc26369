//! Zero-touch: agents that were started alike form one cluster, or say why not.

use std::{collections::BTreeSet, time::Duration};

use node::view::Phase;

use crate::{
    documents::WEB,
    lab::{Agent, Lab, Setup, until},
};

/// G9: one bootstrap, one cluster id, one founder. G2: what was acknowledged survives the death of everybody.
#[test]
fn g2_g9_three_alike_form_one_cluster_and_resume_it_after_all_were_killed() {
    let mut lab = Lab::formed(3);
    let cluster = lab.cluster();
    let founders = |lab: &Lab| lab.agents.iter().filter(|agent| agent.log().contains("cluster founded")).count();
    until("one founder to say so", || founders(&lab) == 1);
    let numbers: Vec<_> = lab.agents.iter().map(Agent::node).collect();
    let file = lab.file("web.yaml", WEB);
    lab.agents[1].cli(["policy", "apply", "-f", &file]).done();

    lab.agents.iter_mut().for_each(Agent::restart);
    lab.agents.iter().for_each(|agent| drop(agent.ready()));
    assert_eq!(lab.cluster(), cluster);
    assert_eq!(lab.agents.iter().map(Agent::node).collect::<Vec<_>>(), numbers, "everybody is who it was");
    assert_eq!(lab.agents[0].status().policy.revision, 1);
    lab.enforced(1);
    lab.agents[2].cli(["policy", "rollback", "0"]).done();
    lab.enforced(2);
    assert_eq!(founders(&lab), 1, "nobody founds again");
}

/// G9: whenever nodes are killed while they form, they come to one cluster, and nobody is in another.
#[test]
fn g9_nodes_killed_at_any_moment_of_forming_come_to_one_cluster() {
    let mut lab = Lab::new();
    for number in 1..=3 {
        lab.agents.push(lab.node(number, &Setup::alike(3)));
    }
    let mut ids = BTreeSet::new();
    // The moments: a forming takes about a fifth of a second, this walks through it.
    for (round, wait_ms) in (0..12).map(|round| (round, 8 * round)) {
        lab.agents.iter_mut().filter(|agent| !agent.runs()).for_each(Agent::start);
        std::thread::sleep(Duration::from_millis(wait_ms as u64));
        ids.extend(lab.running().filter_map(|(_, agent)| agent.try_status()?.cluster));
        lab.agents[round % 3].kill();
        if round % 2 == 0 {
            lab.agents[(round + 1) % 3].kill();
        }
    }
    lab.agents.iter_mut().filter(|agent| !agent.runs()).for_each(Agent::start);
    lab.agents.iter().for_each(|agent| drop(agent.ready()));
    ids.insert(lab.cluster());
    assert_eq!(ids.len(), 1, "no other cluster was ever seen");
    assert_eq!(lab.agents[0].members().len(), 3);
}

/// G9: a missing founder means waiting, with a sentence, and never two clusters.
#[test]
fn g9_a_missing_founder_is_waited_for_and_the_status_says_so() {
    let mut lab = Lab::new();
    for number in 1..=3 {
        lab.agents.push(lab.node(number, &Setup::alike(3)));
    }
    lab.agents[0].start();
    lab.agents[1].start();
    for (place, other) in [(0, "lb2"), (1, "lb1")] {
        let status = lab.agents[place].waits_for("2 of 3 founders");
        assert!(status.waiting_for[0].contains(other), "{:?}", status.waiting_for);
        assert_eq!((status.phase, status.cluster), (Phase::Forming, None));
    }
    lab.agents[0].cli(["status", "--wait", "0"]).refused(3, &["2 of 3 founders"]);
    lab.agents[0].cli(["members"]).refused(3, &["not a member of a cluster yet"]);
    lab.agents[0].cli(["cluster", "init"]).refused(1, &["zero-touch forming", "`expect`"]);

    // A founder that is restarted while it waits is not a fourth one.
    lab.agents[1].restart();
    lab.agents[2].start();
    lab.agents.iter().for_each(|agent| drop(agent.ready()));
    lab.cluster();
    assert_eq!(lab.agents[2].members().len(), 3);
}

/// Who does not know the secret is refused, and a person finds the reason at both ends.
#[test]
fn g9_a_wrong_bootstrap_secret_is_refused_with_the_reason() {
    let mut lab = Lab::new();
    lab.agents.push(lab.node(1, &Setup::alike(2)));
    let wrong = Setup { expect: Some((2, "another secret: 0123456789abcdef".to_owned())), ..Setup::alike(2) };
    lab.agents.push(lab.node(2, &wrong));
    lab.agents.iter_mut().for_each(Agent::start);
    for agent in &lab.agents {
        let status = agent.waits_for("the secret is wrong");
        assert_eq!((status.phase, status.cluster), (Phase::Forming, None));
        agent.logs("the secret is wrong");
    }
    // Corrected, they form.
    lab.agents[1].kill();
    lab.agents[1] = lab.node(2, &Setup::alike(2));
    lab.agents[1].start();
    lab.agents.iter().for_each(|agent| drop(agent.ready()));
}

/// G9: after formation the bootstrap secret opens nothing any more.
#[test]
fn g9_the_bootstrap_secret_opens_nothing_after_formation() {
    let mut lab = Lab::formed(3);
    let mut late = lab.node(4, &Setup::alike(3));
    late.start();
    let status = late.waits_for("the bootstrap secret opens nothing any more");
    assert_eq!((status.phase, status.cluster), (Phase::Forming, None));
    assert!(lab.agents.iter().any(|agent| agent.log().contains("the bootstrap secret opens nothing any more")));
    lab.agents.push(late);
    assert_eq!(lab.agents[0].members().len(), 3);

    // Nor does a founder that lost its disk get in by it: it would be a second node of that name.
    lab.agents[2].kill();
    std::fs::remove_dir_all(&lab.agents[2].files.state).unwrap();
    lab.agents[2].start();
    lab.agents[2].waits_for("the bootstrap secret opens nothing any more");
    until("the lost founder to be down", || lab.agents[0].status().members.down == 1);
    assert_eq!(lab.agents[0].members().len(), 3);
}
