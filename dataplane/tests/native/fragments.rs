//! Later fragments are judged as what their first one said of the datagram, each time that one comes.

use dataplane::{
    Hook, Reason, TableSizes,
    testing::{Arrival, Twins, flow_of, frame_of},
};
use policy::{Direction, Image};

use crate::{
    driver::{self, Driver},
    shared::{
        corpus, members,
        policies::{DENY, compiled, policy, segment},
    },
};

const UDP: u8 = 17;
const SERVICE: &str = "10.9.0.5";
const CLIENT: &str = "198.51.100.7";

/// Clients may send to the service what this rule says.
fn image(rule: &str) -> Image {
    compiled(
        &[
            DENY,
            &segment("service", &format!("{SERVICE}/32")),
            &segment("clients", "198.51.100.0/24"),
            &policy("clients", "clients", "  egress: [{name: all, action: allow}]"),
            &policy("service", "service", &format!("  ingress: [{{name: all, action: allow, {rule}}}]")),
        ]
        .concat(),
    )
}

fn twins() -> Option<Twins<Driver>> {
    let driver = driver::start()?;
    let interface = members::interface();
    let interfaces = std::slice::from_ref(&interface);
    Some(Twins::new(driver, 0, interfaces, &corpus::guard(&interface), TableSizes::small()).unwrap())
}

#[derive(Clone, Copy)]
enum Part {
    First,
    Later,
}

/// A part of a client's datagram to a port of the service arrives. Only the first one says the port.
fn receive(twins: &mut Twins<Driver>, client: &str, port: u16, part: Part) -> Reason {
    let mut frame = frame_of(&flow_of((client, 5_000), (SERVICE, port), UDP), 0);
    frame[18..22].copy_from_slice(match part {
        Part::First => &[0, 7, 0x20, 0],
        Part::Later => &[0, 7, 0, 8],
    });
    let hook = Hook { ifindex: members::interface().ifindex, direction: Direction::Ingress };
    twins.receive(Arrival::Tcx, hook, &frame, 0).unwrap().reason
}

/// Of a first fragment was remembered only that it passed: who repeated the later ones was bounded by no limit.
#[test]
fn they_are_charged_to_the_limits_of_the_first_one() {
    let Some(mut twins) = twins() else { return };
    let slow = |name, burst| format!("{name}: {{perSecond: 1, burst: {burst}}}");
    let (packets, connections, of_source) = (slow("packets", 9), slow("newConnections", 2), slow("packets", 5));
    twins.activate(image(&format!("limits: {{{packets}, {connections}, perSource: {{{of_source}}}}}"))).unwrap();
    let mut passed = |client| {
        let first = receive(&mut twins, client, 53, Part::First);
        let later = [(); 10].map(|()| receive(&mut twins, client, 53, Part::Later));
        (first, later.iter().filter(|reason| **reason == Reason::FragmentFollows).count(), later[9])
    };
    assert_eq!(passed(CLIENT), (Reason::Allowed, 4, Reason::RateLimited), "by what the source may");
    assert_eq!(passed("198.51.100.8"), (Reason::Allowed, 3, Reason::RateLimited), "by what the rule may");
    assert_eq!(passed("198.51.100.9"), (Reason::RateLimited, 0, Reason::FragmentUnknown));
    twins.compare_counters().unwrap();
}

/// Later fragments followed their first one for as long as it was remembered, whatever the live revision said.
#[test]
fn g19_they_are_judged_by_the_live_revision() {
    let Some(mut twins) = twins() else { return };
    let allows = |port: u16| image(&format!("services: [{{protocol: udp, port: {port}}}]"));
    twins.activate(allows(53)).unwrap();
    let parts = [Part::First, Part::Later].map(|part| receive(&mut twins, CLIENT, 53, part));
    assert_eq!(parts, [Reason::Allowed, Reason::FragmentFollows]);
    twins.activate(allows(54)).unwrap();
    assert_eq!(receive(&mut twins, CLIENT, 53, Part::Later), Reason::Denied);
    twins.activate(allows(53)).unwrap();
    assert_eq!(receive(&mut twins, CLIENT, 53, Part::Later), Reason::FragmentFollows);
    twins.compare_counters().unwrap();
}
