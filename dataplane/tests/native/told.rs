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

/// What three packets of a flow are, of which a limit of one new connection was taken by another flow, if `taken`.
fn thrice(image: Image, direction: Direction, taken: bool) -> Option<[Reason; 3]> {
    let mut twins = twins()?;
    twins.activate(image).unwrap();
    let mut receive = |port| {
        let frame = frame_of(&udp((NODE, port), (BACKEND, 53)), 0);
        twins.receive(Arrival::Tcx, hook(direction), &frame, 0).unwrap().reason
    };
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
