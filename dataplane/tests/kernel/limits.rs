//! Limits of rules in the kernel: what is counted, what is not, and that no more passes than the limit says.

use std::{
    thread,
    time::{Duration, Instant},
};

use dataplane::{
    Enforcer, Reason,
    testing::{Carriage, flow_of, frame_of},
};
use policy::{Direction, Flow, Image};

use crate::{
    bed::{ACK, Bed, CLIENT, SYN, TCP, UDP, VIP},
    guard::{CLUSTER_PORT, guarded},
    lab::{self, HERE, HERE_V4, THERE_V4, activate, ifindex},
    shared::policies::{DENY, policy, segment},
};

const OTHER_CLIENT: &str = "198.51.100.8";

/// Everything is denied but what clients send to the VIP, with these limits, in a policy in this mode.
fn image_in(mode: &str, limits: &str) -> Image {
    let limited = format!(
        "  mode: {mode}\n  ingress: [{{name: all, action: allow, from: [{{segment: clients}}], limits: {{{limits}}}}}]"
    );
    // What a policy in observe mode is compared with.
    let enforced_too = policy("shop-now", "shop", "  ingress: [{name: all, action: allow}]");
    lab::compiled(
        &[
            DENY,
            &segment("shop", &format!("{VIP}/32")),
            &segment("clients", "198.51.100.0/24"),
            &policy("clients", "clients", "  egress: [{name: shop, action: allow, to: [{segment: shop}]}]"),
            &policy("shop", "shop", &limited),
            if mode == "observe" { &enforced_too } else { "" },
        ]
        .concat(),
    )
}

pub(crate) fn image(limits: &str) -> Image {
    image_in("enforce", limits)
}

fn from(client: &str, port: u16, protocol: u8) -> Flow {
    flow_of((client, port), (VIP, 443), protocol)
}

impl Bed {
    fn count(&mut self, direction: Direction, reason: Reason) -> u64 {
        self.kernel.counters().reason(direction, reason).packets
    }

    /// Lets a packet arrive so often; how many of them passed for this reason.
    fn passed_as(&mut self, reason: Reason, flow: &Flow, flags: u8, repeat: u32) -> u64 {
        let before = self.count(Direction::Ingress, reason);
        self.kernel.time_live(&frame_of(flow, flags), repeat).unwrap();
        self.count(Direction::Ingress, reason) - before
    }

    fn passed(&mut self, flow: &Flow, flags: u8, repeat: u32) -> u64 {
        self.passed_as(Reason::Allowed, flow, flags, repeat)
    }

    /// Packets that leave, and were allowed to.
    fn left(&mut self, flow: &Flow, carriage: Carriage, repeat: u32) -> u64 {
        let before = self.count(Direction::Egress, Reason::Allowed);
        for _ in 0..repeat {
            let hook = Bed::hook(Direction::Egress);
            self.kernel.pass_live_as(hook, &frame_of(flow, ACK), carriage).unwrap();
        }
        self.count(Direction::Egress, Reason::Allowed) - before
    }
}

/// A limit whose tokens come back too late for any test.
pub(crate) fn slow(name: &str, burst: u32) -> String {
    format!("{name}: {{perSecond: 1, burst: {burst}}}")
}

#[test]
fn a_burst_passes_and_what_is_beyond_it_does_not() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(&slow("packets", 100)));
    let began = Instant::now();
    let passed = bed.passed(&from(CLIENT, 5_000, TCP), ACK, 1_000);
    let back = began.elapsed().as_secs();
    assert!((100..=100 + back).contains(&passed), "{passed} passed, {back} may have come back");
    assert_eq!(bed.count(Direction::Ingress, Reason::RateLimited), 1_000 - passed);
    let told = bed.kernel.flow_events(1).events[0];
    assert_eq!((told.reason, told.flow), (Reason::RateLimited, from(CLIENT, 5_000, TCP)));
    let image = image(&slow("packets", 100));
    assert_eq!(image.rules[told.ingress_rule as usize].to_string(), "shop/ingress/all");
}

#[test]
fn tokens_come_back_at_the_rate_and_no_more_than_the_bucket_holds() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image("packets: {perSecond: 100, burst: 20}"));
    let (packet, began) = (from(CLIENT, 5_000, TCP), Instant::now());
    let mut passed = bed.passed(&packet, ACK, 100);
    thread::sleep(Duration::from_millis(100));
    let back = bed.passed(&packet, ACK, 100);
    assert!((10..=20).contains(&back), "{back} after a tenth of a second");
    thread::sleep(Duration::from_secs(1));
    let full = bed.passed(&packet, ACK, 100);
    assert!((20..=22).contains(&full), "{full}: it holds 20");
    passed += back + full;
    let most = 20 + began.elapsed().as_millis() / 10;
    assert!(u128::from(passed) <= most, "{passed} passed, at most {most} may");
}

#[test]
fn each_source_has_its_own_and_a_noisy_one_takes_nothing_from_others() {
    if lab::skipped() {
        return;
    }
    let limits = format!("{}, perSource: {{{}}}", slow("packets", 50), slow("packets", 20));
    let mut bed = Bed::new(&image(&limits));
    let passed = [CLIENT, OTHER_CLIENT, "198.51.100.9"].map(|client| bed.passed(&from(client, 5_000, TCP), ACK, 1_000));
    assert_eq!(passed, [20, 20, 10]);
}

#[test]
fn two_processors_let_no_more_pass_than_one() {
    if lab::skipped() {
        return;
    }
    const RATE: u128 = 1_000_000;
    for limits in ["packets: {perSecond: 1000000, burst: 50}", "perSource: {packets: {perSecond: 1000000, burst: 50}}"]
    {
        let mut bed = Bed::new(&image(limits));
        let began = Instant::now();
        bed.kernel.hammer_live(&frame_of(&from(CLIENT, 5_000, TCP), ACK), 1_000_000, 2).unwrap();
        let most = 50 + began.elapsed().as_nanos() * RATE / 1_000_000_000;
        let passed = bed.count(Direction::Ingress, Reason::Allowed);
        assert!(u128::from(passed) <= most, "{passed} passed, at most {most} may");
        assert!(passed > 50, "{passed} passed");
        println!("{limits}: {passed} of {most} passed");
    }
}

#[test]
fn a_tcp_connection_is_counted_when_it_opens() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(&slow("newConnections", 5)));
    assert_eq!(bed.passed(&from(CLIENT, 5_000, TCP), SYN, 20), 5);
    assert_eq!(bed.passed(&from(CLIENT, 5_000, TCP), ACK, 1_000), 1_000);
    assert_eq!(bed.passed(&from(CLIENT, 5_001, TCP), SYN | ACK, 10), 10, "an answer");
}

#[test]
fn a_udp_flow_is_counted_once_and_its_entry_lets_nothing_pass() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(&slow("newConnections", 3)));
    let flows: Vec<Flow> = (0..10).map(|port| from(CLIENT, 5_000 + port, UDP)).collect();
    let passed: Vec<u64> = flows.iter().map(|flow| bed.passed(flow, 0, 50)).collect();
    assert_eq!(passed, [50, 50, 50, 0, 0, 0, 0, 0, 0, 0]);
    let again: Vec<u64> = flows.iter().map(|flow| bed.passed(flow, 0, 50)).collect();
    assert_eq!(again, passed);
    // The same as without a limit: an answer leaves, and does not arrive.
    let answer = frame_of(&flows[0].reverse(), 0);
    assert_eq!(bed.kernel.judge(Bed::hook(Direction::Egress), &answer).unwrap().reason, Reason::Reply);
    assert_eq!(bed.kernel.judge(Bed::hook(Direction::Ingress), &answer).unwrap().reason, Reason::Denied);
    let echo = |kind: u16| Flow { dst_port: kind << 8, src_port: 0, ..from(CLIENT, 0, 1) };
    assert_eq!(bed.passed(&echo(8), 0, 10), 0, "a question of ICMP opens a flow");
    assert_eq!(bed.passed(&echo(0), 0, 10), 10, "an answer does not");
}

#[test]
fn buckets_go_on_over_revisions_and_restarts_and_a_changed_limit_begins_full() {
    if lab::skipped() {
        return;
    }
    let limits = format!("{}, perSource: {{{}}}", slow("packets", 3_000), slow("packets", 2_000));
    let mut bed = Bed::new(&image(&limits));
    let (one, other) = (from(CLIENT, 5_000, TCP), from(OTHER_CLIENT, 5_000, TCP));
    let began = Instant::now();
    assert_eq!(bed.passed(&one, ACK, 1_500), 1_500);
    for revision in 2..5 {
        activate(&mut bed.kernel, revision, &image(&limits));
    }
    let of_source = bed.passed(&one, ACK, 5_000);
    assert!((500..=500 + began.elapsed().as_secs()).contains(&of_source), "{of_source}");
    drop(bed.kernel);
    bed.kernel = lab::open(&bed.lab);
    let of_rule = bed.passed(&other, ACK, 5_000);
    assert!((1_000..=1_000 + began.elapsed().as_secs()).contains(&of_rule), "{of_rule}");
    activate(&mut bed.kernel, 5, &image(&limits));
    let left = bed.passed(&one, ACK, 5_000) + bed.passed(&other, ACK, 5_000);
    assert!(left <= began.elapsed().as_secs(), "{left}");
    activate(&mut bed.kernel, 6, &image(&slow("packets", 31)));
    assert_eq!(bed.passed(&one, ACK, 100), 31);
}

#[test]
fn in_observe_mode_what_is_over_the_limit_is_observed() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image_in("observe", &slow("packets", 10)));
    let packet = from(CLIENT, 5_000, TCP);
    assert_eq!(bed.passed(&packet, ACK, 50), 10);
    assert_eq!(bed.passed_as(Reason::Observed, &packet, ACK, 50), 50);
    assert_eq!(bed.count(Direction::Ingress, Reason::RateLimited), 0);
    let asked = bed.kernel.judge(Bed::hook(Direction::Ingress), &frame_of(&packet, ACK)).unwrap();
    assert_eq!(asked.reason, Reason::Allowed, "whether a limit is exceeded is no part of the answer to a question");
}

#[test]
fn a_forwarded_packet_is_counted_once_and_what_is_not_judged_when_it_arrives_is_not_free() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(&slow("packets", 10)));
    let packet = from(CLIENT, 5_000, TCP);
    let through = |came_in| Carriage { came_in, ..Carriage::default() };
    assert_eq!(bed.left(&packet, through(ifindex(HERE)), 100), 100, "it was counted when it arrived");
    assert_eq!(bed.left(&packet, through(ifindex("lo")), 6), 6, "nobody has seen it");
    assert_eq!(bed.left(&packet, through(0), 100), 4, "sent from here");
    assert_eq!(bed.passed(&packet, ACK, 10), 0);
}

#[test]
fn what_comes_through_a_vlan_that_was_made_later_is_counted_once() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(&slow("packets", 10)));
    if !lab::vlan(HERE, 5) {
        return;
    }
    let vlan = format!("{HERE}.5");
    let through = Carriage { came_in: ifindex(&vlan), ..Carriage::default() };
    let packet = from(CLIENT, 5_000, TCP);
    assert_eq!(bed.left(&packet, through, 4), 4);
    bed.kernel.check_hooks().unwrap();
    assert_eq!(bed.left(&packet, through, 100), 100, "it was counted when it arrived, at the device below");
    lab::run(&format!("ip link del {vlan}"));
    bed.kernel.check_hooks().unwrap();
    assert_eq!(bed.left(&packet, Carriage::default(), 100), 6);
}

#[test]
fn segments_of_a_large_packet_count_each() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(&slow("packets", 100)));
    let packet = from(CLIENT, 5_000, TCP);
    let of = |segments| Carriage { segments, ..Carriage::default() };
    assert_eq!(bed.left(&packet, of(40), 10), 2 * 40);
    assert_eq!(bed.left(&packet, of(0), 100), 20);
    // One that is larger than the bucket passes when that is full, and the next ones wait until it is paid for.
    activate(&mut bed.kernel, 2, &image(&slow("packets", 10)));
    assert_eq!(bed.left(&packet, of(40), 10), 40);
    assert_eq!(bed.left(&packet, of(0), 10), 0);
}

#[test]
fn g0_sync_flows_are_never_limited() {
    if lab::skipped() {
        return;
    }
    let mut bed = guarded();
    let mut kernel = bed.kernel.take().unwrap();
    let limits = format!("limits: {{{}, {}}}", slow("packets", 1), slow("newConnections", 1));
    let says = format!("  ingress: [{{name: all, action: allow, {limits}}}]");
    let limited = [segment("here", &format!("{HERE_V4}/32")), policy("here", "here", &says)].concat();
    let prepared = kernel.prepare(2, &lab::compiled(&limited), &bed.owed).unwrap();
    kernel.activate(prepared).unwrap();
    let arrives = |port| frame_of(&flow_of((THERE_V4, CLUSTER_PORT), (HERE_V4, port), UDP), 0);
    for _ in 0..100 {
        kernel.pass_live(Bed::hook(Direction::Ingress), &arrives(CLUSTER_PORT)).unwrap();
        kernel.pass_live(Bed::hook(Direction::Ingress), &arrives(9_999)).unwrap();
    }
    let counters = kernel.counters();
    let count = |reason| counters.reason(Direction::Ingress, reason).packets;
    assert_eq!([count(Reason::Allowed), count(Reason::RateLimited)], [1, 99]);
    assert!(count(Reason::Guard) >= 100);
}
