//! A policy that is tightened while connections run: those that it no longer allows stop (G19), the others go on.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use chaos_tests::lab::Namespace;
use chaos_tests::probe::{Conversation, Heard};
use chaos_tests::wait;
use serde_json::json;

use crate::scene::{BALANCER, SECOND, SELF, TOLD_SECONDS_MAX, scene};

/// Where the client calls the load balancer, and where that calls a server.
const CALL_PORT: u16 = 9210;
const TALK_PORT: u16 = 9211;
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
        r#"{SELF}
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
    scene.apply_text(0, &incoming("[{name: all, action: allow}]"));
    let machine = &scene.site.balancers[0].machine;
    let server = scene.site.web_addresses(0);
    let own = BALANCER.vip();
    let servers = server.backend();
    let calls = own.map(|to| open(&scene.site.denied, machine, to, CALL_PORT));
    let talks = servers.map(|to| open(machine, scene.site.web_machine(0), to, TALK_PORT));
    assert_eq!(scene.picked_up(0), 0);

    scene.apply_text(0, &incoming("[]"));
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
    assert!(scene.picked_up(0) > MANY, "answers to what was opened from here have no entry");
    for talk in talks {
        talk.finish().expect("nothing lost, nothing out of order, no reset");
    }
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
