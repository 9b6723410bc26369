//! Ways out of a cluster: leaving, being removed, and what a node that is out can still do.

use std::{fs, path::Path};

use node::{
    client::Client,
    view::{ApplyRequest, Phase, Source, Wait},
};

use crate::{
    documents::segment,
    lab::{Agent, Lab, Setup, until},
};

/// Copies a state directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// G12: who has left loses connections, gossip and vote, also with a copy of its old state. G9: its number is not reused.
#[test]
fn g9_g12_a_leader_that_leaves_is_out_for_good_and_the_others_go_on() {
    let mut lab = Lab::formed(3);
    // The members' state as a thief would have it.
    for agent in &mut lab.agents {
        agent.terminate();
        copy(&agent.files.state, &agent.files.state.with_extension("backup"));
        agent.start();
        agent.ready();
    }
    let (cluster, place) = (lab.cluster(), lab.leader());
    let number = lab.agents[place].node();
    let mut gone = lab.agents.remove(place);
    let backup = gone.files.state.with_extension("backup");
    let guarded = |agent: &Agent| agent.status().enforcement.guard_entries;
    let before = guarded(&lab.agents[0]);

    let said = gone.cli(["cluster", "leave"]).done();
    assert!(said.contains(&format!("{number} has left")), "{said}");
    assert_eq!(gone.ends().code(), Some(0), "its agent ends");
    assert!(!gone.files.state.join("enrolment").exists(), "its membership is set aside");

    for agent in &lab.agents {
        until("a cluster of two voters", || {
            agent.try_status().is_some_and(|status| {
                status.raft.is_some_and(|raft| raft.quorum && raft.voters.len() == 2) && status.members.total == 2
            })
        });
        assert!(agent.members().iter().all(|member| member.node != number));
    }
    until("the guard entries of the removed node to be gone", || guarded(&lab.agents[0]) < before);
    let file = lab.file("after.yaml", &segment("after", "10.1.0.1/32"));
    lab.agents[0].cli(["policy", "apply", "-f", &file]).done();

    // With the certificate of before: nobody speaks with it.
    fs::rename(&gone.files.state, gone.files.state.with_extension("left")).unwrap();
    fs::rename(&backup, &gone.files.state).unwrap();
    gone.start();
    gone.answers();
    until("a member to refuse the old certificate", || {
        lab.agents.iter().any(|agent| agent.log().contains("on the deny-list") || agent.log().contains("removed"))
    });
    let status = gone.waits_for(&format!("refuses this node: {number} was removed"));
    assert!(!status.ready);
    assert!(status.waiting_for[0].contains("a leader"), "{:?}", status.waiting_for);
    gone.cli(["policy", "get"]).refused(1, &["no quorum has confirmed the read"]);
    assert_eq!(lab.agents[0].status().members.alive, 2);
    gone.kill();

    // It may come back as somebody new; by token, since the bootstrap is over.
    fs::remove_dir_all(&gone.files.state).unwrap();
    gone.setup(&Setup { name: Some("back".to_owned()), ..Setup::by_hand() });
    gone.start();
    gone.answers();
    gone.cli(["cluster", "join", &lab.agents[0].token()]).done();
    let status = gone.ready();
    assert_eq!(status.cluster, Some(cluster));
    assert_eq!(status.node.unwrap().get(), 4);
    assert_eq!(status.policy.revision, 1);
}

/// G12: the set-aside state of a node that has left does not keep it from joining again with the same directory.
#[test]
fn g12_of_two_members_one_may_leave_and_the_other_still_writes() {
    let mut lab = Lab::formed(2);
    let mut gone = lab.agents.remove(1);
    gone.cli(["cluster", "leave"]).done();
    assert_eq!(gone.ends().code(), Some(0));
    let left = &lab.agents[0];
    let file = lab.file("alone.yaml", &segment("alone", "10.1.0.1/32"));
    left.cli(["policy", "apply", "-f", &file]).done();
    left.cli(["cluster", "leave"]).refused(1, &["last member"]);

    gone.setup(&Setup::by_hand());
    gone.start();
    assert_eq!(gone.answers().phase, Phase::Alone);
    gone.cli(["cluster", "join", &left.token()]).done();
    assert_eq!(gone.ready().policy.revision, 1);
}

/// G12: a member that is gone for good is removed from elsewhere; one without which there is no quorum is not.
#[test]
fn g12_a_dead_member_is_removed_by_another_one() {
    let mut lab = Lab::formed(3);
    lab.leader();
    let number = lab.agents[2].node().to_string();
    lab.agents[2].kill();
    let other = lab.agents[1].node().to_string();
    until("the dead member to be down", || lab.agents[0].status().members.down == 1);
    lab.agents[0].cli(["cluster", "leave", "--node", &other]).refused(1, &["no quorum"]);
    lab.agents[0].cli(["cluster", "leave", "--node", "n77"]).refused(1, &["n77", "not a member"]);
    let said = lab.agents[0].cli(["cluster", "leave", "--node", &number]).done();
    assert!(said.contains("is removed"), "{said}");
    until("two voters", || lab.agents[0].status().raft.is_some_and(|raft| raft.voters.len() == 2));

    // It did not hear of that; it learns it when it returns, and nobody takes its writes.
    lab.agents[2].start();
    lab.agents[2].answers();
    let removed = lab.agents.remove(2);
    removed.waits_for("was removed");
    let text = segment("late", "10.1.0.9/32");
    let write = async |client: &Client| {
        let sources = vec![Source { name: "late.yaml".to_owned(), text: text.clone() }];
        let request = ApplyRequest {
            sources,
            prune: false,
            expect_revision: None,
            message: String::new(),
            dry_run: false,
            wait: Wait::None,
            timeout_ms: Some(1_000),
            request_id: None,
        };
        client.apply(&request).await
    };
    removed.ask(write).unwrap_err();
    assert_eq!(lab.agents[0].status().policy.revision, 0);
    assert_eq!(lab.agents.iter().map(Agent::status).map(|status| status.members.total).max(), Some(2));
}
