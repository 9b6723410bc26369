//! What a change of the policy costs: compiling, replacing 10,000 rules in the kernel, and changing one of them, beside nftables
//! doing the same on the same kernel, in one run: each in turn, several times, and the median counts. `cargo xtask bench change`
//! runs it; it needs root and nft.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

#[path = "peers/guarded.rs"]
mod guarded;
#[path = "peers/rules.rs"]
mod rules;
#[path = "peers/targets.rs"]
mod targets;
#[path = "peers/world.rs"]
mod world;

use std::{process::ExitCode, time::Instant};

use dataplane::XdpMode;
use guarded::Guarded;
use policy::{CompileLimits, Image, Model, compile};
use rules::{Form, Rules, TABLE};
use targets::Targets;
use world::{median, run};

const ROUNDS: usize = 9;
const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// Rules that are replaced.
const MANY: usize = 10_000;
/// Milliseconds allowed for compiling so many rules.
const COMPILE_MS_MAX: [(usize, f64); 2] = [(10_000, 100.0), (100_000, 2_000.0)];

/// How many times the time tenfold rules may cost: ten, and what the caches no longer hold.
const GROWTH_MAX: f64 = 20.0;

const OURS: &str = "hr0";
const LINEAR: &str = "nft0";
const HASH: &str = "nft1";

/// Milliseconds that something takes.
fn time<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed().as_secs_f64() * 1e3, done)
}

/// Milliseconds of processor that this thread has had: what a quiet machine would need, when others are at work on this one.
fn processor_ms() -> f64 {
    let mut spent = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec into the one that lives here.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut spent) };
    assert_eq!(result, 0, "every thread has a clock");
    spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6
}

fn compiled(model: &Model) -> Image {
    compile(model, &[], &CompileLimits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Rules, milliseconds, milliseconds of processor.
fn compiling() -> Vec<(usize, f64, f64)> {
    println!("compiling, median of {ROUNDS}");
    println!("     rules         ms   processor ms   us a rule    image bytes  bytes a rule above the smallest");
    let models = SIZES.map(|count| Rules::random(count, 1).model());
    let mut times = vec![Vec::new(); SIZES.len()];
    let mut processor = times.clone();
    let mut bytes = [0; SIZES.len()];
    for _ in 0..ROUNDS {
        for (index, model) in models.iter().enumerate() {
            let before = processor_ms();
            let (spent, image) = time(|| compiled(model));
            processor[index].push(processor_ms() - before);
            times[index].push(spent);
            bytes[index] = image.tables.bytes();
        }
    }
    let medians = times.into_iter().zip(processor).map(|(ms, processor)| (median(ms), median(processor)));
    let rows: Vec<_> = SIZES.into_iter().zip(medians).map(|(count, (ms, processor))| (count, ms, processor)).collect();
    for ((count, ms, processor), bytes_now) in rows.iter().zip(bytes) {
        let (each, above) = (processor * 1e3 / *count as f64, (bytes_now - bytes[0]) as f64 / *count as f64);
        println!("  {count:>8} {ms:>10.2} {processor:>14.2} {each:>11.2} {bytes_now:>14} {above:>10.0}");
    }
    rows
}

/// Times of one way, in milliseconds, one a round.
#[derive(Default)]
struct Series(Vec<f64>);

impl Series {
    fn median(&self) -> f64 {
        median(self.0.clone())
    }
}

/// Replacing all the rules.
#[derive(Default)]
struct Replacing {
    compile: Series,
    load: Series,
    whole: Series,
    linear: Series,
    hash: Series,
    nothing: Series,
}

fn replacing(ours: &mut Guarded) -> Replacing {
    // Two lists in turn, so that everything differs each time.
    let lists = [Rules::random(MANY, 1), Rules::random(MANY, 2)];
    let models = [lists[0].model(), lists[1].model()];
    let mut result = Replacing::default();
    for round in 0..=ROUNDS {
        let (list, model) = (&lists[round % 2], &models[round % 2]);
        let (compile_ms, image) = time(|| compiled(model));
        let (load_ms, ()) = time(|| ours.replace(&image));
        let linear = list.script(Form::Linear, LINEAR);
        let (linear_ms, ()) = time(|| run("nft -f -", &linear));
        let hash = list.script(Form::Hash, HASH);
        let (hash_ms, ()) = time(|| run("nft -f -", &hash));
        let (nothing_ms, ()) = time(|| run("nft -f -", ""));
        // The first round fills what is empty: nothing is replaced.
        if round > 0 {
            result.compile.0.push(compile_ms);
            result.load.0.push(load_ms);
            result.whole.0.push(compile_ms + load_ms);
            result.linear.0.push(linear_ms);
            result.hash.0.push(hash_ms);
            result.nothing.0.push(nothing_ms);
        }
    }
    result
}

/// Changing one rule.
#[derive(Default)]
struct Changing {
    whole: Series,
    rule: Series,
    element: Series,
}

fn changing(ours: &mut Guarded) -> Changing {
    let list = Rules::random(MANY, 3);
    ours.replace(&compiled(&list.model()));
    run("nft -f -", &list.script(Form::Linear, LINEAR));
    run("nft -f -", &list.script(Form::Hash, HASH));
    let mut result = Changing::default();
    for round in 0..ROUNDS {
        let mut changed = list.clone();
        changed.list[MANY / 2].1 = 1 + u16::try_from(round).expect("few rounds");
        let model = changed.model();
        result.whole.0.push(time(|| ours.replace(&compiled(&model))).0);
        let host = format!("198.51.100.{}", round + 1);
        let rule = format!("nft add rule netdev {TABLE}_{LINEAR} c ip saddr {host} tcp dport 443 accept");
        result.rule.0.push(time(|| run(&rule, "")).0);
        let element = format!("nft add element netdev {TABLE}_{HASH} m {{ {host} . 443 : accept }}");
        result.element.0.push(time(|| run(&element, "")).0);
    }
    result
}

/// One line without a target.
fn figure(what: &str, value: f64) {
    println!("  {what:<74} {value:>8.3}");
}

fn main() -> ExitCode {
    let bpffs = world::enter();
    let (ifindex, _) = world::veth(OURS, "hr0peer");
    world::veth(LINEAR, "nft0peer");
    world::veth(HASH, "nft1peer");
    let rows = compiling();
    let mut ours = Guarded::open(&bpffs, OURS, ifindex, XdpMode::Auto);
    let replaced = replacing(&mut ours);
    println!("\nreplacing {MANY} rules, ms, in turn, median of {ROUNDS}");
    println!("  Hedgerow, compile                                  {:>9.2}", replaced.compile.median());
    println!("  Hedgerow, load, read back, prove, flip             {:>9.2}", replaced.load.median());
    println!("    (proven on {} frames)", ours.owed.len());
    println!("  Hedgerow, whole                                    {:>9.2}", replaced.whole.median());
    println!("  nft -f, one rule each                              {:>9.2}", replaced.linear.median());
    println!("  nft -f, verdict map in a hash                      {:>9.2}", replaced.hash.median());
    println!("    (nft -f with nothing to do: start and stop       {:>9.2})", replaced.nothing.median());
    let changed = changing(&mut ours);
    println!("\nchanging one rule among {MANY}, ms, in turn, median of {ROUNDS}");
    println!("  Hedgerow, compile everything, load, prove, flip    {:>9.2}", changed.whole.median());
    println!("  nft add rule                                       {:>9.2}", changed.rule.median());
    println!("  nft add element, verdict map in a hash             {:>9.2}", changed.element.median());
    println!("\ntargets");
    let mut targets = Targets::default();
    for (count, most) in COMPILE_MS_MAX {
        let (_, ms, _) = rows.iter().find(|(rules, ..)| *rules == count).expect("it was measured");
        targets.at_most(&format!("compiling {count} rules"), *ms, "ms", most);
    }
    for (less, more) in [(1, 2), (2, 3)] {
        let what = format!("growth of processor time, compiling {} to {} rules", SIZES[less], SIZES[more]);
        targets.at_most(&what, rows[more].2 / rows[less].2, "x", GROWTH_MAX);
    }
    let over = |theirs: &Series| replaced.whole.median() / theirs.median();
    targets.at_most("replacing: Hedgerow over nft -f, one rule each", over(&replaced.linear), "x", 1.0);
    targets.at_most("replacing: Hedgerow over nft -f, verdict map in a hash", over(&replaced.hash), "x", 1.0);
    println!("\nbeside");
    figure("one rule: Hedgerow over nft add rule", changed.whole.median() / changed.rule.median());
    figure("one rule: Hedgerow over nft add element", changed.whole.median() / changed.element.median());
    targets.exit()
}
