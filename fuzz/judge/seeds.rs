//! What the fuzzer begins with: the evasion corpus, and random frames of the flows that the policies are about.

use policy::{
    Direction, Flow, Guard,
    sample::{FlowSampler, SplitMix64},
};

use crate::{
    WORLDS,
    shared::{corpus, frames::random_frame, guards::random_guard, members::interface, policies::sample},
    step::{flip, packet},
};

/// Inputs of random frames for each world, and frames in each.
const RANDOM: u64 = 48;
const FRAMES: u8 = 6;

/// Names and contents.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, steps) in corpus::files() {
        let mut bytes = vec![0];
        steps.iter().for_each(|step| bytes.extend(packet(0, step.direction, &step.frame)));
        let verdicts = steps.iter().map(|step| step.verdict.len()).sum::<usize>();
        seeds.push((format!("corpus-{name}-{verdicts}"), bytes));
    }
    for world in 1..WORLDS {
        let mut talkers = talkers(world);
        for number in 0..RANDOM {
            seeds.push((format!("world{world}-{number}"), conversation(world, &mut talkers)));
        }
    }
    seeds
}

/// Whose packets a world is about.
pub(crate) struct Talkers {
    pub(crate) guard: Guard,
    guarded: Vec<Flow>,
    sampler: FlowSampler,
    random: SplitMix64,
}

/// The guard of a random world, and what talks there.
pub(crate) fn talkers(world: u32) -> Talkers {
    let (model, members, _) = sample(u64::from(world));
    let (sampler, mut random) = (FlowSampler::new(&model, &members), SplitMix64::new(u64::from(world)));
    let (guard, guarded) = random_guard(&sampler, &mut random, interface().ifindex);
    Talkers { guard, guarded, sampler, random }
}

fn conversation(world: u32, talkers: &mut Talkers) -> Vec<u8> {
    let Talkers { guarded, sampler, random, .. } = talkers;
    let mut bytes = vec![u8::try_from(world).expect("a few worlds")];
    for number in 0..FRAMES {
        let direction = if random.once_in(2) { Direction::Egress } else { Direction::Ingress };
        bytes.extend(packet(number, direction, &random_frame(sampler, guarded, random)));
        if random.once_in(6) {
            bytes.extend(flip());
        }
    }
    bytes
}
