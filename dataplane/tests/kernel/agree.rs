//! Three evaluators, one answer: the slow reference, the image in Rust, the image in the kernel. And on whole frames, well formed
//! and not: the programs against the userspace enforcer.

use std::net::IpAddr;

use dataplane::{
    Enforcer, Hook, Kernel, KernelConfig, TableSizes, TcMode, Timeouts, Userspace, XdpMode,
    testing::{BULK_MAX, Bench, BulkAnswer, frame_of},
};
use identity::Role;
use policy::{
    CompileLimits, Decision, Direction, Flow, Image, Model, compile, evaluate,
    image::{
        FLAG_ALLOW, FLAG_CUT, FLAG_KEEP, FLAG_LIMIT, FLAG_LOG, FLAG_TRIAL_ALLOW, FLAG_TRIAL_LIMIT, FLAG_TRIAL_LOG,
    },
    sample::{FlowSampler, SplitMix64, random_documents, random_members},
    validate,
};

use crate::lab::{self, Lab, activate};

/// Policies that are compared, and pairs with a packet in all, before `lab::scaled` (`targets`: at least a million).
const POLICIES: u64 = 250;
const PAIRS_MIN: u64 = 1_000_000;
/// Frames that are compared, before `lab::scaled`.
const FRAMES: u64 = 240_000;
/// Frames for each policy.
const FRAMES_PER_POLICY: u64 = 1_500;

fn sample(seed: u64) -> (Model, Vec<IpAddr>, Image) {
    let model = validate(&random_documents(seed)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let members = random_members(seed);
    let limits: CompileLimits = TableSizes::small().image;
    let image = compile(&model, &members, &limits).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    (model, members, image)
}

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

/// Damages a frame as an attacker or a bad cable might.
fn mutate(frame: &mut Vec<u8>, random: &mut SplitMix64) {
    for _ in 0..random.below(4) {
        let at = 12 + random.below(frame.len().saturating_sub(12).min(60));
        match random.below(7) {
            0 => frame[at] = random.byte(),
            1 => frame[at] ^= 1 << random.below(8),
            2 => frame.truncate(14.max(at)),
            3 => insert(frame, 12, &[0x81, 0x00, 0, random.byte() & 1]),
            4 => extend_v6(frame, random),
            5 => fragment_v4(frame, random),
            _ => frame.extend((0..random.below(40)).map(|_| random.byte())),
        }
        if frame.len() < 40 {
            frame.resize(40, 0);
        }
    }
}

fn insert(frame: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    frame.splice(at..at, bytes.iter().copied());
}

fn is_kind(frame: &[u8], kind: [u8; 2]) -> bool {
    frame.len() > 60 && frame[12..14] == kind
}

/// Puts an extension header behind the IPv6 header.
fn extend_v6(frame: &mut Vec<u8>, random: &mut SplitMix64) {
    if !is_kind(frame, [0x86, 0xdd]) {
        return;
    }
    let next = *random.pick(&[0u8, 43, 44, 60, 60, 44, 51, 59, 135]);
    let mut header = [frame[20], 0, random.byte() & 1, random.byte() & 0x19, 0, 0, 0, random.byte() & 1];
    header[1] = if next == 44 { 0 } else { random.byte() & 1 };
    frame[20] = next;
    insert(frame, 54, &header);
    let length = u16::from_be_bytes([frame[18], frame[19]]).wrapping_add(8);
    frame[18..20].copy_from_slice(&length.to_be_bytes());
}

/// Makes an IPv4 packet a fragment.
fn fragment_v4(frame: &mut [u8], random: &mut SplitMix64) {
    if is_kind(frame, [0x08, 0x00]) {
        frame[20] = *random.pick(&[0x20, 0x00, 0x20, 0x1f]);
        frame[21] = random.byte() & 3;
    }
}

/// An ICMP error that quotes a packet of the flow, told to its source or to somebody else.
fn error_about(flow: &Flow, random: &mut SplitMix64) -> Vec<u8> {
    let v6 = flow.src.is_ipv6();
    let (protocol, kinds): (u8, &[u8]) = if v6 { (58, &[1, 2, 3, 4, 128]) } else { (1, &[3, 11, 12, 8, 5]) };
    let to = if random.once_in(4) { flow.dst } else { flow.src };
    let kind = u16::from(*random.pick(kinds)) << 8;
    let outer = Flow { src: flow.dst, dst: to, protocol, src_port: 0, dst_port: kind };
    let mut frame = frame_of(&outer, 0);
    frame.truncate(frame.len() - 4);
    let quoted = frame_of(flow, random.byte());
    let kept = if random.once_in(5) { random.below(quoted.len() - 14) } else { quoted.len() - 14 };
    frame.extend(&quoted[14..14 + kept]);
    let (at, length) = if v6 { (18, frame.len() - 54) } else { (16, frame.len() - 14) };
    frame[at..at + 2].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    frame
}

fn random_frame(sampler: &FlowSampler, random: &mut SplitMix64) -> Vec<u8> {
    let mut flow = sampler.flow(random);
    if random.once_in(3) {
        flow = flow.reverse();
    }
    let flags = *random.pick(&[0x02, 0x12, 0x10, 0x11, 0x04, 0x00, 0x03, 0x18, 0x29]);
    let mut frame = if random.once_in(6) { error_about(&flow, random) } else { frame_of(&flow, flags) };
    if random.once_in(2) {
        mutate(&mut frame, random);
    }
    frame
}

#[test]
fn programs_and_userspace_enforcer_agree_on_frames() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = lab::open(&lab);
    let interface = lab.interface(Role::Cluster);
    let ifindex = interface.ifindex;
    let mut userspace = Userspace::new(vec![interface], TableSizes::small(), Timeouts::default());
    let mut seen = std::collections::BTreeMap::<_, u64>::new();
    for seed in 0..lab::scaled(FRAMES / FRAMES_PER_POLICY) {
        let (model, members, image) = sample(seed);
        activate(&mut kernel, seed, &image);
        let prepared = userspace.prepare(seed, &image, &[]).unwrap();
        userspace.activate(prepared).unwrap();
        let (sampler, mut random) = (FlowSampler::new(&model, &members), SplitMix64::new(seed));
        for number in 0..FRAMES_PER_POLICY {
            let frame = random_frame(&sampler, &mut random);
            // The kernel runs no traffic control program on a frame without a whole IP header; XDP it does.
            let whole = frame.len() >= 54;
            let direction = if whole && random.once_in(2) { Direction::Egress } else { Direction::Ingress };
            let hook = Hook { ifindex, direction };
            let (here, there) = (userspace.judge(hook, &frame).unwrap(), kernel.judge(hook, &frame).unwrap());
            assert_eq!(here, there, "seed {seed}, frame {number}, {direction}: userspace and kernel on {frame:02x?}");
            *seen.entry(here.reason).or_default() += 1;
        }
    }
    println!("{seen:?}");
    assert!(seen.len() >= 15, "the sample is too tame: {seen:?}");
}
