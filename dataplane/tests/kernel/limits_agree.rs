//! Limits on random packets: the kernel's programs and the userspace enforcer, packet by packet.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use dataplane::{
    Enforcer, Hook, Reason, TableSizes, Timeouts, Userspace,
    testing::{Carriage, frame_of},
};
use identity::Role;
use policy::{Direction, Flow, Image, sample::SplitMix64};

use crate::{
    lab::{self, activate},
    limits::{ACK, Bed, SYN, TCP, UDP, VIP, flow, image, slow},
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
    lab::compiled(&format!(
        "
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: shop}}
spec: {{role: vip, addresses: [{VIP}/32]}}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: shop{seed}}}
spec:
  tier: application
  appliesTo: {{segment: shop}}
  ingress:
    - {{name: web, action: allow, services: [{{protocol: tcp, port: 443}}], {}}}
    - {{name: dns, action: allow, services: [{{protocol: udp, port: 443}}]}}
    - {{name: rest, action: allow, {}}}
  egress: [{{name: all, action: allow, {}}}]
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: trial{seed}}}
spec:
  tier: platform
  mode: observe
  appliesTo: {{segment: shop}}
  ingress: [{{name: dns, action: allow, services: [{{protocol: udp, port: 443}}], {}}}]
",
        limits(),
        limits(),
        limits(),
        limits()
    ))
}

/// Every seed has clients of its own.
fn random_flow(seed: u64, random: &mut SplitMix64) -> (Flow, u8) {
    let client = &format!("198.51.100.{}", 2 * seed + u64::from(random.byte() & 1));
    let port = 5_000 + u16::try_from(random.below(3)).unwrap();
    let to = match *random.pick(&[TCP, TCP, UDP, UDP, 1, 47]) {
        1 => flow((client, 0), (VIP, *random.pick(&[8 << 8, 0])), 1),
        47 => flow((client, 0), (VIP, 0), 47),
        protocol => flow((client, port), (VIP, *random.pick(&[443, 53])), protocol),
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
    for reason in [Reason::Allowed, Reason::Observed, Reason::RateLimited] {
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
    Passing { hook, came_in: if forwarded { hook.ifindex } else { 0 }, frame: frame_of(&flow, flags) }
}

impl Passing {
    fn to_userspace(&self, userspace: &mut Userspace) -> Reason {
        match self.came_in {
            0 => userspace.receive(self.hook, &self.frame).reason,
            came_in => userspace.forward(self.hook, came_in, &self.frame).reason,
        }
    }

    /// The reason is the one that was counted.
    fn to_kernel(&self, bed: &mut Bed) -> Reason {
        let before = bed.kernel.counters().unwrap().reasons;
        let carriage = Carriage { came_in: self.came_in, ..Carriage::default() };
        bed.kernel.pass_live_as(self.hook, &self.frame, carriage).unwrap();
        let after = bed.kernel.counters().unwrap();
        let counted = before.iter().find(|(direction, reason, count)| {
            *direction == self.hook.direction && after.reason(*direction, *reason).packets > count.packets
        });
        counted.expect("every packet is counted").1
    }
}
