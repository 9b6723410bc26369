//! What is remembered, and what is not: replies, fail-over, tightening (G19), floods.

use dataplane::{
    Enforcer, Reason,
    testing::{BenchError, flow_of, frame_of},
};
use policy::{Direction, Flow, Image};

use crate::{
    bed::{ACK, Bed, CLIENT, SYN, VIP},
    lab::{self, activate},
    shared::policies::{DENY, policy, segment},
};

const SYN_ACK: u8 = SYN | ACK;

const BACKEND: &str = "10.9.0.5";
const NODE: &str = "10.9.0.1";

/// Many times as many packets as are told of in a row.
const MANY: u32 = 5_000;

/// Everything is denied but: clients to the VIP at 443, and this node to the backends at 8080 and by UDP at 53.
pub(crate) fn image(extra: &str) -> Image {
    let https = "services: [{protocol: tcp, port: 443}]";
    let shop = format!("  ingress: [{{name: web, action: allow, from: [{{segment: clients}}], {https}}}]");
    let clients = format!("  egress: [{{name: web, action: allow, to: [{{segment: shop}}], {https}}}]");
    lab::compiled(
        &[
            DENY,
            &segment("shop", &format!("{VIP}/32")),
            &segment("servers", "10.9.0.0/24"),
            &segment("clients", "198.51.100.0/24"),
            &policy("shop", "shop", &shop),
            &policy("clients", "clients", &clients),
            extra,
        ]
        .concat(),
    )
}

/// Adds that this node may open connections to the servers; `existing` is the policy's `existingFlows`, or nothing.
fn servers(existing: &str) -> Image {
    let asked = "services: [{protocol: tcp, port: 8080}, {protocol: udp, port: 53}]";
    let says = format!(
        "  {existing}
  ingress: [{{name: node, action: allow, from: [{{cidr: {NODE}/32}}], {asked}}}]
  egress: [{{name: node, action: allow, to: [{{cidr: {BACKEND}/32}}], {asked}}}]"
    );
    image(&policy("servers", "servers", &says))
}

impl Bed {
    fn ask(&mut self, direction: Direction, flow: &Flow, flags: u8) -> Reason {
        self.kernel.judge(Bed::hook(direction), &frame_of(flow, flags)).unwrap().reason
    }

    /// Lets the live egress program see a packet, so that it remembers.
    fn leaves(&mut self, flow: &Flow, flags: u8) -> Result<(), BenchError> {
        self.kernel.time_live_egress(&frame_of(flow, flags), 1).map(drop)
    }

    /// Lets the live ingress program see a packet.
    fn arrives(&mut self, flow: &Flow, flags: u8) {
        self.kernel.time_live(&frame_of(flow, flags), 1).unwrap();
    }

    /// Packets that a rule of the live image has decided.
    fn counted(&mut self, image: &Image, rule: &str) -> u64 {
        let rule = image.rules.iter().position(|one| one.to_string() == rule).unwrap();
        self.kernel.counters().rules[rule].packets
    }
}

#[test]
fn answers_of_allowed_inbound_flows_leave_without_state() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(""));
    let request = flow_of((CLIENT, 50_000), (VIP, 443), 6);
    assert_eq!(bed.ask(Direction::Ingress, &request, SYN), Reason::Allowed);
    let answer = request.reverse();
    assert_eq!(bed.ask(Direction::Egress, &answer, SYN_ACK), Reason::Reply);
    assert_eq!(bed.ask(Direction::Egress, &answer, ACK), Reason::Reply);
    assert_eq!(bed.ask(Direction::Egress, &answer, SYN), Reason::Denied, "a bare SYN from port 443 opens something");
    assert_eq!(bed.ask(Direction::Egress, &flow_of((VIP, 80), (CLIENT, 50_000), 6), ACK), Reason::Denied);
}

#[test]
fn answers_to_what_was_opened_from_here_arrive_by_their_entry() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&servers(""));
    for (protocol, port, opening, answering) in [(6, 8080, SYN, SYN_ACK), (17, 53, 0, 0)] {
        let request = flow_of((NODE, 40_000), (BACKEND, port), protocol);
        assert_eq!(bed.ask(Direction::Ingress, &request.reverse(), answering), Reason::Denied, "nobody asked");
        bed.leaves(&request, opening).unwrap();
        assert_eq!(bed.ask(Direction::Ingress, &request.reverse(), answering), Reason::Established);
        let other = flow_of((BACKEND, port), (NODE, 40_001), protocol);
        assert_eq!(bed.ask(Direction::Ingress, &other, answering), Reason::Denied);
    }
}

#[test]
fn after_a_fail_over_established_tcp_goes_on() {
    if lab::skipped() {
        return;
    }
    // This node has seen nothing of these flows: another one had them.
    let mut bed = Bed::new(&servers(""));
    let to_server = flow_of((NODE, 40_000), (BACKEND, 8080), 6);
    assert_eq!(bed.ask(Direction::Ingress, &to_server.reverse(), ACK), Reason::PickedUp);
    assert_eq!(
        bed.ask(Direction::Ingress, &to_server.reverse(), SYN_ACK),
        Reason::Denied,
        "an opening is not picked up"
    );
    let from_client = flow_of((CLIENT, 50_000), (VIP, 443), 6);
    assert_eq!(bed.ask(Direction::Ingress, &from_client, ACK), Reason::Allowed);
    assert_eq!(bed.ask(Direction::Egress, &from_client.reverse(), ACK), Reason::Reply);
    // Without an entry: each segment is judged by itself, so tightening stops it at once (G19).
    bed.arrives(&to_server.reverse(), ACK);
    assert_eq!(bed.ask(Direction::Ingress, &to_server.reverse(), ACK), Reason::PickedUp);
    activate(&mut bed.kernel, 2, &image(""));
    assert_eq!(bed.ask(Direction::Ingress, &to_server.reverse(), ACK), Reason::Denied);
}

/// A policy on the servers by which this node and the clients behind it may ask them by UDP and by echo.
fn questions() -> Image {
    lab::compiled(&format!(
        "
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: servers}}
spec: {{role: backend, addresses: [{BACKEND}/32]}}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: servers}}
spec:
  tier: application
  appliesTo: {{segment: servers}}
  ingress: [{{name: ask, action: allow, services: [{{protocol: udp, port: 53}}], icmp: [echo-request]}}]
  egress: []
"
    ))
}

/// What the manual says of a fail-over: answers that need memory wait for the next question, errors about an allowed flow do not.
#[test]
fn after_a_fail_over_answers_wait_for_the_next_question() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&questions());
    let echo = |src: &str, dst: &str, kind: u16| flow_of((src, 0), (dst, kind << 8), 1);
    let asked = flow_of((CLIENT, 40_000), (BACKEND, 53), 17);
    let cases = [(asked, asked.reverse()), (echo(CLIENT, BACKEND, 8), echo(BACKEND, CLIENT, 0))];
    for (question, answer) in cases {
        assert_eq!(bed.ask(Direction::Ingress, &answer, 0), Reason::Denied, "asked through another node: {answer:?}");
        assert_eq!(bed.ask(Direction::Egress, &question, 0), Reason::Allowed);
        bed.leaves(&question, 0).unwrap();
        assert_eq!(bed.ask(Direction::Ingress, &answer, 0), Reason::Established, "asked again: {answer:?}");
        assert_eq!(bed.ask(Direction::Egress, &answer, 0), Reason::Reply);
    }
}

#[test]
fn what_was_picked_up_under_a_rule_that_keeps_is_kept() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&servers("existingFlows: keep"));
    let answer = flow_of((BACKEND, 8080), (NODE, 40_000), 6);
    assert_eq!(bed.ask(Direction::Ingress, &answer, ACK), Reason::PickedUp);
    bed.arrives(&answer, ACK);
    assert_eq!(bed.ask(Direction::Ingress, &answer, ACK), Reason::Established);
    activate(&mut bed.kernel, 2, &image(""));
    assert_eq!(bed.ask(Direction::Ingress, &answer, ACK), Reason::Kept);
}

/// A policy on this node with these sections, and nothing said about anybody else; the default action allows.
fn on_this_node(sections: &str) -> Image {
    lab::compiled(&format!(
        "
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: here}}
spec: {{role: vip, addresses: [{NODE}/32]}}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: here}}
spec: {{tier: application, appliesTo: {{segment: here}}, {sections}}}
"
    ))
}

/// The most common form of a policy: it says who comes in, and nothing of what goes out, or that all of it may. What comes to a service
/// is no answer, so that a tightened policy stops it in mid-flow, although what the service sends is allowed.
#[test]
fn g19_who_may_come_in_no_longer_is_stopped_in_mid_flow() {
    if lab::skipped() {
        return;
    }
    let segment = flow_of((CLIENT, 40_000), (NODE, 443), 6);
    let opened = flow_of((NODE, 40_000), (CLIENT, 443), 6);
    for egress in ["", ", egress: [{name: all, action: allow}]"] {
        let sections = |ingress: &str| on_this_node(&format!("ingress: {ingress}{egress}"));
        let mut bed = Bed::new(&sections("[{name: all, action: allow}]"));
        bed.arrives(&segment, SYN);
        bed.leaves(&opened, SYN).unwrap();
        assert_eq!(bed.ask(Direction::Ingress, &segment, ACK), Reason::Allowed);
        assert_eq!(bed.ask(Direction::Ingress, &opened.reverse(), ACK), Reason::Allowed);
        activate(&mut bed.kernel, 2, &sections("[]"));
        assert_eq!(bed.ask(Direction::Ingress, &segment, ACK), Reason::Denied, "{egress}");
        // Nor is there a way in for those that are not told of any more, which the programs judge elsewhere.
        let packets = |bed: &mut Bed, reason| bed.kernel.counters().reason(Direction::Ingress, reason).packets;
        bed.kernel.time_live(&frame_of(&segment, ACK), MANY).unwrap();
        assert_eq!(packets(&mut bed, Reason::Denied), u64::from(MANY), "{egress}");
        // Answers to what was opened from here made no entry, for everything was allowed.
        assert_eq!(bed.ask(Direction::Ingress, &opened.reverse(), ACK), Reason::PickedUp, "{egress}");
        bed.kernel.time_live(&frame_of(&opened.reverse(), ACK), MANY).unwrap();
        assert_eq!(packets(&mut bed, Reason::PickedUp), u64::from(MANY), "{egress}");
        assert_eq!(bed.ask(Direction::Ingress, &opened.reverse(), SYN_ACK), Reason::Denied, "{egress}");
        // The price: what was opened from a port that is no client's ends as well.
        let low = flow_of((CLIENT, 443), (NODE, 20_000), 6);
        assert_eq!(bed.ask(Direction::Ingress, &low, ACK), Reason::Denied, "{egress}");
    }
}

/// With default allow and a policy of one direction, what the policy refuses is refused in mid-flow too, datagrams included, though the
/// opposite is allowed: it does not look like an answer.
#[test]
fn g19_a_policy_of_one_direction_leaves_no_refused_flow_alive() {
    if lab::skipped() {
        return;
    }
    let (far, here) = ((CLIENT, 40_000), (NODE, 40_000));
    let to_here = [flow_of(far, (NODE, 443), 6), flow_of(far, (NODE, 53), 17)];
    let from_here = [flow_of(here, (CLIENT, 443), 6), flow_of(here, (CLIENT, 53), 17)];
    for (sections, to, from) in [
        ("ingress: []", Reason::Denied, Reason::Allowed),
        ("egress: []", Reason::Allowed, Reason::Denied),
        ("ingress: [], egress: []", Reason::Denied, Reason::Denied),
    ] {
        let mut bed = Bed::new(&on_this_node(sections));
        for ([tcp, udp], verdict) in [(&to_here, to), (&from_here, from)] {
            for direction in [Direction::Ingress, Direction::Egress] {
                for (packet, flags) in [(tcp, SYN), (tcp, ACK), (udp, 0)] {
                    assert_eq!(bed.ask(direction, packet, flags), verdict, "{sections}: {packet}");
                }
            }
        }
    }
}

/// Services that no rule speaks of still answer, from ports of services; those on ports of clients need a rule.
#[test]
fn a_service_that_only_the_default_allows_answers_from_the_port_of_a_service() {
    if lab::skipped() {
        return;
    }
    let answer = |port: u16, protocol: u8| flow_of((NODE, port), (CLIENT, 40_000), protocol);
    for (sections, high) in
        [("egress: []", Reason::Denied), ("ingress: [{name: any, action: allow}], egress: []", Reason::Reply)]
    {
        let mut bed = Bed::new(&on_this_node(sections));
        for (packet, flags) in [(answer(443, 6), SYN_ACK), (answer(443, 6), ACK), (answer(32_767, 17), 0)] {
            assert_eq!(bed.ask(Direction::Egress, &packet, flags), Reason::Reply, "{sections}: {packet}");
        }
        for (packet, flags) in [(answer(32_768, 6), ACK), (answer(32_768, 17), 0)] {
            assert_eq!(bed.ask(Direction::Egress, &packet, flags), high, "{sections}: {packet}");
        }
    }
}

#[test]
fn g19_tightening_stops_established_flows_unless_they_are_kept() {
    if lab::skipped() {
        return;
    }
    for (existing, after) in [("", Reason::Tightened), ("existingFlows: keep", Reason::Kept)] {
        let mut bed = Bed::new(&servers(existing));
        let request = flow_of((NODE, 40_000), (BACKEND, 53), 17);
        bed.leaves(&request, 0).unwrap();
        assert_eq!(bed.ask(Direction::Ingress, &request.reverse(), 0), Reason::Established);
        // A revision that says the same changes nothing.
        activate(&mut bed.kernel, 2, &servers(existing));
        assert_eq!(bed.ask(Direction::Ingress, &request.reverse(), 0), Reason::Established);
        activate(&mut bed.kernel, 3, &image(""));
        assert_eq!(bed.ask(Direction::Ingress, &request.reverse(), 0), after, "{existing}");
        bed.arrives(&request.reverse(), 0);
        let again = bed.ask(Direction::Ingress, &request.reverse(), 0);
        assert_eq!(again, if after == Reason::Kept { Reason::Kept } else { Reason::Denied });
    }
}

#[test]
fn an_inbound_flood_makes_no_entries() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&servers(""));
    // None is asked for while the flood lasts: an entry that is used is not the first to give way.
    let opened: Vec<Flow> = (40_000..40_100).map(|port| flow_of((NODE, port), (BACKEND, 53), 17)).collect();
    opened.iter().for_each(|flow| bed.leaves(flow, 0).unwrap());
    // More than the table holds, allowed and refused ones, of both directions' ingress.
    for port in 1..=20_000 {
        bed.arrives(&flow_of((CLIENT, port), (VIP, 443), 6), SYN);
        bed.arrives(&flow_of((BACKEND, port), (NODE, 39_999), 17), 0);
        // Bare ACKs that look like answers to what this node may open: each could be of a flow from before a fail-over.
        bed.arrives(&flow_of((BACKEND, 8080), (NODE, 32_767 + port), 6), ACK);
    }
    let mid_flow = flow_of((BACKEND, 8080), (NODE, 60_000), 6);
    assert_eq!(bed.ask(Direction::Ingress, &mid_flow, ACK), Reason::PickedUp);
    let there = |flow: &&Flow| bed.ask(Direction::Ingress, &flow.reverse(), 0) == Reason::Established;
    assert_eq!(opened.iter().filter(there).count(), opened.len());
}

#[test]
fn icmp_errors_follow_the_flow_that_they_quote() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&servers(""));
    let error = |quoted: &Flow, to: &str| {
        // "Fragmentation needed" of a router about a packet of this node.
        let outer = flow_of(("192.0.2.1", 0), (to, 3 << 8 | 4), 1);
        let mut frame = frame_of(&outer, 0);
        frame.truncate(frame.len() - 4);
        frame.extend(&frame_of(quoted, ACK)[14..14 + 28]);
        let total = u16::try_from(frame.len() - 14).unwrap();
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame
    };
    let hook = Bed::hook(Direction::Ingress);
    let mut ask = |frame: &[u8]| bed.kernel.judge(hook, frame).unwrap().reason;
    let request = flow_of((NODE, 40_000), (BACKEND, 8080), 6);
    assert_eq!(ask(&error(&request, NODE)), Reason::Quoted);
    // Of an answer that this node sends to a client.
    let answer = flow_of((VIP, 443), (CLIENT, 50_000), 6);
    assert_eq!(ask(&error(&answer, VIP)), Reason::Quoted);
    assert_eq!(ask(&error(&request, VIP)), Reason::Denied, "told to somebody who has not sent it");
    assert_eq!(
        ask(&error(&flow_of((NODE, 40_000), (BACKEND, 22), 6), NODE)),
        Reason::Denied,
        "about a flow that may not be"
    );
}

#[test]
fn refused_packets_are_told_of_within_bounds() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&servers(""));
    let refused = flow_of((CLIENT, 50_000), (VIP, 22), 6);
    let allowed = flow_of((CLIENT, 50_000), (VIP, 443), 6);
    bed.arrives(&allowed, SYN);
    bed.arrives(&refused, SYN);
    let told = bed.kernel.flow_events(10);
    assert_eq!(told.events.len(), 1);
    let event = told.events[0];
    assert_eq!((event.flow, event.reason, event.tcp_flags), (refused, Reason::Denied, SYN));
    assert_eq!((event.hook.direction, event.generation, told.lost), (Direction::Ingress, 1, 0));
    bed.kernel.time_live(&frame_of(&refused, SYN), 20_000).unwrap();
    let mut events = 0;
    let lost = loop {
        let told = bed.kernel.flow_events(1_000);
        events += told.events.len() as u64;
        if told.events.is_empty() {
            break told.lost;
        }
    };
    assert_eq!(events + lost, 20_000);
    assert!(lost > 0 && events > 0, "{events} events, {lost} lost");
}

#[test]
fn a_rule_goes_on_counting_when_another_changes() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(""));
    let request = flow_of((CLIENT, 50_000), (VIP, 443), 6);
    for (revision, other) in [(2, servers("")), (3, image("")), (4, servers("")), (5, servers("existingFlows: keep"))] {
        bed.arrives(&request, SYN);
        activate(&mut bed.kernel, revision, &other);
        bed.arrives(&request, SYN);
        assert_eq!(bed.counted(&other, "shop/ingress/web"), 2 * (revision - 1));
    }
}

/// Who restarts an agent, or upgrades it, and then changes another rule, must not see a counter fall.
#[test]
fn a_rule_goes_on_counting_over_a_restart_and_the_revision_after_it() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(""));
    let (request, web) = (flow_of((CLIENT, 50_000), (VIP, 443), 6), "shop/ingress/web");
    bed.arrives(&request, SYN);
    bed.kernel = lab::open(&bed.lab);
    assert!(!bed.kernel.adopt(&servers("")), "another image is live");
    assert!(bed.kernel.adopt(&image("")));
    bed.arrives(&request, SYN);
    assert_eq!(bed.counted(&image(""), web), 2);
    // The second fills the half in which the first two packets were counted.
    for (revision, other) in [(2, servers("")), (3, image(""))] {
        activate(&mut bed.kernel, revision, &other);
        bed.arrives(&request, SYN);
        assert_eq!(bed.counted(&other, web), revision + 1);
    }
}

/// A policy on the servers alone, by which they may be asked by UDP at 53; everything else is allowed.
fn on_servers(mode: &str) -> Image {
    let says = format!(
        "  mode: {mode}
  ingress: [{{name: dns, action: allow, services: [{{protocol: udp, port: 53}}]}}]
  egress: [{{name: none, action: deny}}]"
    );
    lab::compiled(&[segment("servers", &format!("{BACKEND}/32")), policy("servers", "servers", &says)].concat())
}

#[test]
fn switching_from_observe_to_enforce_cuts_no_reply() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&on_servers("observe"));
    let request = flow_of((NODE, 40_000), (BACKEND, 53), 17);
    assert_eq!(bed.ask(Direction::Ingress, &request.reverse(), 0), Reason::Observed, "nobody has asked");
    bed.leaves(&request, 0).unwrap();
    assert_eq!(bed.ask(Direction::Ingress, &request.reverse(), 0), Reason::Established, "it would be let in");
    activate(&mut bed.kernel, 2, &on_servers("enforce"));
    assert_eq!(bed.ask(Direction::Ingress, &request.reverse(), 0), Reason::Established);
    let other = flow_of((NODE, 40_001), (BACKEND, 53), 17);
    assert_eq!(bed.ask(Direction::Ingress, &other.reverse(), 0), Reason::Denied);
}
