//! From documents to a model: names resolved, references checked, order fixed.
//!
//! Pure and deterministic: the same documents, in whatever order, give the same model on every node, for ever. What one
//! document alone can get wrong has been refused by the parser already.

mod policy;
mod services;
mod target;

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::channel::Channel;
use crate::diagnostic::{Diagnostics, Findings};
use crate::document::{Body, Document, Kind, Located, PolicySpec, RuleSpec, SegmentSpec};
use crate::model::limits::{DOCUMENTS_MAX, LIMITS_MAX, RULES_MAX};
use crate::model::{Model, Policy, Segment, Service, Settings};

/// The model that these documents describe, or everything that is wrong with them.
pub fn validate(documents: &[Document]) -> Result<Model, Diagnostics> {
    let mut findings = Findings::default();
    check_count(documents, &mut findings);
    check_unique(documents, &mut findings);
    let segments = segments(documents);
    let policies = policies(documents, &segments, &mut findings);
    let settings = settings(documents);
    let channels = channels(documents, &mut findings);
    sort_findings(documents, &mut findings);
    findings.unless_any(|| Model { segments, policies, settings, channels })
}

/// Points at the first document for which there is no room.
fn check_count(documents: &[Document], findings: &mut Findings) {
    if documents.len() <= DOCUMENTS_MAX {
        return;
    }
    let mut written: Vec<&Document> = documents.iter().collect();
    written.sort_by_key(|document| document.written());
    if let Some(first) = written.get(DOCUMENTS_MAX) {
        let message = format!("there are {} documents, and {DOCUMENTS_MAX} is the limit", documents.len());
        findings.push(first.finding(first.place(), message).help("put several networks or rules into one document"));
    }
}

/// Two documents of one kind and name, or two settings.
fn check_unique(documents: &[Document], findings: &mut Findings) {
    let mut seen: BTreeMap<(Kind, &str), &Document> = BTreeMap::new();
    let mut settings: Option<&Document> = None;
    for document in documents {
        let kind = document.kind();
        let twin = seen.insert((kind, &document.name), document);
        if let Some(first) = twin {
            let message = format!("there are two {kind} documents named \"{}\"", document.name);
            let help = match &first.position {
                Some(position) => format!("the other one is at {position}; rename or remove one"),
                None => "rename or remove one".to_owned(),
            };
            findings.push(document.finding(document.place(), message).help(help));
            seen.insert((kind, &document.name), first);
        } else if kind == Kind::Settings
            && let Some(first) = settings.replace(document)
        {
            let at = first.position.as_ref().map(|position| format!(" at {position}")).unwrap_or_default();
            let message = format!("a cluster has one Settings document, and \"{}\"{at} is another", first.name);
            findings.push(document.finding(document.place(), message).help("put all settings into one document"));
        }
    }
}

fn segments(documents: &[Document]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = documents
        .iter()
        .filter_map(|document| match &document.body {
            Body::Segment(spec) => Some(segment(document, spec)),
            _ => None,
        })
        .collect();
    segments.sort_by(|a, b| a.name.cmp(&b.name));
    // Of two of one name, which is a finding, the first is meant: otherwise what refers to it would be one more.
    segments.dedup_by(|later, first| later.name == first.name);
    segments
}

fn segment(document: &Document, spec: &SegmentSpec) -> Segment {
    let mut services: Vec<Service> = spec
        .services
        .iter()
        .map(|service| Service { name: service.name.value.clone(), ports: service.ports })
        .collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    Segment {
        name: document.name.clone(),
        role: spec.role,
        labels: document.labels.clone(),
        addresses: sorted(&spec.addresses),
        services,
    }
}

/// Networks without their places, sorted, each once.
pub(crate) fn sorted(networks: &[Located<IpNet>]) -> Vec<IpNet> {
    let mut networks: Vec<IpNet> = networks.iter().map(|network| network.value).collect();
    networks.sort();
    networks.dedup();
    networks
}

fn policies(documents: &[Document], segments: &[Segment], findings: &mut Findings) -> Vec<Policy> {
    let written: Vec<(&Document, &PolicySpec)> = documents
        .iter()
        .filter_map(|document| match &document.body {
            Body::Policy(spec) => Some((document, &**spec)),
            _ => None,
        })
        .collect();
    check_rules(&written, findings);
    let mut policies: Vec<Policy> =
        written.iter().filter_map(|(document, spec)| policy::resolve(document, spec, segments, findings)).collect();
    policies.sort_by(|a, b| (a.tier, a.order, &a.name).cmp(&(b.tier, b.order, &b.name)));
    policies
}

/// Points at the first rule, and at the first one with limits, for which there is no room.
fn check_rules(policies: &[(&Document, &PolicySpec)], findings: &mut Findings) {
    let mut written = policies.to_vec();
    written.sort_by_key(|(document, _)| document.written());
    let rules = || {
        written.iter().flat_map(|(document, spec)| {
            spec.ingress.iter().chain(&spec.egress).flatten().map(move |rule| (*document, rule))
        })
    };
    let mut check = |rules: &mut dyn Iterator<Item = (&Document, &RuleSpec)>, what: &str, most: usize, help: &str| {
        let Some((document, rule)) = rules.nth(most) else { return };
        let count = most + 1 + rules.count();
        let name = &rule.name;
        let message = format!("{count} {what}, and {most} is the limit; \"{}\" is the first above it", name.value);
        findings.push(document.finding(name.place, message).help(help));
    };
    check(&mut rules(), "rules are written", RULES_MAX, "let segments stand for many addresses");
    let help = "merge rules that differ only in peers or services, or take `limits` out of some";
    check(&mut rules().filter(|(_, rule)| rule.limits.is_some()), "rules have limits", LIMITS_MAX, help);
}

fn settings(documents: &[Document]) -> Settings {
    let settings = documents.iter().find_map(|document| match &document.body {
        Body::Settings(settings) => Some(*settings),
        _ => None,
    });
    settings.unwrap_or_default()
}

fn channels(documents: &[Document], findings: &mut Findings) -> Vec<Channel> {
    let mut channels = Vec::new();
    for document in documents {
        let Body::SyncChannel(spec) = &document.body else { continue };
        match Channel::try_from(spec.clone()) {
            Ok(channel) => channels.push(channel),
            Err(error) => findings.push(document.finding(document.place(), error.to_string())),
        }
    }
    channels.sort_by(|a, b| a.name.cmp(&b.name));
    channels
}

/// By file in the order of the documents, then by place.
fn sort_findings(documents: &[Document], findings: &mut Findings) {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    for document in documents {
        if let Some(position) = &document.position {
            let next = files.len();
            files.entry(&position.file).or_insert(next);
        }
    }
    findings.sort_by_key(|finding| {
        let file = files.get(finding.file.as_str()).copied().unwrap_or(usize::MAX);
        (file, finding.line, finding.column)
    });
}

#[cfg(test)]
mod tests;
