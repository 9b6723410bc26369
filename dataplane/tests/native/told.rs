//! What the comparisons have found, each as a test of its own.

use dataplane::{
    Hook, Reason, TableSizes,
    testing::{Arrival, Twins, flow_of, frame_of},
};
use policy::{Direction, Flow, Image};

use crate::{
    driver::{self, Driver},
    shared::{
        corpus,
        members::{self, CLUSTER_PORT, HERE_V4, HERE_V6},
        policies::{DENY, compiled, policy, segment},
    },
};

const UDP: u8 = 17;
const NODE: &str = "10.9.0.1";
const BACKEND: &str = "10.9.0.5";

/// This node may ask the backend by UDP at 53, behind rules that are not asked about; an open flow is kept.
fn keeps() -> Image {
    let (tcp, udp) = ("services: [{protocol: tcp, port: 80}]", "services: [{protocol: udp, port: 53}]");
    let says = format!(
        "  existingFlows: keep
  ingress:
    - {{name: other, action: allow, from: [{{cidr: {NODE}/32}}], {tcp}}}
    - {{name: node, action: allow, from: [{{cidr: {NODE}/32}}], {udp}}}
  egress:
    - {{name: other, action: allow, to: [{{cidr: {BACKEND}/32}}], {tcp}}}
    - {{name: node, action: allow, to: [{{cidr: {BACKEND}/32}}], {udp}}}"
    );
    compiled(&[DENY, &segment("backend", "10.9.0.0/24"), &policy("backend", "backend", &says)].concat())
}

fn twins() -> Option<Twins<Driver>> {
    let driver = driver::start()?;
    let interface = members::interface();
    let interfaces = std::slice::from_ref(&interface);
    Some(Twins::new(driver, 0, interfaces, &corpus::guard(&interface), TableSizes::small()).unwrap())
}

fn hook(direction: Direction) -> Hook {
    Hook { ifindex: members::interface().ifindex, direction }
}

fn udp(src: (&str, u16), dst: (&str, u16)) -> Flow {
    flow_of(src, dst, UDP)
}

/// G19. An entry's rules are numbers of the image that allowed it: a kept flow was counted for whatever rule had that number in the
/// live image, and the userspace enforcer panicked where there was none.
#[test]
fn g19_a_kept_flow_is_counted_for_rules_of_the_live_revision() {
    let Some(mut twins) = twins() else { return };
    twins.activate(keeps()).unwrap();
    let request = udp((NODE, 40_000), (BACKEND, 53));
    twins.receive(Arrival::Tcx, hook(Direction::Egress), &frame_of(&request, 0), 0).unwrap();
    let answer = frame_of(&request.reverse(), 0);
    let before = twins.receive(Arrival::Tcx, hook(Direction::Ingress), &answer, 0).unwrap();
    assert_eq!(before.reason, Reason::Established);
    assert_ne!((before.ingress_rule, before.egress_rule), (0, 0));
    twins.activate(compiled(DENY)).unwrap();
    let asked = twins.judge(hook(Direction::Ingress), &answer, 0).unwrap();
    let after = twins.receive(Arrival::Tcx, hook(Direction::Ingress), &answer, 0).unwrap();
    assert_eq!((after.reason, after.ingress_rule, after.egress_rule), (Reason::Kept, 0, 0));
    assert_eq!(asked, after);
    twins.compare_counters().unwrap();
}

/// The userspace enforcer had one allowance for all doors.
#[test]
fn every_door_for_joiners_has_its_own_allowance() {
    let Some(mut twins) = twins() else { return };
    twins.activate(compiled(DENY)).unwrap();
    let joiners =
        [udp(("10.77.0.77", 7_400), (HERE_V4, CLUSTER_PORT)), udp(("fd77::77", 7_400), (HERE_V6, CLUSTER_PORT))];
    for second in 0..3 {
        let mut joined = [0; 2];
        for _ in 0..1_200 {
            for (flow, joined) in joiners.iter().zip(&mut joined) {
                let said = twins.receive(Arrival::Clsact, hook(Direction::Ingress), &frame_of(flow, 0), 0).unwrap();
                *joined += u32::from(said.reason == Reason::Join);
            }
        }
        assert_eq!(joined, [1_000, 1_000], "second {second}");
        twins.wait(1).unwrap();
    }
    twins.compare_counters().unwrap();
}

/// The service at the backend is open, as this policy of a higher tier says that observes.
fn observed(enforced: &str, trial: &str) -> Image {
    let open = policy("backend", "backend", &format!("  ingress: [{{name: all, action: allow{enforced}}}]"));
    let trial = policy("trial", "backend", &format!("  mode: observe\n  ingress: [{trial}]"))
        .replace("tier: application", "tier: platform");
    compiled(&[segment("backend", &format!("{BACKEND}/32")), open, trial].concat())
}

/// What becomes of a frame under traffic control.
fn receive(twins: &mut Twins<Driver>, direction: Direction, frame: &[u8]) -> Reason {
    twins.receive(Arrival::Tcx, hook(direction), frame, 0).unwrap().reason
}

/// What three packets of a flow are, of which a limit of one new connection was taken by another flow, if `taken`.
fn thrice(image: Image, direction: Direction, taken: bool) -> Option<[Reason; 3]> {
    let mut twins = twins()?;
    twins.activate(image).unwrap();
    let mut receive = |port| receive(&mut twins, direction, &frame_of(&udp((NODE, port), (BACKEND, 53)), 0));
    if taken {
        receive(40_000);
    }
    let reasons = [(); 3].map(|()| receive(40_001));
    twins.compare_counters().unwrap();
    Some(reasons)
}

/// The programs remembered a flow that leaves and that only an observing policy's limit would refuse, and reported its first packet alone.
#[test]
fn what_a_limit_on_trial_would_refuse_is_not_known_for_it() {
    let limited = "{name: all, action: allow, limits: {newConnections: {perSecond: 1, burst: 1}}}";
    let Some(reasons) = thrice(observed("", limited), Direction::Egress, true) else { return };
    assert_eq!(reasons, [Reason::Observed; 3]);
}

/// The userspace enforcer counted each packet of a flow as a new one if an observing policy would refuse it.
#[test]
fn an_observed_flow_is_counted_once() {
    let limits = ", limits: {newConnections: {perSecond: 1, burst: 1}}";
    let image = observed(limits, "{name: none, action: deny}");
    let Some(reasons) = thrice(image, Direction::Ingress, false) else { return };
    assert_eq!(reasons, [Reason::Observed; 3]);
}

/// A flow that only an observing policy's limit would refuse was not remembered as one that the enforced limit had counted, which then
/// counted each of its packets.
#[test]
fn a_limit_on_trial_takes_nothing_from_the_enforced_one() {
    let limits = ", limits: {newConnections: {perSecond: 1, burst: 5}}";
    let tighter = "{name: all, action: allow, limits: {newConnections: {perSecond: 1, burst: 1}}}";
    for direction in [Direction::Ingress, Direction::Egress] {
        let Some(mut twins) = twins() else { return };
        twins.activate(observed(limits, tighter)).unwrap();
        let [first, second, third] =
            [40_000, 40_001, 40_002].map(|port| frame_of(&udp((NODE, port), (BACKEND, 53)), 0));
        assert_eq!(receive(&mut twins, direction, &first), Reason::Allowed);
        assert_eq!([(); 6].map(|()| receive(&mut twins, direction, &second)), [Reason::Observed; 6]);
        twins.wait(2).unwrap();
        let again = [(); 2].map(|()| receive(&mut twins, direction, &second));
        assert_eq!(again, [Reason::Allowed; 2], "the trial has room for it again");
        assert_eq!(receive(&mut twins, direction, &third), Reason::Observed);
        twins.compare_counters().unwrap();
    }
}

/// An answer that an observing policy would refuse, and that passes as an answer, was charged as a new flow again and again.
#[test]
fn an_observed_answer_is_counted_once() {
    let Some(mut twins) = twins() else { return };
    let limits = "limits: {newConnections: {perSecond: 1, burst: 1}}";
    let open = format!(
        "  ingress: [{{name: all, action: allow}}]
  egress: [{{name: all, action: allow, {limits}}}]"
    );
    let trial = policy("trial", "backend", "  mode: observe\n  egress: [{name: none, action: deny}]")
        .replace("tier: application", "tier: platform");
    let backend = segment("backend", &format!("{BACKEND}/32"));
    twins.activate(compiled(&[backend, policy("backend", "backend", &open), trial].concat())).unwrap();
    let answer = frame_of(&udp((BACKEND, 53), (NODE, 40_000)), 0);
    assert_eq!([(); 3].map(|()| receive(&mut twins, Direction::Egress, &answer)), [Reason::Reply; 3]);
    twins.compare_counters().unwrap();
}

/// A policy that keeps its flows, under which clients come to the service and it may send whatever it wants; with an emergency `deny`.
fn kept_service(emergency: bool) -> Image {
    let keeps = "  existingFlows: keep
  ingress: [{name: clients, action: allow}]
  egress: [{name: all, action: allow}]";
    let cut = policy("emergency", "backend", "  ingress: [{name: none, action: deny}]")
        .replace("tier: application", "tier: emergency");
    let backend = segment("backend", &format!("{BACKEND}/32"));
    let documents = [backend, policy("backend", "backend", keeps), if emergency { cut } else { String::new() }];
    compiled(&documents.concat())
}

/// G19. A kept flow that was first seen in the middle, by an answer, was taken for one that the service had opened; then an emergency
/// `deny` for its clients did not end it.
#[test]
fn g19_a_kept_flow_first_seen_by_an_answer_ends_with_an_emergency() {
    // A datagram of the service opens a flow of its own, since it may send whatever it wants.
    for (protocol, flags, rounds) in [(6, 0x10, 2), (6, 0x12, 2), (UDP, 0, 1)] {
        let Some(mut twins) = twins() else { return };
        twins.activate(kept_service(false)).unwrap();
        let request = flow_of((NODE, 50_000), (BACKEND, 1_935), protocol);
        let (sent, answered) = (frame_of(&request, flags & 0x10), frame_of(&request.reverse(), flags));
        receive(&mut twins, Direction::Egress, &answered);
        receive(&mut twins, Direction::Ingress, &sent);
        twins.activate(kept_service(true)).unwrap();
        for _ in 0..rounds {
            assert!(!receive(&mut twins, Direction::Ingress, &sent).passes(), "{protocol} {flags:#x}");
            receive(&mut twins, Direction::Egress, &frame_of(&request.reverse(), flags & 0x10));
        }
        twins.compare_counters().unwrap();
    }
}

/// Where only `egress` is spoken of, and nothing may leave, protocols without ports left as answers of services.
#[test]
fn what_has_no_ports_is_no_answer_of_a_service_that_no_rule_speaks_of() {
    let Some(mut twins) = twins() else { return };
    let backend = segment("backend", &format!("{BACKEND}/32"));
    twins.activate(compiled(&[backend, policy("backend", "backend", "  egress: []")].concat())).unwrap();
    for protocol in [47, 50, 4] {
        let frame = frame_of(&flow_of((BACKEND, 0), (NODE, 0), protocol), 0);
        assert_eq!(receive(&mut twins, Direction::Egress, &frame), Reason::Denied, "{protocol}");
    }
    let echo_reply = frame_of(&flow_of((BACKEND, 0), (NODE, 0), 1), 0);
    assert_eq!(receive(&mut twins, Direction::Egress, &echo_reply), Reason::Reply, "the answer to an echo request");
    twins.compare_counters().unwrap();
}

/// The node may open connections to the backend, whose answers need the entry.
fn opens_only() -> Image {
    let open = policy("backend", "backend", "  ingress: [{name: all, action: allow}]\n  egress: []");
    compiled(&[segment("backend", &format!("{BACKEND}/32")), open].concat())
}

/// What the opener of a connection sends was never looked at for its end: after its RST, answers passed for two hours.
#[test]
fn a_connection_that_its_opener_ends_is_closing() {
    for end in [0x04, 0x11] {
        let Some(mut twins) = twins() else { return };
        twins.activate(opens_only()).unwrap();
        let request = flow_of((NODE, 40_000), (BACKEND, 40_000), 6);
        let (sent, answered) = (|flags| frame_of(&request, flags), |flags| frame_of(&request.reverse(), flags));
        assert_eq!(receive(&mut twins, Direction::Egress, &sent(0x02)), Reason::Allowed);
        assert_eq!(receive(&mut twins, Direction::Ingress, &answered(0x12)), Reason::Established);
        assert_eq!(receive(&mut twins, Direction::Egress, &sent(end)), Reason::Allowed);
        twins.wait(61).unwrap();
        assert_eq!(receive(&mut twins, Direction::Ingress, &answered(0x10)), Reason::Denied, "{end:#x}");
        twins.compare_counters().unwrap();
    }
}

/// Another processor may have noted a flow a tick later than this one reads the clock: that was taken for an age of 136 years.
#[test]
fn an_entry_that_another_processor_has_just_noted_is_alive() {
    let Some(mut twins) = twins() else { return };
    twins.activate(opens_only()).unwrap();
    let request = flow_of((NODE, 40_000), (BACKEND, 40_000), 6);
    twins.wait(1).unwrap();
    receive(&mut twins, Direction::Egress, &frame_of(&request, 0x02));
    twins.turn_back(1).unwrap();
    let answer = frame_of(&request.reverse(), 0x12);
    assert_eq!(receive(&mut twins, Direction::Ingress, &answer), Reason::Established);
    twins.compare_counters().unwrap();
}
