//! Arbitrary bytes as the text of a policy (G15): they are read, checked and compiled, or refused with findings; nothing panics, and
//! nothing takes long. What compiles is classified as the slow evaluator would.

#![no_main]

#[path = "../entry.rs"]
mod entry;

use std::{fs, path::Path};

use policy::{
    CompileLimits, Document, SourceText, compile, evaluate, parse,
    sample::{FlowSampler, SplitMix64, random_documents},
    validate,
};

/// Flows on which an image is compared with the model that it was made of.
const FLOWS: usize = 16;
/// Tables as large as those of a small node: whatever is in the text, no more memory is taken.
const CHUNKS_MAX: usize = 1_024;

/// Policies of the sample that are among the seeds.
const SAMPLES: u64 = 64;
/// Policies that the repository shows.
const SHOWN: [&str; 3] = ["deploy/examples/policies", "deploy/demo/policies", "deploy/demo/deny-all"];

/// Names and contents: the policies that the repository shows, one document each, and random ones.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seeds = Vec::new();
    for folder in SHOWN.iter().flat_map(|folder| fs::read_dir(root.join(folder))) {
        for file in folder.flatten() {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let name = file.file_name().to_string_lossy().into_owned();
            let documents = text.split("---\n").enumerate();
            seeds.extend(documents.map(|(number, one)| (format!("{name}-{number}"), one.as_bytes().to_vec())));
        }
    }
    for seed in 0..SAMPLES {
        let documents: Vec<String> = random_documents(seed).iter().map(Document::to_yaml).collect();
        seeds.push((format!("sample-{seed}"), documents.join("\n---\n").into_bytes()));
    }
    seeds
}

/// Compiling takes a hundred times as long as reading: one in so many inputs is compiled, chosen by its length.
const COMPILED_ONE_IN: usize = 8;

/// One input.
fn one(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let Ok(documents) = parse(&[SourceText { name: "fuzz.yaml".to_owned(), text }]) else { return };
    let Ok(model) = validate(&documents) else { return };
    if !input.len().is_multiple_of(COMPILED_ONE_IN) {
        return;
    }
    let members = [[10, 77, 0, 1].into(), [10, 77, 0, 2].into()];
    let limits = CompileLimits { chunks_max: CHUNKS_MAX, ..CompileLimits::default() };
    let Ok(image) = compile(&model, &members, &limits) else { return };
    let (sampler, mut random) = (FlowSampler::new(&model, &members), SplitMix64::new(input.len() as u64));
    for flow in (0..FLOWS).map(|_| sampler.flow(&mut random)) {
        assert_eq!(image.classify(&flow), evaluate(&model, &members, &flow), "{flow}");
    }
}
