//! The evasion corpus: crafted frames, each with its stated verdict, through the kernel programs and the userspace enforcer.

use dataplane::{Enforcer, Hook, Kernel, Reason, TableSizes, Timeouts, Userspace};
use identity::Role;
use policy::LocalInterface;

use crate::{
    lab::{self, Lab},
    shared::{
        corpus::{self, Step},
        members,
    },
};

/// The enforcers in the same world.
struct World {
    userspace: Userspace,
    kernel: Option<Kernel>,
    ifindex: u32,
}

fn world(interface: LocalInterface, mut kernel: Option<Kernel>) -> World {
    let (image, ifindex, guard) = (corpus::image(), interface.ifindex, corpus::guard(&interface));
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
        let (files, mut frames, mut wrong) = (corpus::files(), 0, Vec::new());
        for (name, steps) in &files {
            for (number, step) in steps.iter().enumerate() {
                frames += 1;
                let reasons = self.pass(step);
                if reasons.iter().any(|reason| reason.name() != step.verdict) {
                    let number = number + 1;
                    wrong.push(format!(
                        "{name}, step {number} ({} bytes): stated {}, userspace and kernel {reasons:?}",
                        step.frame.len(),
                        step.verdict
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(files.len() >= 50 && frames >= 3_000, "{} files, {frames} frames", files.len());
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
    world(members::interface(), None).run_corpus();
}
