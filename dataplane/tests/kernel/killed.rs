//! G13, G6, G0: a peer that is killed with SIGKILL at any step (opening, filling, proving, flipping, changing the guard, exchanging tables,
//! repairing hooks) leaves enforcement as it was, at every instant: nothing of sync flows, allowed flows and answers is lost, nothing that
//! is denied gets in, and the next one takes over.

use std::{collections::BTreeSet, fs, os::unix::process::ExitStatusExt};

use dataplane::{Attachment, Enforcer, Kernel, TcMode, XdpMode, testing::FAILPOINTS};
use identity::Role;
use policy::Image;

use crate::{
    child::{Flipping, Task, flip, guards},
    guard::guarded,
    lab::{self, ELSEWHERE, HERE, Lab, attachment},
    streams::{Streams, image},
};

const SIGKILL: i32 = 9;
/// A place that is not reached in so many revisions is not reached at all.
const REVISIONS: u64 = 4;

/// Where a process dies: everywhere; but filters of clsact have no pins that could change their place.
fn places(tc: TcMode) -> Vec<&'static str> {
    let mut places = FAILPOINTS.to_vec();
    if attachment(tc) == Attachment::Clsact {
        places.retain(|place| !["forward-pinned", "forward-in-place"].contains(place));
    }
    // All of them, but on slow machines one in so many.
    let tried = usize::try_from(lab::scaled(places.len() as u64)).unwrap();
    places.chunks(places.len().div_ceil(tried)).filter_map(|few| few.last().copied()).collect()
}

/// Programs of somebody else before ours, while it lives.
struct Stranger<'a> {
    lab: &'a Lab,
    tc: TcMode,
    /// There until it is dropped.
    kernel: Option<Kernel>,
}

impl Stranger<'_> {
    /// Of another data path: under TCX attached as ours is, and under clsact as a filter beside ours.
    fn new(lab: &Lab, tc: TcMode) -> Stranger<'_> {
        let by_filter = attachment(tc) == Attachment::Clsact;
        let kernel = Some(lab::elsewhere(lab, if by_filter { Vec::new() } else { vec![lab.interface(Role::Cluster)] }));
        if by_filter {
            let program = lab.bpffs.join(ELSEWHERE).join("hedgerow/progs/hr_egress");
            let program = program.display();
            lab::run(&format!("tc filter add dev {HERE} egress prio 1 handle 1 bpf da object-pinned {program}"));
        }
        Stranger { lab, tc, kernel }
    }
}

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        if attachment(self.tc) == Attachment::Clsact {
            lab::run(&format!("tc filter del dev {HERE} egress prio 1 handle 1 bpf"));
        }
        self.kernel.take().unwrap().detach_all().unwrap();
        fs::remove_dir_all(self.lab.bpffs.join(ELSEWHERE)).unwrap();
    }
}

/// Lets a child die at a place, with the circumstances in which it comes by there.
fn die_at(lab: &Lab, task: &Task) {
    let name = task.failpoint.unwrap();
    let _stranger = name.starts_with("forward").then(|| Stranger::new(lab, task.tc));
    let status = Flipping::begin(lab, task).ends();
    assert_eq!(status.signal(), Some(SIGKILL), "{name} was never reached: {status}");
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

/// What must be pinned, and nothing else.
fn expected_pins(tc: TcMode, xdp: XdpMode) -> BTreeSet<String> {
    let mut pins = BTreeSet::new();
    if xdp != XdpMode::Off {
        pins.insert("xdp-native".to_owned());
    } else if attachment(tc) == Attachment::Tcx {
        pins.insert("tcx-ingress".to_owned());
    }
    if attachment(tc) == Attachment::Tcx {
        pins.insert("tcx-egress".to_owned());
    }
    pins
}

/// Takes over what the child has left, and goes on.
fn go_on(lab: &Lab, task: &Task, images: &[Image; 2], generation: u32) -> u32 {
    let name = task.failpoint.unwrap();
    let config = task.config(lab);
    let (interfaces, guard) = (config.interfaces.clone(), &guards(&config.interfaces)[0]);
    let mut kernel = Kernel::open(config).unwrap_or_else(|error| panic!("{name}: {error}"));
    if !kernel.is_waiting() {
        let live = kernel.active().unwrap_or_else(|| panic!("{name}: nothing is live"));
        assert!(live.generation >= generation && task.revisions.start - 1 <= live.revision, "{name}: {live:?}");
        assert_eq!(live.digest, images[usize::try_from(live.revision % 2).unwrap()].digest(), "{name}");
        kernel.check_hooks().unwrap();
        assert!(kernel.attest().unwrap().holds(), "{name}: {:?}", kernel.attest());
    }
    let active = flip(&mut kernel, guard, &interfaces, task.revisions.end);
    assert!(active.generation > generation, "{name}: {} after {generation}", active.generation);
    assert!(kernel.attest().unwrap().holds(), "{name}: {:?}", kernel.attest());
    assert_eq!(pins(lab), (1, expected_pins(task.tc, task.xdp)), "{name}");
    assert_eq!(lab::filters(HERE, "handle"), lab::expected_filters(task.xdp, task.tc), "{name}");
    active.generation
}

fn killed_at_any_step_it_goes_on_enforcing(tc: TcMode) {
    let mut bed = guarded();
    drop(bed.kernel.take());
    let images = [image(0), image(1)];
    let mut kernel = Kernel::open(lab::config(&bed.lab, XdpMode::Auto, tc)).unwrap();
    lab::activate(&mut kernel, 1, &images[1]);
    let mut generation = kernel.active().unwrap().generation;
    drop(kernel);
    let streams = Streams::begin(&bed.lab);
    let mut xdp = XdpMode::Auto;
    let places = places(tc);
    for (number, name) in places.iter().copied().enumerate() {
        let number = number as u64;
        let first = 2 + number * (REVISIONS + 1);
        // Other tables each time, and links are made when what arrives is judged elsewhere than before.
        xdp = if name.starts_with("link") && xdp == XdpMode::Auto { XdpMode::Off } else { XdpMode::Auto };
        let task = Task { layout: number + 1, xdp, tc, revisions: first..first + REVISIONS, failpoint: Some(name) };
        die_at(&bed.lab, &task);
        assert_eq!(streams.damage(), [0; 4], "killed at {name}");
        generation = go_on(&bed.lab, &task, &images, generation);
        assert_eq!(streams.damage(), [0; 4], "taken over after {name}");
    }
    let sent = streams.end();
    println!("{sent} packets of each kind, killed at {} places: lost 0, 0 and 0, let in 0", places.len());
}

#[test]
fn g13_killed_at_any_step_it_goes_on_enforcing() {
    if lab::skipped() {
        return;
    }
    killed_at_any_step_it_goes_on_enforcing(TcMode::Auto);
}

#[test]
fn g13_killed_at_any_step_under_clsact_it_goes_on_enforcing() {
    if lab::skipped_without_tcx() {
        return;
    }
    killed_at_any_step_it_goes_on_enforcing(TcMode::Clsact);
}
