//! G13, G6: what is enforced outlives the process, is taken over by the next one, and is exchanged without a gap.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use dataplane::{Attachment, Enforcer, HookState, Kernel, KernelConfig, TableSizes, TcMode, XdpMode};
use policy::Image;

use crate::{
    child::{Flipping, Task, flip, guards},
    lab::{self, Lab, THERE_V4, activate, answers, deny_all, silent},
    streams::Streams,
};

const CHILD: &str = "HEDGEROW_TEST_CHILD_BPFFS";

#[test]
fn g13_enforcement_outlives_the_handle_and_is_taken_over() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut first = lab::open(&lab);
    activate(&mut first, 41, &deny_all());
    activate(&mut first, 42, &deny_all());
    let live = first.active();
    drop(first);
    assert!(silent(THERE_V4));
    let mut second = lab::open(&lab);
    assert_eq!(second.active(), live);
    assert!(second.attest().unwrap().holds());
    assert!(silent(THERE_V4));
    activate(&mut second, 43, &Image::empty_allow());
    assert_eq!(second.active().unwrap().generation, 3);
    assert!(answers(THERE_V4));
}

/// Not a test of its own: the process that `g13_enforcement_survives_sigkill` kills.
#[test]
fn child_that_is_killed() {
    let Some(bpffs) = std::env::var_os(CHILD) else { return };
    let interface = policy::LocalInterface {
        name: lab::HERE.to_owned(),
        ifindex: lab::ifindex(lab::HERE),
        role: identity::Role::Cluster,
        addresses: Vec::new(),
    };
    let mut kernel = Kernel::open(KernelConfig {
        bpffs: bpffs.into(),
        interfaces: vec![interface],
        sizes: TableSizes::small(),
        xdp: XdpMode::Auto,
        tc: TcMode::Auto,
        timeouts: dataplane::Timeouts::default(),
    })
    .unwrap();
    activate(&mut kernel, 7, &deny_all());
    println!("ready to be killed");
    loop {
        std::thread::park();
    }
}

/// Starts the child, waits until it enforces, and kills it.
fn killed_child(lab: &Lab, mut child: Command) {
    let arguments = ["--exact", "outlive::child_that_is_killed", "--nocapture"];
    let mut child = child.args(arguments).env(CHILD, &lab.bpffs).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.contains("ready to be killed")));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What the unit of systemd gives.
const CAPABILITIES: &str = "-all,+bpf,+net_admin,+perfmon";

#[test]
fn three_capabilities_are_enough() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    // The first builds, the second takes over.
    for _ in 0..2 {
        let mut child = Command::new("setpriv");
        for set in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
            child.arg(format!("{set}={CAPABILITIES}"));
        }
        child.arg(std::env::current_exe().unwrap());
        killed_child(&lab, child);
        assert!(silent(THERE_V4));
    }
    let mut kernel = lab::open(&lab);
    let hooks = kernel.check_hooks().unwrap();
    let attachments: Vec<_> = hooks.iter().map(|hook| (hook.attachment, hook.state.clone())).collect();
    let here = HookState::Attached;
    assert_eq!(attachments, [(Attachment::XdpNative, here.clone()), (lab::traffic_control(), here)]);
    assert_eq!(kernel.active().unwrap().generation, 2);
}

#[test]
fn g13_enforcement_survives_sigkill() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    killed_child(&lab, Command::new(std::env::current_exe().unwrap()));
    assert!(silent(THERE_V4));
    let mut kernel = lab::open(&lab);
    assert_eq!(kernel.active().unwrap().revision, 7);
    assert!(silent(THERE_V4));
    activate(&mut kernel, 8, &Image::empty_allow());
    assert!(answers(THERE_V4));
}

#[test]
fn g13_larger_tables_are_built_beside_and_exchanged_by_the_next_activation() {
    larger_tables_take_over(XdpMode::Auto, TcMode::Auto);
}

/// Filters of clsact have no pins, and enforce all the same: an exchange that looked at pins alone put empty tables in their place.
#[test]
fn g13_larger_tables_under_clsact_are_exchanged_by_the_next_activation_too() {
    larger_tables_take_over(XdpMode::Off, TcMode::Clsact);
}

fn larger_tables_take_over(xdp: XdpMode, tc: TcMode) {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = Kernel::open(lab::config(&lab, xdp, tc)).unwrap();
    activate(&mut kernel, 1, &deny_all());
    activate(&mut kernel, 2, &deny_all());
    drop(kernel);
    let mut kernel = Kernel::open(larger(&lab, xdp, tc)).unwrap();
    assert!(kernel.is_waiting() && kernel.enforces() && kernel.active().is_none());
    assert!(silent(THERE_V4), "the old programs go on");
    activate(&mut kernel, 3, &deny_all());
    assert!(!kernel.is_waiting());
    assert_eq!(kernel.active().unwrap().generation, 3, "they go only forward (G6)");
    assert!(silent(THERE_V4));
    activate(&mut kernel, 4, &Image::empty_allow());
    assert!(answers(THERE_V4));
    assert_eq!(std::fs::read_dir(lab.bpffs.join("hedgerow/maps")).unwrap().count(), 1);
    kernel.detach_all().unwrap();
}

fn larger(lab: &Lab, xdp: XdpMode, tc: TcMode) -> KernelConfig {
    let sizes = TableSizes { flows: 8_192, ..TableSizes::small() };
    KernelConfig { sizes, ..lab::config(lab, xdp, tc) }
}

/// What is enforced without pins goes when it is told to, also while the successor has no policy yet.
#[test]
fn what_waits_to_be_exchanged_under_clsact_is_detached_with_the_rest() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let (xdp, tc) = (XdpMode::Off, TcMode::Clsact);
    let mut kernel = Kernel::open(lab::config(&lab, xdp, tc)).unwrap();
    activate(&mut kernel, 1, &deny_all());
    drop(kernel);
    let kernel = Kernel::open(larger(&lab, xdp, tc)).unwrap();
    assert!(kernel.is_waiting() && silent(THERE_V4));
    kernel.detach_all().unwrap();
    assert!(answers(THERE_V4));
    // Nothing is left that would be waited for.
    let mut kernel = Kernel::open(lab::config(&lab, xdp, tc)).unwrap();
    assert!(!kernel.is_waiting() && !kernel.enforces());
    activate(&mut kernel, 1, &deny_all());
    assert_eq!(kernel.active().unwrap().generation, 1);
    kernel.detach_all().unwrap();
}

#[test]
fn g13_killed_while_tables_are_exchanged_under_clsact_it_goes_on_enforcing() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let task = |layout, failpoint| Task {
        layout,
        xdp: XdpMode::Off,
        tc: TcMode::Clsact,
        revisions: layout..layout + 1,
        failpoint,
    };
    let exchange = |layout| {
        let config = task(layout, None).config(&lab);
        let mut kernel = Kernel::open(config.clone()).unwrap();
        assert!(kernel.enforces() || layout == 1, "revision {layout} begins with nothing");
        flip(&mut kernel, &guards(&config.interfaces)[0], &config.interfaces, layout)
    };
    let mut generation = exchange(1).generation;
    let streams = Streams::begin(&lab);
    let steps = ["loaded", "filled", "flipped", "link-updated", "interface-attached", "exchanged", "others-removed"];
    for (layout, step) in (2..).zip(steps) {
        let status = Flipping::begin(&lab, &task(layout, Some(step))).ends();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{step} was never reached: {status}");
        assert_eq!(streams.damage(), [0; 4], "killed at {step}");
        let active = exchange(layout);
        assert!(active.generation > generation, "{step}: {active:?} after {generation}");
        assert_eq!(streams.damage(), [0; 4], "taken over after {step}");
        generation = active.generation;
    }
    assert!(streams.end() > 0);
}

#[test]
fn g6_a_stale_preparation_is_refused() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = lab::open(&lab);
    let one = kernel.prepare(1, &Image::empty_allow(), &[]).unwrap();
    let other = kernel.prepare(2, &deny_all(), &[]).unwrap();
    assert!(kernel.activate(one).is_err());
    kernel.activate(other.clone()).unwrap();
    assert!(kernel.activate(other).is_err());
    assert_eq!(kernel.active().unwrap().revision, 2);
}
