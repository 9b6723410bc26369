//! The image against the reference evaluator, and what the compiler promises of its output.

mod crowd;
mod fit;
mod limits;
mod sound;

use super::*;
use crate::{
    Flow, evaluate,
    image::TABLES,
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
        compare(&model, &members, &image, flows, seed);
    }
}

fn compare(model: &Model, members: &[IpAddr], image: &Image, flows: usize, seed: u64) {
    sound::check(image);
    let sampler = FlowSampler::new(model, members);
    let mut random = SplitMix64::new(seed);
    for _ in 0..flows {
        let flow = sampler.flow(&mut random);
        let (expected, found) = (evaluate(model, members, &flow), image.classify(&flow));
        assert_eq!(found, expected, "seed {seed}: {flow}");
    }
}

#[test]
fn the_image_says_what_the_reference_says() {
    agree(0..SEEDS, FLOWS, |model, members| compile(model, members, &CompileLimits::default()).unwrap());
}

/// Samples are small and would always take the dense form in one layer; here each choice is forced.
#[test]
fn every_form_says_what_the_reference_says() {
    for one_layer_rules_max in [0, usize::MAX] {
        for (peers, ports) in
            [(0, 0), (1, 1), (0, usize::MAX), (usize::MAX, 0), (usize::MAX, 2), (usize::MAX, usize::MAX)]
        {
            let (peer_border, port_border) = (Some(peers), Some(ports));
            let tuning = Tuning { one_layer_rules_max, dense_entries_max: 0, peer_border, port_border };
            agree(0..SEEDS / 10, FLOWS, |model, members| {
                compile_tuned(model, members, &CompileLimits::default(), &tuning).unwrap()
            });
        }
    }
}

/// Policies of some hundred rules, large enough for the compiler to take the sparse forms and both layers by itself.
#[test]
fn in_a_crowd_the_image_says_what_the_reference_says() {
    for seed in 0..30 {
        let (model, members) = crowd::model(seed);
        let image = compile(&model, &members, &CompileLimits::default()).unwrap();
        compare(&model, &members, &image, 2_000, seed);
        for table in [TableId::Cells, TableId::Vcells, TableId::Skips, TableId::Chunks] {
            assert!(image.tables.elements(table) > 0, "seed {seed}: {}", table.name());
        }
    }
}

#[test]
#[ignore = "long: five million comparisons"]
fn the_image_says_what_the_reference_says_long() {
    agree(SEEDS..SEEDS + 40_000, FLOWS, |model, members| compile(model, members, &CompileLimits::default()).unwrap());
    for seed in 100..200 {
        let (model, members) = crowd::model(seed);
        compare(&model, &members, &compile(&model, &members, &CompileLimits::default()).unwrap(), 10_000, seed);
    }
}

#[test]
fn g5_the_same_documents_and_members_give_the_same_bytes() {
    for seed in 0..200 {
        let (model, members) = sample(seed);
        let image = compile(&model, &members, &CompileLimits::default()).unwrap();
        assert_eq!(image, compile(&model, &members, &CompileLimits::default()).unwrap());
        let reversed: Vec<IpAddr> = members.iter().rev().copied().collect();
        assert_eq!(
            image.digest(),
            compile(&model, &reversed, &CompileLimits::default()).unwrap().digest(),
            "seed {seed}"
        );
    }
}

#[test]
fn no_documents_are_the_image_that_allows_all() {
    let image = compile(&Model::default(), &[], &CompileLimits::default()).unwrap();
    assert_eq!(image, Image::empty_allow());
}

#[test]
fn g18_a_policy_past_a_limit_is_refused_with_the_limit_by_name() {
    let (model, members) = sample(5);
    let fits = compile(&model, &members, &CompileLimits::default()).unwrap();
    for table in TABLES {
        let needed = fits.tables.elements(table);
        let mut limits = CompileLimits::default();
        let Some(limit) = limit_of(&mut limits, table) else { continue };
        *limit = needed;
        compile(&model, &members, &limits).unwrap_or_else(|error| panic!("{table:?}: {error}"));
        if needed == 0 {
            continue;
        }
        *limit_of(&mut limits, table).unwrap() = needed - 1;
        let error = compile(&model, &members, &limits).unwrap_err();
        let CompileError { limit, needed: named, available, .. } = &error;
        assert_eq!(
            (*limit, *named, *available),
            (format!("{}_max", table.name()).as_str(), needed, needed - 1),
            "{error}"
        );
    }
}

fn limit_of(limits: &mut CompileLimits, table: TableId) -> Option<&mut usize> {
    Some(match table {
        TableId::Chunks => &mut limits.chunks_max,
        TableId::Skips => &mut limits.skips_max,
        TableId::Classes => &mut limits.classes_max,
        TableId::Base => &mut limits.base_max,
        TableId::Cells => &mut limits.cells_max,
        TableId::Pairs => &mut limits.pairs_max,
        TableId::Vbase => &mut limits.vbase_max,
        TableId::Vcells => &mut limits.vcells_max,
        TableId::Verdicts => &mut limits.verdicts_max,
        TableId::Limits => &mut limits.limits_max,
        TableId::Root4 | TableId::Root6 | TableId::Ports => return None,
    })
}
