//! A data path in a process of its own, which flips revisions until it is killed.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

use dataplane::{Active, Enforcer, Kernel, KernelConfig, TableSizes, TcMode, Timeouts, XdpMode};
use identity::Role;
use policy::{Guard, LocalInterface, obligations};

use crate::{
    guard::{guard_of, member},
    lab::{HERE, HERE_V4, HERE_V6, Lab, THERE_V4, THERE_V6, ifindex},
    streams::image,
};

const BPFFS: &str = "HEDGEROW_TEST_CHILD_BPFFS";
const LAYOUT: &str = "HEDGEROW_TEST_CHILD_LAYOUT";
const XDP: &str = "HEDGEROW_TEST_CHILD_XDP";
const CLSACT: &str = "HEDGEROW_TEST_CHILD_CLSACT";
const REVISIONS: &str = "HEDGEROW_TEST_CHILD_REVISIONS";
const FAILPOINT: &str = "HEDGEROW_FAILPOINT";
const FLIPPED: &str = "flipped";

/// What a child is asked to do.
#[derive(Clone)]
pub(crate) struct Task {
    /// Of the tables: each next number is another one, with flows that are shared or copied in turn.
    pub(crate) layout: u64,
    pub(crate) xdp: XdpMode,
    pub(crate) tc: TcMode,
    /// From the first to one before the last.
    pub(crate) revisions: std::ops::Range<u64>,
    pub(crate) failpoint: Option<&'static str>,
}

/// Tables of a number.
pub(crate) fn sizes(layout: u64) -> TableSizes {
    let mut sizes = TableSizes::small();
    match layout % 3 {
        0 => {}
        1 => sizes.image.rules_max /= 2,
        _ => sizes.flows *= 2,
    }
    sizes
}

impl Task {
    pub(crate) fn config(&self, lab: &Lab) -> KernelConfig {
        config(&lab.bpffs, self.layout, self.xdp, self.tc)
    }
}

/// The configuration of a task.
pub(crate) fn config(bpffs: &std::path::Path, layout: u64, xdp: XdpMode, tc: TcMode) -> KernelConfig {
    let addresses = [format!("{HERE_V4}/24"), format!("{HERE_V6}/64")].iter().map(|net| net.parse().unwrap()).collect();
    KernelConfig {
        bpffs: bpffs.to_owned(),
        interfaces: vec![LocalInterface {
            name: HERE.to_owned(),
            ifindex: ifindex(HERE),
            role: Role::Cluster,
            addresses,
        }],
        sizes: sizes(layout),
        xdp,
        tc,
        timeouts: Timeouts::default(),
    }
}

/// Of the two members, and of these and a third.
pub(crate) fn guards(interfaces: &[LocalInterface]) -> [Guard; 2] {
    let two = [member(1, &[HERE_V4, HERE_V6]), member(2, &[THERE_V4, THERE_V6])];
    let three = [&two[..], &[member(3, &["10.77.0.3", "fd77::3"])]].concat();
    [guard_of(interfaces, &two), guard_of(interfaces, &three)]
}

/// Makes a revision the live one.
pub(crate) fn flip(kernel: &mut Kernel, guard: &Guard, interfaces: &[LocalInterface], revision: u64) -> Active {
    kernel.set_guard(guard).unwrap();
    let prepared = kernel.prepare(revision, &image(revision % 2), &obligations(guard, interfaces)).unwrap();
    kernel.activate(prepared).unwrap()
}

/// Not a test of its own: the process that is killed.
#[test]
fn child_that_flips() {
    let Some(bpffs) = std::env::var_os(BPFFS) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let xdp = if std::env::var_os(XDP).is_some() { XdpMode::Auto } else { XdpMode::Off };
    let tc = if std::env::var_os(CLSACT).is_some() { TcMode::Clsact } else { TcMode::Auto };
    let config = config(bpffs.as_ref(), number(LAYOUT), xdp, tc);
    let interfaces = config.interfaces.clone();
    let mut kernel = Kernel::open(config).unwrap();
    let guards = guards(&interfaces);
    let revisions = std::env::var(REVISIONS).unwrap();
    let (first, last) = revisions.split_once('-').unwrap();
    let mut told = std::io::stdout();
    for revision in first.parse::<u64>().unwrap()..last.parse().unwrap() {
        flip(&mut kernel, &guards[usize::try_from(revision % 2).unwrap()], &interfaces, revision);
        kernel.check_hooks().unwrap();
        writeln!(told, "{FLIPPED} {revision}").unwrap();
    }
}

/// A child that runs.
pub(crate) struct Flipping {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Flipping {
    pub(crate) fn begin(lab: &Lab, task: &Task) -> Flipping {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child::child_that_flips", "--nocapture"]);
        command.env(BPFFS, &lab.bpffs).env(LAYOUT, task.layout.to_string());
        command.env(REVISIONS, format!("{}-{}", task.revisions.start, task.revisions.end));
        if task.xdp == XdpMode::Auto {
            command.env(XDP, "1");
        }
        if task.tc == TcMode::Clsact {
            command.env(CLSACT, "1");
        }
        if let Some(name) = task.failpoint {
            command.env(FAILPOINT, name);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Flipping { process, lines }
    }

    /// The next revision that it has made live.
    pub(crate) fn next_flip(&mut self) -> Option<u64> {
        let flipped = |line: String| line.split_once(FLIPPED)?.1.trim().parse().ok();
        self.lines.by_ref().map_while(Result::ok).find_map(flipped)
    }

    /// Lets it go on until it ends, and says how.
    pub(crate) fn ends(mut self) -> ExitStatus {
        while self.next_flip().is_some() {}
        self.process.wait().unwrap()
    }

    /// Ends it as a machine without mercy would.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
