//! A policy that is tightened while connections run: those that it no longer allows stop (G19), the others go on.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use chaos_tests::lab::Namespace;
use chaos_tests::probe::{Conversation, Heard};
use chaos_tests::site::Addresses;
use chaos_tests::wait;
use serde_json::json;

use crate::scene::{SECOND, Scene, scene};

/// Where the client calls the load balancer, and where that calls a server.
const CALL_PORT: u16 = 9210;
const TALK_PORT: u16 = 9211;
const BALANCER: Addresses = Addresses::of(1);
/// The agent takes events every quarter of a second.
const TOLD_SECONDS_MAX: Duration = Duration::from_secs(10);
/// After this both ends are silent: what was under way when the policy changed has been heard or given up, and what the service sends
/// without hearing that it arrived ends with the window.
const SILENT_SECONDS_MAX: Duration = Duration::from_secs(10);
/// Many times what a conversation needs for the next number.
const PAUSE: Duration = Duration::from_secs(1);
const GOES_ON_SECONDS_MAX: Duration = Duration::from_secs(30);
/// How many numbers show that a conversation goes on; and how many take longer than a second attempt of TCP at the others.
const MORE: u64 = 100;
const MANY: u64 = 1_000;

/// Who may come in to the load balancer. Of what goes out it says nothing, and nobody else has a policy: that is allowed.
fn incoming(rules: &str) -> String {
    format!(
        r#"
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: self}}
spec: {{role: vip, addresses: [203.0.113.1, "2001:db8:77::1", 10.88.0.1, "fd88::1"]}}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: incoming}}
spec: {{tier: application, appliesTo: {{segment: self}}, ingress: {rules}}}
"#
    )
}

/// The most common form of a policy says who comes in and nothing else. The connection of a client that it no longer allows stops in
/// the middle and stays stopped, although what the service sends to the client is allowed; the connection that was opened from here goes
/// on without a loss. It has no entry: when it was opened, everything might come in.
#[test]
fn g19_an_ingress_policy_stops_the_established_connection_of_a_client() {
    let name = "g19_an_ingress_policy_stops_the_established_connection_of_a_client";
    let Some(mut scene) = scene(name, 1) else { return };
    scene.found(0);
    apply(&scene, "[{name: all, action: allow}]");
    let machine = &scene.site.balancers[0].machine;
    let server = scene.site.web_addresses(0);
    let own: [IpAddr; 2] = [BALANCER.vip4().into(), BALANCER.vip6().into()];
    let servers: [IpAddr; 2] = [server.backend4().into(), server.backend6().into()];
    let calls = own.map(|to| open(&scene.site.denied, machine, to, CALL_PORT));
    let talks = servers.map(|to| open(machine, scene.site.web_machine(0), to, TALK_PORT));
    assert_eq!(picked_up(&scene), 0);

    apply(&scene, "[]");
    let (silent, _) = wait::until("the client's connections to stop", SILENT_SECONDS_MAX, || {
        let before = heard(&calls);
        thread::sleep(PAUSE);
        if heard(&calls) == before { Ok(before) } else { Err("numbers are heard") }
    })
    .expect("connections that stop");
    for to in own {
        let refused = json!({"reason": "denied", "dst": to, "service": format!("tcp/{CALL_PORT}")});
        wait::until("a refusal to be told", TOLD_SECONDS_MAX, || scene.event(0, &refused)).expect("an event");
    }
    talks.iter().for_each(|talk| goes_on(talk, MANY));
    assert_eq!(heard(&calls), silent, "a connection that is refused went on");
    assert!(picked_up(&scene) > MANY, "answers to what was opened from here have no entry");
    for talk in talks {
        talk.finish().expect("nothing lost, nothing out of order, no reset");
    }
}

fn apply(scene: &Scene, rules: &str) {
    assert_eq!(scene.apply_text(0, &incoming(rules)).outcome, "active");
}

fn open(client: &Namespace, server: &Namespace, to: IpAddr, port: u16) -> Conversation {
    let conversation = Conversation::open(client, server, (to, port).into(), 5 * SECOND).expect("a conversation");
    goes_on(&conversation, MORE);
    conversation
}

fn goes_on(conversation: &Conversation, more: u64) {
    conversation.wait_for_more(more, GOES_ON_SECONDS_MAX).expect("a conversation that goes on");
}

fn heard(conversations: &[Conversation; 2]) -> [Heard; 2] {
    conversations.each_ref().map(Conversation::heard)
}

/// How many segments have been picked up in mid-flow.
fn picked_up(scene: &Scene) -> u64 {
    let packets = scene.site.balancers[0].api().metric("hedgerow_packets_total", &["reason=\"picked-up\""]);
    packets.expect("metrics")
}
