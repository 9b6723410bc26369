//! The image against the reference evaluator, and what the compiler promises of its output.

use super::*;
use crate::{
    evaluate,
    sample::{FlowSampler, SplitMix64, random_documents, random_members},
    validate,
};

/// Pairs of (policy, packet) compared by a plain test run.
const SEEDS: u64 = 2_500;
const FLOWS: usize = 100;

fn sample(seed: u64) -> (Model, Vec<IpAddr>) {
    let model = validate(&random_documents(seed)).unwrap_or_else(|findings| panic!("seed {seed}: {findings}"));
    (model, random_members(seed))
}

fn agree(seeds: std::ops::Range<u64>, flows: usize, compile: impl Fn(&Model, &[IpAddr]) -> Image) {
    for seed in seeds {
        let (model, members) = sample(seed);
        let image = compile(&model, &members);
        let sampler = FlowSampler::new(&model, &members);
        let mut random = SplitMix64::new(seed);
        for _ in 0..flows {
            let flow = sampler.flow(&mut random);
            let (expected, found) = (evaluate(&model, &members, &flow), image.classify(&flow));
            assert_eq!(found, expected, "seed {seed}: {flow}");
        }
    }
}

#[test]
fn the_image_says_what_the_reference_says() {
    agree(0..SEEDS, FLOWS, |model, members| compile(model, members, &CompileLimits::default()).unwrap());
}
