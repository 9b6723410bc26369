//! Random policies, random and damaged frames: the same reason and the same rules.

use std::time::{Duration, Instant};

use dataplane::{
    Hook, TableSizes,
    testing::{Arrival, Twins},
};
use policy::{
    Direction,
    sample::{FlowSampler, SplitMix64},
};

use crate::{
    driver,
    shared::{
        corpus,
        frames::{is_fragment, random_frame},
        guards::random_guard,
        members,
        policies::sample,
    },
    vlans,
};

/// Frames that are compared, unless the time is over before.
const FRAMES_MAX: u64 = 2_000_000;
/// Frames that are compared in any case.
const FRAMES_MIN: u64 = 100_000;
/// Frames for each policy.
const FRAMES_PER_POLICY: u64 = 10_000;
/// For how long frames are compared.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Bytes that are linear at least: an Ethernet header.
const LINEAR_BYTES_MIN: usize = 14;

#[test]
fn native_programs_and_userspace_enforcer_agree_on_frames() {
    let Some(driver) = driver::start() else { return };
    let (interface, began) = (members::interface(), Instant::now());
    let sizes = TableSizes { chunks_apart: false, fragments: 1 << 16, ..TableSizes::small() };
    let interfaces = std::slice::from_ref(&interface);
    let mut twins = Twins::new(driver, 0, interfaces, &corpus::guard(&interface), sizes).unwrap();
    twins.set_vlans(&vlans::of_random_frames(interface.ifindex)).unwrap();
    let mut compared = 0;
    for seed in 0..FRAMES_MAX / FRAMES_PER_POLICY {
        let (model, members, image) = sample(seed);
        twins.activate(image).unwrap();
        let (sampler, mut random) = (FlowSampler::new(&model, &members), SplitMix64::new(seed));
        let (guard, guarded) = random_guard(&sampler, &mut random, interface.ifindex);
        twins.set_guard(&guard).unwrap();
        twins.begin().unwrap();
        for number in 0..FRAMES_PER_POLICY {
            let frame = random_frame(&sampler, &guarded, &mut random);
            let direction = if random.once_in(2) { Direction::Egress } else { Direction::Ingress };
            let hook = Hook { ifindex: interface.ifindex, direction };
            let linear = LINEAR_BYTES_MIN + random.below(frame.len());
            let judged = twins.judge(hook, &frame, linear).and_then(|judged| {
                // What a fragment leaves behind is compared by those that come after it.
                let shown = is_fragment(&frame).then(|| twins.receive(Arrival::Clsact, hook, &frame, linear));
                shown.unwrap_or(Ok(judged))
            });
            judged.unwrap_or_else(|error| panic!("seed {seed}, at most 1024 runs before {number}: {error}"));
        }
        twins.settle().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        compared += FRAMES_PER_POLICY;
        if began.elapsed() > TIME_MAX && compared >= FRAMES_MIN {
            break;
        }
    }
    println!("{compared} frames compared in {:?}: {:?}", began.elapsed(), twins.seen());
    assert!(twins.seen().len() >= 18, "the sample is too tame: {:?}", twins.seen());
}
