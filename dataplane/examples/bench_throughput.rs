//! What a packet costs that arrives at one end of a veth pair, dropped or passed by Hedgerow, by nftables and by programs that do
//! nothing else: each on a pair of its own, the same frames, in turn, several times, and the middle half counts. Where the kernel puts
//! a program makes a nanosecond or two, so everything is loaded several times.
//! `cargo xtask bench throughput` runs it; it needs root and nft.
//!
//! Frames are injected by the kernel at the other end. What passes ends in the IP layer, for it is addressed to another host: the
//! shortest way there is, so that nothing hides what a filter costs. Figures include the injection, which is the same for all.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

#[path = "peers/guarded.rs"]
mod guarded;
#[path = "peers/inject.rs"]
mod inject;
#[path = "peers/middle.rs"]
mod middle;
#[path = "peers/rules.rs"]
mod rules;
#[path = "peers/targets.rs"]
mod targets;
#[path = "peers/world.rs"]
mod world;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::fd::OwnedFd,
    path::Path,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use dataplane::{XdpMode, testing::frame_of};
use guarded::Guarded;
use inject::{Answer, attach, load, receive_offload_on, send};
use middle::middle;
use policy::{CompileLimits, Flow, compile};
use rules::{Form, Rules};
use targets::Targets;
use world::{median, run, veth};

const ROUNDS: usize = 11;
/// Times that everything is loaded.
const LOADS: usize = 3;
const SIZES: [usize; 3] = [10, 1_000, 10_000];
/// The time that one figure may take, and the packets that it takes at most and at least.
const FIGURE_NS: f64 = 50e6;
const PACKETS_MAX: f64 = 150_000.0;
const PACKETS_MIN: f64 = 256.0;
/// Packets by which it is seen whether a filter passes them, and how many fit the time.
const PROBES: u32 = 64;
/// Frames that the kernel injects between two turns of the receiver; fewer where one takes long, for beyond 2 ms a turn is ended.
const BATCH: u32 = 64;
const BATCH_SLOW: u32 = 4;
const SLOW_NS: f64 = 10_000.0;
/// Longest wait until what was injected has been received.
const DRAIN: Duration = Duration::from_millis(500);
/// Times that something is measured until no frame is lost.
const TRIES: usize = 10;

/// Runs for one figure of the program alone.
const RUNS: u32 = 100_000;

const SYN: u8 = 0x02;
/// Where packets are addressed to; nobody's.
const SERVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// No rule speaks of it.
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

/// What filters a pair.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    Nothing,
    Program(Answer),
    Hedgerow(XdpMode, usize),
    Nftables(Form, usize),
}

impl Filter {
    /// What is compared stands together.
    fn all() -> Vec<Filter> {
        let mut all = vec![Filter::Nothing];
        all.extend([Answer::XdpDrop, Answer::XdpPass].map(Filter::Program));
        all.extend(SIZES.map(|count| Filter::Hedgerow(XdpMode::Native, count)));
        all.extend([Answer::TcxNext, Answer::TcxPass].map(Filter::Program));
        all.push(Filter::Hedgerow(XdpMode::Off, SIZES[2]));
        for form in [Form::Hash, Form::Intervals, Form::Linear] {
            all.extend(SIZES.map(|count| Filter::Nftables(form, count)));
        }
        all
    }

    fn name(self) -> String {
        match self {
            Filter::Nothing => "no filter".to_owned(),
            Filter::Program(Answer::XdpDrop) => "XDP program that drops".to_owned(),
            Filter::Program(Answer::TcxPass) => "TCX program that passes".to_owned(),
            Filter::Program(Answer::TcxNext) => "TCX program that hands on".to_owned(),
            Filter::Program(_) => "XDP program that passes".to_owned(),
            Filter::Hedgerow(XdpMode::Off, count) => format!("Hedgerow by TCX, {count} rules"),
            Filter::Hedgerow(_, count) => format!("Hedgerow by XDP, {count} rules"),
            Filter::Nftables(Form::Linear, count) => format!("nftables, {count} rules"),
            Filter::Nftables(Form::Hash, count) => format!("nftables, verdict map, hash, {count}"),
            Filter::Nftables(Form::Intervals, count) => format!("nftables, verdict map, intervals, {count}"),
        }
    }

    /// Whether it is measured with packets that are to pass, or to be dropped.
    fn takes(self, pass: bool) -> bool {
        match self {
            Filter::Nothing | Filter::Program(Answer::XdpPass | Answer::TcxPass | Answer::TcxNext) => pass,
            Filter::Program(_) => !pass,
            Filter::Hedgerow(..) | Filter::Nftables(..) => true,
        }
    }

    fn rules(self) -> usize {
        match self {
            Filter::Hedgerow(_, count) | Filter::Nftables(_, count) => count,
            _ => SIZES[0],
        }
    }
}

/// What keeps a filter attached.
enum Attached {
    Nothing,
    Link { _link: OwnedFd },
    Hedgerow { ours: Box<Guarded> },
}

/// A filter on a pair of its own.
struct Pair {
    filter: Filter,
    far: String,
    near: u32,
    rules: Rules,
    attached: Attached,
}

impl Pair {
    fn make(name: &str, filter: Filter, bpffs: &Path) -> Pair {
        let (near, far) = (format!("near{name}"), format!("far{name}"));
        let (near_index, far_index) = veth(&near, &far);
        receive_offload_on(&far);
        let rules = Rules::random(filter.rules(), 1);
        let attached = match filter {
            Filter::Nothing => Attached::Nothing,
            Filter::Program(answer) => Attached::Link { _link: attach(answer, far_index) },
            Filter::Hedgerow(mode, _) => {
                let image = compile(&rules.model(), &[], &CompileLimits::default());
                let mut kernel = Guarded::open(bpffs, &far, far_index, mode);
                kernel.replace(&image.unwrap_or_else(|error| panic!("{error}")));
                Attached::Hedgerow { ours: Box::new(kernel) }
            }
            Filter::Nftables(form, _) => {
                run("nft -f -", &rules.script(form, &far));
                Attached::Nothing
            }
        };
        Pair { filter, far, near: near_index, rules, attached }
    }

    /// Takes it down again, pins included.
    fn end(self, bpffs: &Path) {
        drop(self.attached);
        run(&format!("ip link del {}", self.far), "");
        let pins = bpffs.join(&self.far);
        if pins.exists() {
            fs::remove_dir_all(pins).expect("pins can be removed");
        }
    }

    /// A frame that is let in by the rule in the middle, or by none.
    fn frame(&self, pass: bool, to: [u8; 6]) -> Vec<u8> {
        let (host, dst_port) = self.rules.list[self.rules.list.len() / 2];
        let src = if pass { host } else { STRANGER };
        let (src, dst) = (IpAddr::V4(src), IpAddr::V4(SERVICE));
        let mut frame = frame_of(&Flow { src, dst, protocol: 6, src_port: 40_000, dst_port }, SYN);
        frame[..6].copy_from_slice(&to);
        frame
    }

    /// Sends, waits until all was received, and returns the nanoseconds for one. When the machine is busy the kernel may leave the
    /// receiver to a thread, and frames are lost in between: that is no figure, and it is tried again.
    fn send(&self, program: &OwnedFd, frame: &[u8], packets: u32, slow: bool) -> f64 {
        let tries = (0..TRIES).find_map(|_| self.try_send(program, frame, packets, slow));
        tries.unwrap_or_else(|| {
            panic!("{}: frames were lost {TRIES} times; the machine is too busy", self.filter.name())
        })
    }

    fn try_send(&self, program: &OwnedFd, frame: &[u8], packets: u32, slow: bool) -> Option<f64> {
        let before = received(&self.far);
        let batch = if slow { BATCH_SLOW } else { BATCH };
        let start = Instant::now();
        let each = send(program, self.near, frame, packets, batch);
        let sent = Instant::now();
        let mut late = 0.0;
        while received(&self.far) - before < u64::from(packets) {
            if sent.elapsed() > DRAIN {
                return None;
            }
            sleep(Duration::from_micros(100));
            late = start.elapsed().as_secs_f64() * 1e9 / f64::from(packets);
        }
        Some(each.max(late))
    }

    /// That the filter does what it is measured for: frames to this host are counted by its IP layer.
    fn check(&self, program: &OwnedFd, pass: bool) {
        let frame = self.frame(pass, mac(&self.far));
        let before = ip_received();
        self.send(program, &frame, PROBES, true);
        let passed = ip_received() - before;
        let expected = if pass { u64::from(PROBES) } else { 0 };
        assert_eq!(passed, expected, "{}: of {PROBES} packets", self.filter.name());
    }

    fn measure(&self, program: &OwnedFd, pass: bool) -> f64 {
        let frame = self.frame(pass, [0x02, 0, 0, 0, 0, 0x99]);
        let estimate = self.send(program, &frame, PROBES, true);
        let packets = (FIGURE_NS / estimate).clamp(PACKETS_MIN, PACKETS_MAX);
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        #[expect(clippy::cast_sign_loss, reason = "clamped")]
        let packets = packets as u32;
        self.send(program, &frame, packets, estimate > SLOW_NS)
    }

    /// Nanoseconds of Hedgerow's program alone, without a packet on its way; on another interface, which no guard knows.
    fn alone(&self, ours: &Guarded, pass: bool) -> f64 {
        let frame = self.frame(pass, [0x02, 0, 0, 0, 0, 0x99]);
        let runs = (0..ROUNDS).map(|_| ours.kernel.time_live(&frame, RUNS).unwrap_or_else(|error| panic!("{error}")));
        median(runs.map(|(ns, _)| ns as f64).collect())
    }

    /// A line on that.
    fn alone_by_xdp(&self) -> Option<String> {
        let (Filter::Hedgerow(XdpMode::Native, _), Attached::Hedgerow { ours }) = (self.filter, &self.attached) else {
            return None;
        };
        let [dropping, passing] = [false, true].map(|pass| self.alone(ours, pass));
        Some(format!("{}: by test run {dropping:.0} ns dropping, {passing:.0} ns passing", self.filter.name()))
    }
}

fn mac(interface: &str) -> [u8; 6] {
    let output = std::process::Command::new("ip").args(["-o", "link", "show", "dev", interface]).output();
    let text = String::from_utf8(output.expect("ip runs").stdout).expect("ip prints text");
    let after = text.split("link/ether ").nth(1).expect("an Ethernet address");
    let octets: Vec<u8> = after[..17].split(':').map(|two| u8::from_str_radix(two, 16).expect("hex")).collect();
    octets.try_into().expect("six octets")
}

/// Frames that an interface has received, dropped ones included.
fn received(interface: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/dev").expect("interfaces have counters");
    let line = text.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'));
    let words = line.expect("the interface is there").split_whitespace();
    words.skip(1).map(|word| word.parse().expect("a number")).next().expect("a counter")
}

/// Packets that the IP layer has taken.
fn ip_received() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").expect("IP has counters");
    let line = text.lines().filter(|line| line.starts_with("Ip:")).nth(1).expect("names, then counters");
    line.split_whitespace().nth(3).and_then(|word| word.parse().ok()).expect("InReceives")
}

/// The figures of one direction of verdict: nanoseconds, one a round.
struct Figures(Vec<(Filter, Vec<f64>)>);

impl Figures {
    fn empty(pass: bool) -> Figures {
        Figures(
            Filter::all().into_iter().filter(|filter| filter.takes(pass)).map(|filter| (filter, Vec::new())).collect(),
        )
    }

    fn push(&mut self, filter: Filter, ns: f64) {
        self.0.iter_mut().find(|(one, _)| *one == filter).expect("it is measured").1.push(ns);
    }

    fn all_of(&self, filter: Filter) -> &[f64] {
        &self.0.iter().find(|(one, _)| *one == filter).expect("it was measured").1
    }

    fn of(&self, filter: Filter) -> f64 {
        middle(self.all_of(filter))
    }

    /// What one costs over what another does, compared within each round: neighbours in time.
    fn ratio(&self, one: Filter, other: Filter) -> f64 {
        let rounds = self.all_of(one).iter().zip(self.all_of(other));
        middle(&rounds.map(|(one, other)| one / other).collect::<Vec<f64>>())
    }

    /// The dearest of Hedgerow by XDP over a program, over all numbers of rules.
    fn worst_over(&self, answer: Answer) -> f64 {
        let over = |count| self.ratio(Filter::Hedgerow(XdpMode::Native, count), Filter::Program(answer));
        SIZES.map(over).into_iter().fold(0.0, f64::max)
    }

    /// The best that nftables can do with so many rules.
    fn best_set(&self, count: usize) -> Filter {
        let [hash, intervals] = [Form::Hash, Form::Intervals].map(|form| Filter::Nftables(form, count));
        if self.of(hash) < self.of(intervals) { hash } else { intervals }
    }

    fn print(&self) {
        for (filter, times) in &self.0 {
            let ns = middle(times);
            println!("  {:<44} {ns:>10.1} ns {:>10.0} packets/s", filter.name(), 1e9 / ns);
        }
    }
}

fn compare(dropped: &Figures, passed: &Figures) -> Targets {
    let mut targets = Targets::default();
    println!("\ntargets, over all numbers of rules, from comparisons within a round");
    targets.at_most("dropping: Hedgerow over XDP that drops", dropped.worst_over(Answer::XdpDrop), "x", 1.1);
    for count in SIZES.into_iter().skip(1) {
        let ours = dropped.ratio(Filter::Hedgerow(XdpMode::Native, count), dropped.best_set(count));
        targets.at_most(&format!("dropping, {count} rules: Hedgerow over nftables' best set"), ours, "x", 0.5);
    }
    targets.at_most("passing: Hedgerow over XDP that passes", passed.worst_over(Answer::XdpPass), "x", 1.1);
    let by_tcx = |answer| passed.ratio(Filter::Hedgerow(XdpMode::Off, SIZES[2]), Filter::Program(answer));
    targets.at_most("passing: Hedgerow by TCX over TCX that passes", by_tcx(Answer::TcxPass), "x", 1.1);
    println!("\nbeside");
    let next = by_tcx(Answer::TcxNext);
    println!("  passing: Hedgerow by TCX over TCX that hands on to whoever is behind: {next:.3}");
    for count in SIZES {
        let ours = Filter::Hedgerow(XdpMode::Native, count);
        let linear = Filter::Nftables(Form::Linear, count);
        println!(
            "  {count} rules: Hedgerow is {:.1}x as fast as nftables' rules dropping, {:.1}x passing; {:.1}x its best set passing",
            dropped.ratio(linear, ours),
            passed.ratio(linear, ours),
            passed.ratio(passed.best_set(count), ours)
        );
    }
    targets
}

/// Makes a pair for every filter, and sees that each does what it is measured for.
fn pairs(load: usize, program: &OwnedFd, bpffs: &Path) -> Vec<Pair> {
    let filters = Filter::all().into_iter().enumerate();
    let pairs: Vec<Pair> =
        filters.map(|(number, filter)| Pair::make(&format!("{load}x{number}"), filter, bpffs)).collect();
    for pair in &pairs {
        [false, true].into_iter().filter(|pass| pair.filter.takes(*pass)).for_each(|pass| pair.check(program, pass));
    }
    pairs
}

fn main() -> ExitCode {
    let bpffs = world::enter();
    let program = load(Answer::XdpSend);
    let mut figures = [false, true].map(Figures::empty);
    let mut alone = Vec::new();
    for load in 0..LOADS {
        let pairs = pairs(load, &program, &bpffs);
        for pair in (0..ROUNDS).flat_map(|_| &pairs) {
            for pass in [false, true].into_iter().filter(|pass| pair.filter.takes(*pass)) {
                figures[usize::from(pass)].push(pair.filter, pair.measure(&program, pass));
            }
        }
        alone = pairs.iter().filter_map(Pair::alone_by_xdp).collect();
        pairs.into_iter().for_each(|pair| pair.end(&bpffs));
    }
    let [dropped, passed] = &figures;
    println!(
        "one packet on a veth pair, injection included, in turn, mean of the middle half of {ROUNDS} rounds of {LOADS} loads"
    );
    println!("\ndropped (TCP SYN from a host of which no rule speaks)");
    dropped.print();
    println!("\npassed (TCP SYN that the rule in the middle allows)");
    passed.print();
    let targets = compare(dropped, passed);
    alone.iter().for_each(|line| println!("  {line}"));
    targets.exit()
}
