//! Three evaluators, one answer: the slow reference, the image in Rust, the image in the kernel. And on whole frames, well formed
//! and not: the programs against the userspace enforcer, under a guard.

use dataplane::{
    Enforcer, Hook, Kernel, KernelConfig, Reason, TableSizes, TcMode, Timeouts, Userspace, XdpMode,
    testing::{BULK_MAX, Bench, BulkAnswer},
};
use identity::Role;
use policy::{
    Decision, Direction, Flow, Image, evaluate,
    image::{
        FLAG_ALLOW, FLAG_CUT, FLAG_KEEP, FLAG_LIMIT, FLAG_LOG, FLAG_TRIAL_ALLOW, FLAG_TRIAL_LIMIT, FLAG_TRIAL_LOG,
    },
    sample::{FlowSampler, SplitMix64},
};

use crate::{
    lab::{self, Lab, activate},
    shared::{
        frames::{is_fragment, random_frame},
        guards::random_guard,
        policies::sample,
    },
};

/// Policies that are compared, and pairs with a packet in all, before `lab::scaled` (`targets`: at least a million).
const POLICIES: u64 = 250;
const PAIRS_MIN: u64 = 1_000_000;
/// Frames that are compared, before `lab::scaled`.
const FRAMES: u64 = 240_000;
/// Frames for each policy.
const FRAMES_PER_POLICY: u64 = 1_500;

/// The decision that follows from what the kernel found; the fields as in `policy::verdict`.
fn decision(image: &Image, answer: &BulkAnswer) -> Decision {
    let both = |flag: u32| answer.in_flags & answer.out_flags & flag != 0;
    let either = |flag: u32| (answer.in_flags | answer.out_flags) & flag != 0;
    let observe = both(FLAG_ALLOW) && !both(FLAG_TRIAL_ALLOW);
    let (ingress, egress) = if observe { answer.trial } else { answer.rules };
    Decision {
        verdict: if both(FLAG_ALLOW) { policy::Verdict::Allow } else { policy::Verdict::Deny },
        ingress: image.rules[ingress as usize].reference,
        egress: image.rules[egress as usize].reference,
        observe,
        log: either(if observe { FLAG_TRIAL_LOG } else { FLAG_LOG }),
        keep: both(FLAG_ALLOW) && either(FLAG_KEEP) && !either(FLAG_CUT),
        limited: both(FLAG_ALLOW) && either(if observe { FLAG_TRIAL_LIMIT } else { FLAG_LIMIT }),
    }
}

#[test]
fn three_evaluators_agree_on_a_million_pairs() {
    // With the chunks inside the image, and apart as on kernels before 6.0.
    for chunks_apart in [false, true] {
        agree(TableSizes { chunks_apart, ..TableSizes::small() });
    }
}

fn agree(sizes: TableSizes) {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let config = KernelConfig { sizes, ..lab::config(&lab, XdpMode::Auto, TcMode::Auto) };
    let mut kernel = Kernel::open(config).unwrap();
    let mut bench = Bench::open(&kernel).unwrap();
    let per_policy = usize::try_from(PAIRS_MIN.div_ceil(POLICIES)).unwrap().min(BULK_MAX);
    let mut compared = 0;
    for seed in 0..lab::scaled(POLICIES) {
        let (model, members, image) = sample(seed);
        let prepared = kernel.prepare(seed, &image, &[]).unwrap();
        let (sampler, mut random) = (FlowSampler::new(&model, &members), SplitMix64::new(seed));
        let flows: Vec<Flow> = (0..per_policy).map(|_| sampler.flow(&mut random)).collect();
        let answers = bench.classify(prepared.generation, &flows).unwrap();
        for (flow, answer) in flows.iter().zip(&answers) {
            let reference = evaluate(&model, &members, flow);
            assert_eq!(image.classify(flow), reference, "seed {seed}, {flow}: image and reference");
            assert_eq!(decision(&image, answer), reference, "seed {seed}, {flow}: kernel and reference ({answer:?})");
            compared += 1;
        }
    }
    assert!(compared >= lab::scaled(PAIRS_MIN));
    println!("{compared} pairs compared");
}

const LONG: Timeouts = Timeouts {
    tcp_opening_s: 7_200,
    tcp_s: 7_200,
    tcp_closing_s: 7_200,
    udp_opening_s: 7_200,
    udp_s: 7_200,
    other_s: 7_200,
    fragment_s: 7_200,
    pickup: true,
};

#[test]
fn programs_and_userspace_enforcer_agree_on_frames() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    // Nothing is forgotten while this runs, for want of room or by the clock.
    let sizes = TableSizes { flows: 1 << 16, fragments: 1 << 16, ..TableSizes::small() };
    let config = KernelConfig { sizes, timeouts: LONG, ..lab::config(&lab, XdpMode::Auto, TcMode::Auto) };
    let mut kernel = Kernel::open(config).unwrap();
    let interface = lab.interface(Role::Cluster);
    let ifindex = interface.ifindex;
    let mut userspace = Userspace::new(vec![interface], sizes, LONG);
    let mut seen = std::collections::BTreeMap::<_, u64>::new();
    for seed in 0..lab::scaled(FRAMES / FRAMES_PER_POLICY) {
        let (model, members, image) = sample(seed);
        activate(&mut kernel, seed, &image);
        let prepared = userspace.prepare(seed, &image, &[]).unwrap();
        userspace.activate(prepared).unwrap();
        let (sampler, mut random) = (FlowSampler::new(&model, &members), SplitMix64::new(seed));
        let (guard, guarded) = random_guard(&sampler, &mut random, ifindex);
        kernel.set_guard(&guard).unwrap();
        userspace.set_guard(&guard).unwrap();
        for number in 0..FRAMES_PER_POLICY {
            let frame = random_frame(&sampler, &guarded, &mut random);
            // The kernel runs no traffic control program on a frame without a whole IP header; XDP it does.
            let whole = frame.len() >= 54;
            let direction = if whole && random.once_in(2) { Direction::Egress } else { Direction::Ingress };
            let hook = Hook { ifindex, direction };
            let (here, there) = (userspace.judge(hook, &frame).unwrap(), kernel.judge(hook, &frame).unwrap());
            assert_eq!(here, there, "seed {seed}, frame {number}, {direction}: userspace and kernel on {frame:02x?}");
            *seen.entry(here.reason).or_default() += 1;
            // What a fragment leaves behind is compared by those that come after it.
            if is_fragment(&frame) {
                userspace.receive(hook, &frame);
                kernel.pass_live(hook, &frame).unwrap();
            }
        }
    }
    println!("{seen:?}");
    let wanted = [Reason::Guard, Reason::Join, Reason::Spoofed, Reason::FragmentFollows, Reason::FragmentDenied];
    let tame = seen.len() < 18 || wanted.iter().any(|reason| !seen.contains_key(reason));
    // A part of the sample is allowed to be.
    assert!(!tame || lab::scaled(100) < 100, "the sample is too tame: {seen:?}");
}
