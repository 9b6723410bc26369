//! Limits against a model: one bucket by a clock that the test tells, and the kernel's programs and the userspace enforcer on random packets.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use dataplane::{
    Enforcer, Hook, Reason, TableSizes, Timeouts, Userspace,
    testing::{Bench, Carriage, flow_of, frame_of},
};
use identity::Role;
use policy::{Direction, Flow, Image, image::Bucket, sample::SplitMix64};

use crate::{
    bed::{ACK, Bed, SYN, TCP, UDP, VIP},
    lab::{self, activate},
    limits::{image, slow},
    shared::policies::{policy, segment},
};

/// Limits at both sides of most packets, small enough that random packets meet each; every seed has buckets of its own.
fn both_sides(seed: u64, random: &mut SplitMix64) -> Image {
    let mut one = |name: &str| slow(name, 1 + u32::try_from(random.below(12)).unwrap());
    let mut limits = || {
        format!(
            "limits: {{{}, {}, perSource: {{{}, {}}}}}",
            one("packets"),
            one("newConnections"),
            one("packets"),
            one("newConnections")
        )
    };
    let web = format!("{{name: web, action: allow, services: [{{protocol: tcp, port: 443}}], {}}}", limits());
    let rest = format!("{{name: rest, action: allow, {}}}", limits());
    let all = format!("{{name: all, action: allow, {}}}", limits());
    let dns = "name: dns, action: allow, services: [{protocol: udp, port: 443}]";
    let enforced = format!("  ingress: [{web}, {{{dns}}}, {rest}]\n  egress: [{all}]");
    let observed = format!("  mode: observe\n  ingress: [{{{dns}, {}}}]", limits());
    let trial = policy(&format!("trial{seed}"), "shop", &observed).replace("tier: application", "tier: platform");
    lab::compiled(
        &[segment("shop", &format!("{VIP}/32")), policy(&format!("shop{seed}"), "shop", &enforced), trial].concat(),
    )
}

/// Every seed has clients of its own.
fn random_flow(seed: u64, random: &mut SplitMix64) -> (Flow, u8) {
    let client = &format!("198.51.100.{}", 2 * seed + u64::from(random.byte() & 1));
    let port = 5_000 + u16::try_from(random.below(3)).unwrap();
    let to = match *random.pick(&[TCP, TCP, UDP, UDP, 1, 47]) {
        1 => flow_of((client, 0), (VIP, *random.pick(&[8 << 8, 0])), 1),
        47 => flow_of((client, 0), (VIP, 0), 47),
        protocol => flow_of((client, port), (VIP, *random.pick(&[443, 53])), protocol),
    };
    let flags = *random.pick(&[SYN, ACK, SYN | ACK]);
    (if random.once_in(3) { to.reverse() } else { to }, flags)
}

/// Policies and packets of each; no token comes back while one of them is tried.
const POLICIES: u64 = 25;
const PACKETS: usize = 150;

#[test]
fn kernel_and_userspace_enforcer_agree_on_what_is_over_the_limit() {
    if lab::skipped() {
        return;
    }
    let mut bed = Bed::new(&image(&slow("packets", 1)));
    let mut userspace =
        Userspace::new(vec![bed.lab.interface(Role::Cluster)], TableSizes::small(), Timeouts::default());
    userspace.set_time(Duration::from_secs(1));
    let mut seen = BTreeMap::<Reason, u64>::new();
    for seed in 0..POLICIES {
        let mut random = SplitMix64::new(seed);
        let image = both_sides(seed, &mut random);
        activate(&mut bed.kernel, seed + 2, &image);
        let prepared = userspace.prepare(seed + 2, &image, &[]).unwrap();
        userspace.activate(prepared).unwrap();
        let began = Instant::now();
        for number in 0..PACKETS {
            let packet = random_packet(seed, &mut random);
            let here = packet.to_userspace(&mut userspace);
            let there = packet.to_kernel(&mut bed);
            if began.elapsed() > Duration::from_secs(1) {
                println!("seed {seed}: too slow after {number} packets");
                break;
            }
            assert_eq!(here, there, "seed {seed}, packet {number}: userspace and kernel on {packet:?}");
            *seen.entry(here).or_default() += 1;
        }
    }
    println!("{seen:?}");
    for reason in [Reason::Allowed, Reason::Observed, Reason::RateLimited, Reason::FragmentFollows] {
        assert!(seen.get(&reason).is_some_and(|count| *count > 50), "the sample is too tame: {seen:?}");
    }
}

#[derive(Debug)]
struct Passing {
    hook: Hook,
    came_in: u32,
    frame: Vec<u8>,
}

fn random_packet(seed: u64, random: &mut SplitMix64) -> Passing {
    let (flow, flags) = random_flow(seed, random);
    let hook = Bed::hook(*random.pick(&[Direction::Ingress, Direction::Egress]));
    let forwarded = hook.direction == Direction::Egress && random.once_in(3);
    let mut frame = frame_of(&flow, flags);
    if random.once_in(2) {
        // The first fragment of a datagram, or one behind it.
        let part: &[u8; 2] = random.pick(&[[0x20, 0], [0, 8]]);
        frame[20..22].copy_from_slice(part);
    }
    Passing { hook, came_in: if forwarded { hook.ifindex } else { 0 }, frame }
}

impl Passing {
    fn to_userspace(&self, userspace: &mut Userspace) -> Reason {
        match self.came_in {
            0 => userspace.receive(self.hook, &self.frame).reason,
            came_in => userspace.forward(self.hook, came_in, &self.frame).reason,
        }
    }

    /// The reason is the one that was counted, but for what the interface says to its neighbours at the same time.
    fn to_kernel(&self, bed: &mut Bed) -> Reason {
        let before = bed.kernel.counters().reasons;
        let carriage = Carriage { came_in: self.came_in, ..Carriage::default() };
        bed.kernel.pass_live_as(self.hook, &self.frame, carriage).unwrap();
        let after = bed.kernel.counters();
        let counted = before.iter().find(|(direction, reason, count)| {
            *direction == self.hook.direction
                && *reason != Reason::LinkSupport
                && after.reason(*direction, *reason).packets > count.packets
        });
        counted.expect("every packet is counted").1
    }
}

/// The slow, obvious bucket: it is filled with time, holds no more than it can, and a token costs an interval. A packet of more segments than it
/// holds passes when it is full, and leaves a debt.
struct Model {
    held_ns: i128,
    at_ns: u64,
}

impl Model {
    fn admits(&mut self, bucket: Bucket, now_ns: u64, segments: u32) -> bool {
        let (interval, burst, segments) =
            (i128::from(bucket.interval_ns), i128::from(bucket.burst), i128::from(segments));
        self.held_ns = (self.held_ns + i128::from(now_ns - self.at_ns)).min(burst * interval);
        self.at_ns = now_ns;
        let admits = self.held_ns >= segments.min(burst) * interval;
        if admits {
            self.held_ns -= segments * interval;
        }
        admits
    }
}

/// Buckets, and packets for each.
const BUCKETS: u64 = 200;
const CHARGES: usize = 2_000;

#[test]
fn a_bucket_in_the_kernel_lets_pass_what_the_model_does() {
    if lab::skipped() {
        return;
    }
    let bed = Bed::new(&image(&slow("packets", 1)));
    let mut bench = Bench::open(&bed.kernel).unwrap();
    for seed in 0..BUCKETS {
        let mut random = SplitMix64::new(seed);
        let up_to = |random: &mut SplitMix64, most: usize| u32::try_from(random.below(most)).unwrap();
        let most = *random.pick(&[10, 1_000, 1_000_000_000]);
        let bucket = Bucket { interval_ns: 1 + up_to(&mut random, most), burst: 1 + up_to(&mut random, 60) };
        let mut now_ns = 1_000_000_000;
        let mut packet = |_| {
            let tokens = *random.pick(&[0, 0, 0, 1, 3, 90]);
            now_ns += u64::from(bucket.interval_ns) * tokens + random.below(bucket.interval_ns as usize) as u64;
            (now_ns, if random.once_in(10) { 1 + up_to(&mut random, 80) } else { 1 })
        };
        let packets: Vec<(u64, u32)> = (0..CHARGES).map(&mut packet).collect();
        let mut model = Model { held_ns: i128::MAX / 2, at_ns: 0 };
        let expected: Vec<bool> = packets.iter().map(|(now, segments)| model.admits(bucket, *now, *segments)).collect();
        assert_eq!(bench.charge(bucket, &packets).unwrap(), expected, "seed {seed}: {bucket:?}");
        let passed = expected.iter().filter(|passes| **passes).count();
        assert!(passed > 0 && passed < CHARGES, "seed {seed}: {passed} of {CHARGES} pass, which says little");
    }
}
