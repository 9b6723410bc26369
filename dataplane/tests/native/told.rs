//! What the comparisons have found, each as a test of its own.

use dataplane::{
    Hook, Reason, TableSizes,
    testing::{Arrival, Twins, frame_of},
};
use policy::{Direction, Flow};

use crate::{
    driver::{self, Driver},
    shared::{
        corpus,
        members::{self, CLUSTER_PORT, HERE_V4, HERE_V6},
        policies::compiled,
    },
};

const UDP: u8 = 17;
const NODE: &str = "10.9.0.1";
const BACKEND: &str = "10.9.0.5";

/// This node may ask the backend by UDP at 53, behind rules that are not asked about; an open flow is kept.
const KEEPS: &str = "
apiVersion: hedgerow/v1
kind: Settings
metadata: {name: cluster}
spec: {defaultAction: deny}
---
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: backend}
spec: {role: backend, addresses: [10.9.0.0/24]}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: backend}
spec:
  tier: application
  existingFlows: keep
  appliesTo: {segment: backend}
  ingress:
    - {name: other, action: allow, from: [{cidr: 10.9.0.1/32}], services: [{protocol: tcp, port: 80}]}
    - {name: node, action: allow, from: [{cidr: 10.9.0.1/32}], services: [{protocol: udp, port: 53}]}
  egress:
    - {name: other, action: allow, to: [{cidr: 10.9.0.5/32}], services: [{protocol: tcp, port: 80}]}
    - {name: node, action: allow, to: [{cidr: 10.9.0.5/32}], services: [{protocol: udp, port: 53}]}
";

/// Nothing is allowed, and there is no rule.
const DENIES: &str = "
apiVersion: hedgerow/v1
kind: Settings
metadata: {name: cluster}
spec: {defaultAction: deny}
";

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
    let (src_port, dst_port) = (src.1, dst.1);
    Flow { src: src.0.parse().unwrap(), dst: dst.0.parse().unwrap(), protocol: UDP, src_port, dst_port }
}

/// G19. An entry's rules are numbers of the image that allowed it: a kept flow was counted for whatever rule had that number in the
/// live image, and the userspace enforcer panicked where there was none.
#[test]
fn g19_a_kept_flow_is_counted_for_rules_of_the_live_revision() {
    let Some(mut twins) = twins() else { return };
    twins.activate(compiled(KEEPS)).unwrap();
    let request = udp((NODE, 40_000), (BACKEND, 53));
    twins.receive(Arrival::Tcx, hook(Direction::Egress), &frame_of(&request, 0), 0).unwrap();
    let answer = frame_of(&request.reverse(), 0);
    let before = twins.receive(Arrival::Tcx, hook(Direction::Ingress), &answer, 0).unwrap();
    assert_eq!(before.reason, Reason::Established);
    assert_ne!((before.ingress_rule, before.egress_rule), (0, 0));
    twins.activate(compiled(DENIES)).unwrap();
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
    twins.activate(compiled(DENIES)).unwrap();
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
