//! G13, G6, G0: a peer that is killed with SIGKILL at any step (opening, filling, proving, flipping, changing the guard, exchanging tables,
//! repairing hooks) leaves enforcement as it was, at every instant: nothing of sync flows, allowed flows and answers is lost, nothing that
//! is denied gets in, and the next one takes over.

use std::{collections::BTreeSet, fs, os::unix::process::ExitStatusExt};

use dataplane::{Enforcer, Kernel, KernelConfig, XdpMode, testing::FAILPOINTS};
use policy::{Image, obligations};

use crate::{
    child::{Flipping, Task, config, guards},
    guard::guarded,
    lab::{self, Lab},
    streams::{Streams, image},
};

const SIGKILL: i32 = 9;
/// One in so many places is tried: all of them, but on slow machines (`lab::scaled`).
fn every() -> usize {
    FAILPOINTS.len() / usize::try_from(lab::scaled(FAILPOINTS.len() as u64)).unwrap()
}

/// A place that is not reached in so many revisions is not reached at all.
const REVISIONS: u64 = 4;

/// A foreign data path, which has put its programs before ours.
fn stranger(lab: &Lab) -> Kernel {
    let bpffs = lab.bpffs.join("stranger");
    fs::create_dir_all(&bpffs).unwrap();
    Kernel::open(KernelConfig { bpffs, ..config(&lab.bpffs, 0, XdpMode::Off) }).unwrap()
}

/// Lets a child die at a place, with the circumstances in which it comes by there.
fn die_at(lab: &Lab, task: &Task) {
    let name = task.failpoint.unwrap();
    let shadow = name.starts_with("forward").then(|| stranger(lab));
    let mut child = Flipping::begin(lab, task);
    while child.next_flip().is_some() {}
    let status = child.process.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL), "{name} was never reached: {status}");
    if let Some(stranger) = shadow {
        stranger.detach_all().unwrap();
        fs::remove_dir_all(lab.bpffs.join("stranger")).unwrap();
    }
}

/// What is pinned: directories of maps, and links by name.
fn pins(lab: &Lab) -> (usize, BTreeSet<String>) {
    let names = |directory: &str| -> Vec<fs::DirEntry> {
        fs::read_dir(lab.bpffs.join(directory)).unwrap().map(Result::unwrap).collect()
    };
    let interfaces = names("hedgerow/links");
    assert_eq!(interfaces.len(), 1);
    let links = fs::read_dir(interfaces[0].path()).unwrap();
    let links = links.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    (names("hedgerow/maps").len(), links)
}

/// What must be pinned with an XDP mode, and nothing else.
fn expected_pins(xdp: XdpMode) -> BTreeSet<String> {
    let ingress: &[&str] = match xdp {
        XdpMode::Off => &["tcx-ingress"],
        _ => &["xdp-native"],
    };
    ingress.iter().chain(&["tcx-egress"]).map(|name| (*name).to_owned()).collect()
}

/// Takes over what the child has left, and goes on.
fn go_on(lab: &Lab, task: &Task, images: &[Image; 2], generation: u32) -> u32 {
    let name = task.failpoint.unwrap();
    let config = config(&lab.bpffs, task.layout, task.xdp);
    let (interfaces, guard) = (config.interfaces.clone(), &guards(&config.interfaces)[0]);
    let mut kernel = Kernel::open(config).unwrap_or_else(|error| panic!("{name}: {error}"));
    kernel.set_guard(guard).unwrap();
    if !kernel.is_waiting() {
        let live = kernel.active().unwrap_or_else(|| panic!("{name}: nothing is live"));
        assert!(live.generation >= generation && task.revisions.start - 1 <= live.revision, "{name}: {live:?}");
        assert_eq!(live.digest, images[usize::try_from(live.revision % 2).unwrap()].digest(), "{name}");
        kernel.check_hooks().unwrap();
        assert!(kernel.attest().unwrap().holds(), "{name}: {:?}", kernel.attest());
    }
    let revision = task.revisions.end;
    let image = &images[usize::try_from(revision % 2).unwrap()];
    let prepared = kernel.prepare(revision, image, &obligations(guard, &interfaces)).unwrap();
    let active = kernel.activate(prepared).unwrap();
    assert!(active.generation > generation, "{name}: {} after {generation}", active.generation);
    assert!(kernel.attest().unwrap().holds(), "{name}: {:?}", kernel.attest());
    assert_eq!(pins(lab), (1, expected_pins(task.xdp)), "{name}");
    active.generation
}

/// Some of the steps are about the place among other programs, which filters of clsact do not have.
#[test]
fn g13_killed_at_any_step_it_goes_on_enforcing() {
    if lab::skipped_without_tcx() {
        return;
    }
    let mut bed = guarded();
    let images = [image(0), image(1)];
    let mut kernel = bed.kernel.take().unwrap();
    lab::activate(&mut kernel, 1, &images[1]);
    let mut generation = kernel.active().unwrap().generation;
    drop(kernel);
    let streams = Streams::begin(&bed.lab);
    let mut xdp = XdpMode::Auto;
    let places: Vec<&str> = FAILPOINTS.into_iter().step_by(every()).collect();
    for (number, name) in places.iter().copied().enumerate() {
        let number = number as u64;
        let first = 2 + number * (REVISIONS + 1);
        // Other tables each time, and links are made when what arrives is judged elsewhere than before.
        xdp = if name.starts_with("link") && xdp == XdpMode::Auto { XdpMode::Off } else { XdpMode::Auto };
        let task = Task { layout: number + 1, xdp, revisions: first..first + REVISIONS, failpoint: Some(name) };
        die_at(&bed.lab, &task);
        assert_eq!(streams.damage(), [0; 4], "killed at {name}");
        generation = go_on(&bed.lab, &task, &images, generation);
        assert_eq!(streams.damage(), [0; 4], "taken over after {name}");
    }
    let sent = streams.end();
    println!("{sent} packets of each kind, killed at {} places: lost 0, 0 and 0, let in 0", places.len());
}
