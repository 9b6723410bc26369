//! Nanoseconds per packet of the programs, by test run in the kernel, beside floors and references, in one run: everything is measured
//! in turn, several times, and the middle half counts. Where the kernel puts a program makes a nanosecond or two, so what has to be
//! told so exactly is loaded several times. `cargo xtask bench datapath` runs it; it needs root.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

#[path = "peers/middle.rs"]
mod middle;
mod support;
#[path = "peers/targets.rs"]
mod targets;

use std::{collections::BTreeSet, net::IpAddr, process::ExitCode};

use dataplane::{
    Enforcer, Kernel, KernelConfig, TableSizes, TcMode, Timeouts, XdpMode,
    testing::{BULK_MAX, Bench, frame_of},
};
use middle::middle;
use policy::{Direction, Flow, Guard, GuardEntry, Image, PortMatch, sample::SplitMix64};
use support::{Prefixes, World, compiled};
use targets::Targets;

const ROUNDS: usize = 9;
/// Times that the programs of a number of prefixes are loaded.
const LOADS: usize = 3;
/// Runs of a program on one frame for one figure.
const REPEAT: u32 = 300_000;
/// Tuples in a loop with random addresses; about as many as fit no cache.
const TUPLES: usize = 10_000;
/// Loops for one figure.
const LOOPS: u32 = 15;
const COUNTS: [usize; 3] = [10, 1_000, 100_000];

/// What cannot be told from nothing: the kernel counts whole nanoseconds.
const NOTHING_NS: f64 = 1.0;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn open(world: &World) -> Kernel {
    Kernel::open(KernelConfig {
        bpffs: world.bpffs.clone(),
        interfaces: Vec::new(),
        sizes: TableSizes::default(),
        xdp: XdpMode::Auto,
        tc: TcMode::Auto,
        timeouts: Timeouts::default(),
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

/// The figures of one program, a round each.
type Figures = Vec<f64>;

/// Measures programs on frames in turn, round after round, so that what compares two of them compares neighbours in time.
fn rounds<const N: usize>(mut one: impl FnMut(usize) -> f64) -> [Figures; N] {
    let mut figures = std::array::from_fn(|_| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        for (index, figure) in figures.iter_mut().enumerate() {
            figure.push(one(index));
        }
    }
    figures
}

/// What the rounds say of two programs.
fn compared(one: &[f64], other: &[f64], of: impl Fn(f64, f64) -> f64) -> f64 {
    middle(&one.iter().zip(other).map(|(one, other)| of(*one, *other)).collect::<Figures>())
}

fn ratio(one: &[f64], other: &[f64]) -> f64 {
    compared(one, other, |one, other| one / other)
}

fn excess(one: &[f64], other: &[f64]) -> f64 {
    compared(one, other, |one, other| one - other)
}

/// Figures of one number of prefixes.
struct Row {
    prefixes: usize,
    measured: Measured,
}

/// What is measured with one load, or with several one after another.
#[derive(Default)]
struct Measured {
    /// Empty, parse, classify, whole program, reference.
    hot: [Figures; 5],
    /// Nothing, classify, reference.
    random: [Figures; 3],
}

impl Measured {
    fn append(&mut self, load: Measured) {
        let more = load.hot.into_iter().chain(load.random);
        self.hot.iter_mut().chain(&mut self.random).zip(more).for_each(|(all, more)| all.extend(more));
    }
}

fn row(prefixes: usize) -> Row {
    let networks = Prefixes::random(prefixes, &mut SplitMix64::new(7));
    let image = networks.image();
    println!(
        "  {prefixes} prefixes: {} classes, image of {} KiB",
        image.tables.elements(policy::TableId::Classes),
        image.tables.bytes() / 1024
    );
    let mut measured = Measured::default();
    (0..LOADS).for_each(|_| measured.append(measure(&networks, &image)));
    Row { prefixes, measured }
}

fn measure(networks: &Prefixes, image: &Image) -> Measured {
    let world = World::new();
    let mut kernel = open(&world);
    let mut random = SplitMix64::new(8);
    let prepared = kernel.prepare(1, image, &[]).unwrap_or_else(|error| panic!("{error}"));
    let active = kernel.activate(prepared).unwrap_or_else(|error| panic!("{error}"));
    let mut bench = Bench::open(&kernel).unwrap_or_else(|error| panic!("{error}"));
    let (lpm, allowed) = networks.reference();
    bench.set_reference(&lpm, &allowed).unwrap_or_else(|error| panic!("{error}"));
    let frame = frame_of(&networks.allowed_flow(image, &mut random), SYN);
    let flows: Vec<Flow> = (0..TUPLES.min(BULK_MAX)).map(|_| networks.flow(&mut random)).collect();
    bench.set_tuples(active.generation, &flows);
    let programs = ["hr_empty", "hr_parse_only", "hr_parse_classify", "live", "hr_parse_reference"];
    let loops = ["hr_loop_nothing", "hr_loop_classify", "hr_loop_reference"];
    Measured {
        hot: rounds(|index| time(&kernel, &bench, programs[index], &frame, REPEAT)),
        random: rounds(|index| time(&kernel, &bench, loops[index], &frame, LOOPS) / flows.len() as f64),
    }
}

fn time(kernel: &Kernel, bench: &Bench, program: &str, frame: &[u8], repeat: u32) -> f64 {
    let run = if program == "live" { kernel.time_live(frame, repeat) } else { bench.time(program, frame, repeat) };
    run.unwrap_or_else(|error| panic!("{error}")).0 as f64
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// An address that may open connections, and to which nobody may open one.
const CLIENT_ONLY: &str = "
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: client}
spec: {role: backend, addresses: [10.0.0.1]}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: client}
spec:
  tier: application
  appliesTo: {segment: client}
  ingress: []
  egress: [{name: out, action: allow}]
";

/// Guard and state, which do not depend on the number of prefixes: parse, guard without and with a hit, hash look-up, LRU-hash look-up
/// of a flow, the whole program on an established reply; the same with a guard of another interface, and with none.
type Beside = [Figures; 8];

fn beside() -> Beside {
    let world = World::new();
    let mut kernel = open(&world);
    let request = Flow { src: addr("10.0.0.1"), dst: addr("10.0.0.2"), protocol: 6, src_port: 40_000, dst_port: 443 };
    let sync = Flow { src: addr("10.77.0.2"), dst: addr("10.77.0.1"), protocol: 17, src_port: 7_400, dst_port: 7_400 };
    // Test runs of XDP arrive at the loopback device.
    let entry = GuardEntry {
        ifindex: 1,
        direction: Direction::Ingress,
        protocol: 17,
        matching: PortMatch::Dst(7_400),
        src: sync.src,
        dst: sync.dst,
        ttl: None,
    };
    let guard = |ifindex| Guard {
        interfaces: BTreeSet::from([ifindex]),
        entries: BTreeSet::from([GuardEntry { ifindex, ..entry }]),
        ..Guard::default()
    };
    let [here, elsewhere, none] = [guard(1), guard(2), Guard::default()];
    kernel.set_guard(&here).unwrap_or_else(|error| panic!("{error}"));
    let prepared = kernel.prepare(1, &compiled(CLIENT_ONLY), &[]).unwrap_or_else(|error| panic!("{error}"));
    kernel.activate(prepared).unwrap_or_else(|error| panic!("{error}"));
    // Its answers are denied but for the entry that this one makes.
    kernel.time_live_egress(&frame_of(&request, SYN), 1).unwrap_or_else(|error| panic!("{error}"));
    let bench = Bench::open(&kernel).unwrap_or_else(|error| panic!("{error}"));
    let (answer, sync) = (frame_of(&request.reverse(), ACK), frame_of(&sync, 0));
    let runs = [
        ("hr_parse_only", &answer),
        ("hr_parse_guard", &answer),
        ("hr_parse_guard", &sync),
        ("hr_parse_hash", &sync),
        ("hr_parse_flow", &answer),
        ("live", &answer),
        ("live", &answer),
        ("live", &answer),
    ];
    let figures = rounds(|index| {
        let guard = [&elsewhere, &none].into_iter().nth(index.wrapping_sub(6)).unwrap_or(&here);
        kernel.set_guard(guard).unwrap_or_else(|error| panic!("{error}"));
        time(&kernel, &bench, runs[index].0, runs[index].1, REPEAT)
    });
    let reasons = kernel.counters();
    let established = reasons.reason(Direction::Ingress, dataplane::Reason::Established).packets;
    assert!(established > 0, "the answer did not go by its entry");
    figures
}

fn main() -> ExitCode {
    println!(
        "nanoseconds per packet by test run; {ROUNDS} rounds in turn, by prefixes {LOADS} loads of them; middle half"
    );
    let rows: Vec<Row> = COUNTS.into_iter().map(row).collect();
    println!("\none packet again and again (caches hot)");
    println!("  prefixes     empty     parse  +classify  whole program  parse + 2 LPM + hash");
    for Row { prefixes, measured } in &rows {
        let [empty, parse, classify, whole, reference] = measured.hot.each_ref().map(|figures| middle(figures));
        println!("  {prefixes:>8} {empty:>9.1} {parse:>9.1} {classify:>10.1} {whole:>14.1} {reference:>21.1}");
    }
    println!("\n{TUPLES} random addresses of the prefixes (loop included)");
    println!("  prefixes  classify  2 LPM + hash   ratio");
    for Row { prefixes, measured: Measured { random: [_, ours, theirs], .. } } in &rows {
        let (one, other) = (middle(ours), middle(theirs));
        println!("  {prefixes:>8} {one:>9.1} {other:>13.1} {:>7.1}", ratio(theirs, ours));
    }
    let beside = beside();
    let [parse, miss, hit, hash, flow, established, elsewhere, unguarded] =
        beside.each_ref().map(|figures| middle(figures));
    println!("\nguard and state");
    println!(
        "  parse {parse:.1}; guard: no sync flow {miss:.1}, sync flow {hit:.1}; look-up in a hash of its size {hash:.1}"
    );
    println!("  look-up of a flow in an LRU hash {flow:.1}; established reply, whole program {established:.1}");
    println!("  with a guard of another interface {elsewhere:.1}, without any guard {unguarded:.1}");
    println!("\ntargets, from comparisons within a round");
    compare(&rows, &beside).exit()
}

fn compare(rows: &[Row], [parse, miss, hit, hash, flow, established, elsewhere, unguarded]: &Beside) -> Targets {
    let mut targets = Targets::default();
    for Row { prefixes, measured: Measured { hot: [_, parse, classify, ..], .. } } in rows {
        targets.at_most(
            &format!("classification above parse at {prefixes} prefixes"),
            excess(classify, parse),
            "ns",
            10.0,
        );
    }
    let costs: Vec<f64> = rows.iter().map(|row| ratio(&row.measured.hot[2], &row.measured.hot[1])).collect();
    let (most, least) =
        (costs.iter().copied().fold(f64::MIN, f64::max), costs.iter().copied().fold(f64::MAX, f64::min));
    targets.at_most("flatness: classification over parse, slowest over fastest", most / least, "x", 1.3);
    let [_, ours, theirs] = &rows[rows.len() - 1].measured.random;
    targets.at_most("random addresses, 100,000 prefixes: ours over 2 LPM + hash", ratio(ours, theirs), "x", 0.2);
    targets.at_most("established reply over a look-up in an LRU hash", ratio(established, flow), "x", 1.3);
    targets.at_most("guard, packet that is no sync flow, above parse", excess(miss, parse), "ns", 10.0);
    targets.at_most("guard, sync flow, over a look-up in a hash", ratio(hit, hash), "x", 1.3);
    let above = excess(elsewhere, unguarded);
    targets.at_most("guard of another interface, above none", above, "ns", NOTHING_NS);
    targets
}
