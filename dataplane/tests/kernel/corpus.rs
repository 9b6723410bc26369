//! The evasion corpus: crafted frames, each with its stated verdict, through the kernel programs and the userspace enforcer.

use std::{fs, path::Path};

use dataplane::{Enforcer, Hook, Kernel, Reason, TableSizes, Timeouts, Userspace};
use identity::Role;
use policy::{Direction, Guard, LocalInterface, SpoofEntry};

use crate::{
    guard::{guard_of, member},
    lab::{self, HERE_V4, HERE_V6, Lab, THERE_V4, THERE_V6},
};

/// Everything is denied but: clients to the service at tcp/443, and this node (10.9.0.1) to the backend at tcp/8080 and udp/53.
const POLICY: &str = "
apiVersion: hedgerow/v1
kind: Settings
metadata: {name: cluster}
spec: {defaultAction: deny}
---
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: service}
spec: {role: vip, addresses: [203.0.113.10/32, \"2001:db8:a::10/128\"]}
---
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: clients}
spec: {role: client, addresses: [198.51.100.0/24, \"2001:db8:c::/64\"]}
---
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: backend}
spec: {role: backend, addresses: [10.9.0.0/24]}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: service}
spec:
  tier: application
  appliesTo: {segment: service}
  ingress: [{name: web, action: allow, from: [{segment: clients}], services: [{protocol: tcp, port: 443}]}]
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: clients}
spec:
  tier: application
  appliesTo: {segment: clients}
  egress: [{name: web, action: allow, to: [{segment: service}], services: [{protocol: tcp, port: 443}]}]
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: backend}
spec:
  tier: application
  appliesTo: {segment: backend}
  ingress:
    - {name: node, action: allow, from: [{cidr: 10.9.0.1/32}], services: [{protocol: tcp, port: 8080}, {protocol: udp, port: 53}]}
  egress:
    - {name: node, action: allow, to: [{cidr: 10.9.0.5/32}], services: [{protocol: tcp, port: 8080}, {protocol: udp, port: 53}]}
";

/// One frame and what must become of it.
struct Step {
    direction: Direction,
    verdict: String,
    frame: Vec<u8>,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let direction = match line.split_once(' ') {
            Some(("ingress", verdict)) => Some((Direction::Ingress, verdict)),
            Some(("egress", verdict)) => Some((Direction::Egress, verdict)),
            _ => None,
        };
        match direction {
            Some((direction, verdict)) => {
                steps.push(Step { direction, verdict: verdict.to_owned(), frame: Vec::new() });
            }
            None => {
                let bytes = line.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap());
                steps.last_mut().unwrap().frame.extend(bytes);
            }
        }
    }
    steps
}

/// The enforcers in the same world.
struct World {
    userspace: Userspace,
    kernel: Option<Kernel>,
    ifindex: u32,
}

fn world(interface: LocalInterface, mut kernel: Option<Kernel>) -> World {
    let image = lab::compiled(POLICY);
    let ifindex = interface.ifindex;
    let members = [member(1, &[HERE_V4, HERE_V6]), member(2, &[THERE_V4, THERE_V6])];
    let mut guard: Guard = guard_of(std::slice::from_ref(&interface), &members);
    guard.spoof.push(SpoofEntry { addr: "10.8.0.2".parse().unwrap(), ifindex_allowed: ifindex + 1 });
    let mut userspace = Userspace::new(vec![interface], TableSizes::small(), Timeouts::default());
    let both: [Option<&mut dyn Enforcer>; 2] =
        [Some(&mut userspace), kernel.as_mut().map(|kernel| kernel as &mut dyn Enforcer)];
    for enforcer in both.into_iter().flatten() {
        enforcer.set_guard(&guard).unwrap();
        let prepared = enforcer.prepare(1, &image, &[]).unwrap();
        enforcer.activate(prepared).unwrap();
    }
    World { userspace, kernel, ifindex }
}

impl World {
    /// What they say; and then the frame goes through, so that the next one finds what it leaves behind.
    fn pass(&mut self, step: &Step) -> Vec<Reason> {
        let hook = Hook { ifindex: self.ifindex, direction: step.direction };
        let mut reasons = vec![self.userspace.judge(hook, &step.frame).unwrap().reason];
        self.userspace.receive(hook, &step.frame);
        if let Some(kernel) = &mut self.kernel {
            reasons.push(kernel.judge(hook, &step.frame).unwrap().reason);
            kernel.pass_live(hook, &step.frame).unwrap();
        }
        reasons
    }

    /// One world for all files: each has addresses, ports or identifications of its own where something is remembered.
    fn run_corpus(&mut self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
        files.sort();
        let (mut frames, mut wrong) = (0, Vec::new());
        for path in &files {
            let name = path.file_stem().unwrap().to_string_lossy();
            for (number, step) in steps(&fs::read_to_string(path).unwrap()).iter().enumerate() {
                frames += 1;
                let reasons = self.pass(step);
                if reasons.iter().any(|reason| reason.name() != step.verdict) {
                    let number = number + 1;
                    wrong.push(format!(
                        "{name}, step {number}: stated {}, userspace and kernel {reasons:?}",
                        step.verdict
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(files.len() >= 30 && frames >= 120, "{} files, {frames} frames", files.len());
    }
}

#[test]
fn every_crafted_frame_has_its_stated_verdict() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    world(lab.interface(Role::Cluster), Some(lab::open(&lab))).run_corpus();
}

#[test]
fn every_crafted_frame_has_its_stated_verdict_without_a_kernel() {
    let addresses = [format!("{HERE_V4}/24"), format!("{HERE_V6}/64")].iter().map(|net| net.parse().unwrap()).collect();
    let interface = LocalInterface { name: "eth0".to_owned(), ifindex: 7, role: Role::Cluster, addresses };
    world(interface, None).run_corpus();
}
