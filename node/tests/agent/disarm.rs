//! The safety catch of one node: for a while, for a reason, over restarts, and not for longer.

use crate::lab::{Agent, Lab, until};

fn disarmed(agent: &Agent) -> Option<String> {
    agent.try_status()?.enforcement.disarmed.map(|order| order.reason)
}

/// G16: an override has an actor and a reason, where everybody sees them; it survives a restart and ends by itself.
#[test]
fn g16_a_disarm_is_seen_survives_a_restart_and_ends() {
    let mut lab = Lab::formed(2);
    let said = lab.agents[0].cli(["disarm", "--reason", "looking for a fault", "--for", "1h"]).done();
    assert!(said.contains("this node passes everything until"), "{said}");
    let status = lab.agents[0].status();
    let order = status.enforcement.disarmed.expect("a disarm");
    assert_eq!(order.reason, "looking for a fault");
    assert!(!order.actor.is_empty());
    let alarm = status.alarms.iter().find(|alarm| alarm.name == "disarmed").expect("an alarm");
    assert!(alarm.message.contains("looking for a fault") && alarm.message.contains(&order.actor), "{}", alarm.message);
    let shown = lab.agents[0].cli(["status"]).done();
    assert!(shown.contains("DISARMED until"), "{shown}");
    let metrics = lab.agents[0].ask(async |client| client.text("/metrics").await).unwrap();
    assert!(metrics.lines().any(|line| line == "hedgerow_disarmed 1"));
    let number = lab.agents[0].node();
    let told = |agent: &Agent| agent.members().iter().any(|member| member.node == number && member.disarmed);
    until("the other node to show it", || told(&lab.agents[1]));
    assert_eq!(disarmed(&lab.agents[1]), None, "it is the catch of one node");

    lab.agents[0].restart();
    lab.agents[0].ready();
    until("the order to be taken up", || disarmed(&lab.agents[0]).as_deref() == Some("looking for a fault"));

    lab.agents[0].cli(["arm"]).done();
    assert_eq!(disarmed(&lab.agents[0]), None);
    until("the other node to show that it is over", || !told(&lab.agents[1]));
    lab.agents[0].restart();
    lab.agents[0].ready();
    assert_eq!(disarmed(&lab.agents[0]), None, "an order that has ended does not come back");
}

#[test]
fn a_disarm_runs_out_also_while_the_agent_is_away() {
    let mut lab = Lab::by_hand(0);
    let agent = &mut lab.agents[0];
    agent.cli(["disarm", "--reason", "short", "--for", "300ms"]).done();
    until("the end of the disarm", || disarmed(agent).is_none());
    agent.logs("armed: this node enforces again");

    // A later order takes the place of an earlier one: its time counts.
    agent.cli(["disarm", "--reason", "first", "--for", "200ms"]).done();
    agent.cli(["disarm", "--reason", "second", "--for", "1h"]).done();
    let until_ms = agent.status().enforcement.disarmed.unwrap().until_ms;
    agent.cli(["disarm", "--reason", "third", "--for", "400ms"]).done();
    assert!(agent.status().enforcement.disarmed.unwrap().until_ms < until_ms);
    agent.kill();
    let file = agent.files.state.join("disarm.json");
    assert!(file.exists());
    agent.start();
    agent.ready();
    until("the end of the third", || disarmed(agent).is_none() && !file.exists());
}

#[test]
fn a_disarm_without_reason_or_for_too_long_is_refused() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    agent.cli(["disarm", "--reason", "  ", "--for", "10m"]).refused(1, &["a disarm needs a reason"]);
    agent.cli(["disarm", "--reason", "too long", "--for", "5h"]).refused(1, &["at most 4 hours"]);
    agent.cli(["disarm", "--reason", "no time"]).refused(2, &["--for"]);
    assert_eq!(disarmed(agent), None);
}
