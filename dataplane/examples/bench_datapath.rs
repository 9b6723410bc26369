//! Nanoseconds per packet of the programs, by test run in the kernel, beside floors and references, in one run: everything is measured
//! in turn, several times, and the median counts. `cargo xtask bench datapath` runs it; it needs root.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

mod support;

use std::{collections::BTreeSet, net::IpAddr};

use dataplane::{
    Enforcer, Kernel, KernelConfig, TableSizes, TcMode, Timeouts, XdpMode,
    testing::{BULK_MAX, Bench, frame_of},
};
use policy::{Direction, Flow, Guard, GuardEntry, PortMatch, sample::SplitMix64};
use support::{Prefixes, World, median};

const ROUNDS: usize = 9;
/// Runs of a program on one frame for one figure.
const REPEAT: u32 = 300_000;
/// Tuples in a loop with random addresses; about as many as fit no cache.
const TUPLES: usize = 10_000;
/// Loops for one figure.
const LOOPS: u32 = 15;
const COUNTS: [usize; 3] = [10, 1_000, 100_000];

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

/// Figures of one number of prefixes.
struct Row {
    prefixes: usize,
    empty: f64,
    parse: f64,
    classify: f64,
    whole: f64,
    reference: f64,
    random_classify: f64,
    random_reference: f64,
}

fn measure(prefixes: usize) -> Row {
    let world = World::new();
    let mut kernel = open(&world);
    let mut random = SplitMix64::new(7);
    let networks = Prefixes::random(prefixes, &mut random);
    let image = networks.image();
    println!(
        "  {prefixes} prefixes: {} classes, image of {} KiB",
        image.tables.elements(policy::TableId::Classes),
        image.tables.bytes() / 1024
    );
    let prepared = kernel.prepare(1, &image, &[]).unwrap_or_else(|error| panic!("{error}"));
    let active = kernel.activate(prepared).unwrap_or_else(|error| panic!("{error}"));
    let mut bench = Bench::open(&kernel).unwrap_or_else(|error| panic!("{error}"));
    let (lpm, allowed) = networks.reference();
    bench.set_reference(&lpm, &allowed).unwrap_or_else(|error| panic!("{error}"));
    let frame = frame_of(&networks.allowed_flow(&image, &mut random), SYN);
    let flows: Vec<Flow> = (0..TUPLES.min(BULK_MAX)).map(|_| networks.flow(&mut random)).collect();
    bench.set_tuples(active.generation, &flows);
    let names = ["hr_empty", "hr_parse_only", "hr_parse_classify", "live", "hr_parse_reference"];
    let loops = ["hr_loop_nothing", "hr_loop_classify", "hr_loop_reference"];
    let mut hot = vec![Vec::new(); names.len()];
    let mut cold = vec![Vec::new(); loops.len()];
    for _ in 0..ROUNDS {
        for (figure, name) in hot.iter_mut().zip(names) {
            let run = if name == "live" { kernel.time_live(&frame, REPEAT) } else { bench.time(name, &frame, REPEAT) };
            figure.push(run.unwrap_or_else(|error| panic!("{error}")).0 as f64);
        }
        for (figure, name) in cold.iter_mut().zip(loops) {
            let run = bench.time(name, &frame, LOOPS).unwrap_or_else(|error| panic!("{error}"));
            figure.push(run.0 as f64 / flows.len() as f64);
        }
    }
    let [empty, parse, classify, whole, reference] = hot.map_all();
    let [_, random_classify, random_reference] = cold.map_all();
    Row { prefixes, empty, parse, classify, whole, reference, random_classify, random_reference }
}

trait MapAll<const N: usize> {
    fn map_all(self) -> [f64; N];
}

impl<const N: usize> MapAll<N> for Vec<Vec<f64>> {
    fn map_all(self) -> [f64; N] {
        let medians: Vec<f64> = self.into_iter().map(median).collect();
        medians.try_into().expect("as many figures as programs")
    }
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Guard and state, which do not depend on the number of prefixes.
struct Beside {
    parse: f64,
    guard_miss: f64,
    guard_hit: f64,
    hash_hit: f64,
    flow: f64,
    established: f64,
}

fn beside() -> Beside {
    let world = World::new();
    let mut kernel = open(&world);
    let mut image = policy::Image::empty_allow();
    // Deny everything, but by the entry of a flow that a first revision lets out.
    let allow = kernel.prepare(1, &image, &[]).unwrap_or_else(|error| panic!("{error}"));
    kernel.activate(allow).unwrap_or_else(|error| panic!("{error}"));
    let request = Flow { src: addr("10.0.0.1"), dst: addr("10.0.0.2"), protocol: 6, src_port: 40_000, dst_port: 443 };
    image.tables.verdicts[0] &= !policy::image::FLAG_TRIAL_ALLOW;
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
    let guard = Guard { interfaces: BTreeSet::from([1]), entries: BTreeSet::from([entry]), ..Guard::default() };
    kernel.set_guard(&guard).unwrap_or_else(|error| panic!("{error}"));
    let observed = kernel.prepare(2, &image, &[]).unwrap_or_else(|error| panic!("{error}"));
    kernel.activate(observed).unwrap_or_else(|error| panic!("{error}"));
    // Observed: an entry is made although everything is allowed.
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
    ];
    let mut figures = vec![Vec::new(); runs.len()];
    for _ in 0..ROUNDS {
        for (figure, (name, frame)) in figures.iter_mut().zip(runs) {
            let run = if name == "live" { kernel.time_live(frame, REPEAT) } else { bench.time(name, frame, REPEAT) };
            figure.push(run.unwrap_or_else(|error| panic!("{error}")).0 as f64);
        }
    }
    let reasons = kernel.counters().unwrap_or_else(|error| panic!("{error}"));
    let established = reasons.reason(Direction::Ingress, dataplane::Reason::Established).packets;
    assert!(established > 0, "the answer did not go by its entry");
    let [parse, guard_miss, guard_hit, hash_hit, flow, established] = figures.map_all();
    Beside { parse, guard_miss, guard_hit, hash_hit, flow, established }
}

/// One line with a target; what misses it is marked.
fn verdict(what: &str, value: f64, unit: &str, target: f64) {
    let mark = if value <= target { "ok" } else { "MISSED" };
    println!("  {what:<62} {value:>8.2} {unit:<3} (target <= {target}{unit})  {mark}");
}

fn main() {
    println!("nanoseconds per packet by test run; {ROUNDS} rounds in turn, medians");
    let rows: Vec<Row> = COUNTS.into_iter().map(measure).collect();
    println!("\none packet again and again (caches hot)");
    println!("  prefixes     empty     parse  +classify  whole program  parse + 2 LPM + hash");
    for row in &rows {
        println!(
            "  {:>8} {:>9.1} {:>9.1} {:>10.1} {:>14.1} {:>21.1}",
            row.prefixes, row.empty, row.parse, row.classify, row.whole, row.reference
        );
    }
    println!("\n{TUPLES} random addresses of the prefixes (loop included)");
    println!("  prefixes  classify  2 LPM + hash   ratio");
    for row in &rows {
        let ratio = row.random_reference / row.random_classify;
        println!("  {:>8} {:>9.1} {:>13.1} {ratio:>7.1}", row.prefixes, row.random_classify, row.random_reference);
    }
    let beside = beside();
    println!("\nguard and state");
    println!(
        "  parse {:.1}, guard, not a sync flow {:.1}, guard, sync flow {:.1}, hash look-up {:.1}",
        beside.parse, beside.guard_miss, beside.guard_hit, beside.hash_hit
    );
    println!(
        "  LRU-hash look-up of a flow {:.1}, established reply, whole program {:.1}",
        beside.flow, beside.established
    );
    println!("\ntargets");
    for row in &rows {
        verdict(
            &format!("classification above parse at {} prefixes", row.prefixes),
            row.classify - row.parse,
            "ns",
            10.0,
        );
    }
    let above: Vec<f64> = rows.iter().map(|row| row.classify).collect();
    let flat = above.iter().copied().fold(f64::MIN, f64::max) / above.iter().copied().fold(f64::MAX, f64::min);
    verdict("flatness: slowest over fastest", flat, "x", 1.3);
    let last = &rows[rows.len() - 1];
    verdict(
        "random addresses, 100,000 prefixes: ours over 2 LPM + hash",
        last.random_classify / last.random_reference,
        "x",
        0.2,
    );
    verdict("established reply over LRU-hash look-up", beside.established / beside.flow, "x", 1.3);
    verdict("guard, packet that is no sync flow, above parse", beside.guard_miss - beside.parse, "ns", 10.0);
    verdict("guard, sync flow, over a hash look-up", beside.guard_hit / beside.hash_hit, "x", 1.3);
}
