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

/// Settings by which everything is denied that no policy allows.
pub(crate) const DENY: &str = "---
apiVersion: hedgerow/v1
kind: Settings
metadata: {name: cluster}
spec: {defaultAction: deny}
";

/// A segment of these networks.
pub(crate) fn segment(name: &str, networks: &str) -> String {
    format!(
        "---
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: {name}}}
spec: {{role: backend, addresses: [{networks}]}}
"
    )
}

/// A policy of the application tier for a segment. `says`: what else is in its `spec`, each line indented by two.
pub(crate) fn policy(name: &str, segment: &str, says: &str) -> String {
    format!(
        "---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: {name}}}
spec:
  tier: application
  appliesTo: {{segment: {segment}}}
{says}
"
    )
}

/// The image of documents.
pub(crate) fn compiled(text: &str) -> Image {
    let source = SourceText { name: "test.yaml".to_owned(), text: text.to_owned() };
    let documents = parse(&[source]).unwrap_or_else(|error| panic!("{error}"));
    let model = validate(&documents).unwrap_or_else(|error| panic!("{error}"));
    compile(&model, &[], &TableSizes::small().image).unwrap_or_else(|error| panic!("{error}"))
}
