//! From trees to documents. Every finding is kept, so that one run shows all of them.

mod address;
mod channel;
mod fields;
mod limits;
mod policy;
mod ports;
mod rule;
mod scalar;
mod segment;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::node::Node;
use super::{API_VERSION, Body, Document, Kind, Place, Position};
use crate::diagnostic::{Diagnostic, Findings, nearest, shorten};
use crate::model::limits::LABELS_MAX;

pub(super) use fields::Fields;

/// Kinds that the language will have and this version has not.
const KINDS_LATER: [&str; 1] = ["AddressSet"];

/// Collects what is wrong while a tree is read.
///
/// Its methods return `None` exactly if they have reported a finding.
pub(super) struct Decoder<'a> {
    file: Option<&'a Arc<str>>,
    /// Stands for the file in findings about documents that have none.
    title: String,
    findings: Findings,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(file: Option<&'a Arc<str>>) -> Decoder<'a> {
        Decoder { file, title: "document".to_owned(), findings: Findings::default() }
    }

    /// What was wrong.
    pub(super) fn finish(self) -> Findings {
        self.findings
    }

    /// Reports a finding.
    fn report(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let finding = self.finding(place, message).help(help);
        self.findings.push(finding);
    }

    fn finding(&self, place: Place, message: impl Into<String>) -> Diagnostic {
        match self.file {
            Some(file) => Diagnostic::new(file, place, message),
            None => Diagnostic::new(&self.title, Place::UNKNOWN, message),
        }
    }
}

/// One document; `None` if anything is wrong with it.
pub(super) fn document(decoder: &mut Decoder<'_>, tree: &Node) -> Option<Document> {
    let before = decoder.findings.count();
    let fields = decoder.fields(tree, "a document", &["apiVersion", "kind", "metadata", "spec"], &[])?;
    let version = api_version(decoder, &fields);
    let kind = kind(decoder, &fields);
    let metadata = metadata(decoder, &fields);
    let spec = decoder.required(&fields, "spec");
    // A specification is read even if the metadata are wrong: one run shows everything.
    let (kind, spec) = (kind?, spec?);
    if let Some(metadata) = &metadata {
        decoder.title = format!("{kind} {}", metadata.name);
    }
    let name = metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
    let body = match kind {
        Kind::Segment => segment::decode(decoder, spec, name).map(Body::Segment),
        Kind::Policy => policy::decode(decoder, spec).map(|spec| Body::Policy(Box::new(spec))),
        Kind::SyncChannel => channel::decode(decoder, spec, name).map(Body::SyncChannel),
        Kind::Settings => settings::decode(decoder, spec).map(Body::Settings),
    };
    let Metadata { name, labels, place } = metadata?;
    let (body, ()) = (body?, version?);
    let position = decoder.file.map(|file| Position { file: Arc::clone(file), place });
    let sound = decoder.findings.count() == before;
    sound.then_some(Document { name, labels, body, position })
}

fn api_version(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<()> {
    let node = decoder.required(fields, "apiVersion")?;
    let version = decoder.text(node, "`apiVersion`")?;
    if version != API_VERSION {
        let message = format!("there is no language version \"{}\"", shorten(version));
        decoder.report(node.place, message, format!("write \"{API_VERSION}\""));
        return None;
    }
    Some(())
}

fn kind(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<Kind> {
    let node = decoder.required(fields, "kind")?;
    let written = decoder.text(node, "`kind`")?;
    if let Some((_, kind)) = Kind::NAMES.iter().find(|(name, _)| *name == written) {
        return Some(*kind);
    }
    if KINDS_LATER.contains(&written) {
        let message = format!("the kind {written} is not yet supported by this version");
        decoder.report(node.place, message, "use Segment documents with the addresses written out");
        return None;
    }
    let names = || Kind::NAMES.iter().map(|(name, _)| *name);
    let help = match nearest(written, names()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    decoder.report(node.place, format!("there is no kind \"{}\"", shorten(written)), help);
    None
}

struct Metadata {
    name: String,
    labels: BTreeMap<String, String>,
    /// Where the name is.
    place: Place,
}

fn metadata(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<Metadata> {
    let node = decoder.required(fields, "metadata")?;
    let metadata = decoder.fields(node, "`metadata`", &["name", "labels"], &[])?;
    let name = decoder.required(&metadata, "name").and_then(|node| decoder.name(node, "`metadata.name`"));
    let labels = match metadata.get("labels") {
        Some(node) => decoder.labels(node, "`metadata.labels`"),
        None => Some(BTreeMap::new()),
    };
    let (name, labels) = (name?, labels?);
    if labels.len() > LABELS_MAX {
        let message = format!("there are {} labels, and {LABELS_MAX} is the limit", labels.len());
        decoder.report(name.place, message, "remove some");
        return None;
    }
    Some(Metadata { name: name.value, labels, place: name.place })
}
