//! Policies that are compared: random ones, and those that a test writes down.

use std::net::IpAddr;

use dataplane::TableSizes;
use policy::{
    CompileLimits, Image, Model, SourceText, compile, parse,
    sample::{random_documents, random_members},
    validate,
};

/// A random policy with the members of its cluster.
pub(crate) fn sample(seed: u64) -> (Model, Vec<IpAddr>, Image) {
    let model = validate(&random_documents(seed)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let members = random_members(seed);
    let limits: CompileLimits = TableSizes::small().image;
    let image = compile(&model, &members, &limits).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    (model, members, image)
}

/// The image of documents.
pub(crate) fn compiled(text: &str) -> Image {
    let source = SourceText { name: "test.yaml".to_owned(), text: text.to_owned() };
    let documents = parse(&[source]).unwrap_or_else(|error| panic!("{error}"));
    let model = validate(&documents).unwrap_or_else(|error| panic!("{error}"));
    compile(&model, &[], &TableSizes::small().image).unwrap_or_else(|error| panic!("{error}"))
}
