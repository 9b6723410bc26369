//! Reading the policy: documents, history, segments, differences.

use std::{collections::BTreeMap, sync::Arc};

use policy::{
    Document, Model, SourceText,
    model::{ANY, MEMBERS, Scope},
};
use raft::State;

use super::{READ_WITHIN, failure};
use crate::{
    agent::{compiled, mesh::Mesh},
    fit::fit,
    peer::ApiError,
    view,
};

/// The state as fresh as asked for, and the log index at which it was taken (G3).
pub(super) async fn state(mesh: &Mesh, consistency: view::Consistency) -> Result<(Arc<State>, u64), ApiError> {
    match consistency {
        view::Consistency::Local => Ok(mesh.raft.local()),
        view::Consistency::Linearizable => {
            let state = mesh.raft.read(READ_WITHIN).await.map_err(|error| failure::read(&error))?;
            let index = state.applied_index();
            Ok((state, index))
        }
    }
}

pub(super) async fn documents(mesh: &Mesh, query: &view::PolicyQuery) -> Result<view::PolicyDocuments, ApiError> {
    let (state, index) = state(mesh, query.consistency).await?;
    let wanted = |document: &&Document| query.name.as_ref().is_none_or(|name| document.name == *name);
    let documents: Vec<_> = state.documents.iter().filter(wanted).map(as_value).collect();
    if let (Some(name), true) = (&query.name, documents.is_empty()) {
        let names: Vec<&str> = state.documents.iter().map(|document| document.name.as_str()).collect();
        let help = (!names.is_empty()).then(|| format!("there are: {}", names.join(", ")));
        return Err(ApiError::NotFound { message: format!("there is no document `{name}`"), help });
    }
    let digest = state.revisions.back().map(|revision| revision.digest);
    Ok(view::PolicyDocuments { revision: state.revision(), index, digest, documents })
}

fn as_value(document: &Document) -> serde_json::Value {
    serde_json::from_str(&document.to_json()).expect("the canonical form of a document is JSON")
}

pub(super) async fn history(mesh: &Mesh, consistency: view::Consistency) -> Result<view::History, ApiError> {
    let (state, _) = state(mesh, consistency).await?;
    let active = state.active.as_ref().map(|epoch| epoch.revision);
    let revisions = state.revisions.iter().rev().map(|revision| view::Revision {
        number: revision.number,
        digest: revision.digest,
        actor: revision.actor.clone(),
        at_ms: revision.at_ms,
        message: revision.message.clone(),
        documents: revision.texts.len() as u64,
        active: active == Some(revision.number),
    });
    Ok(view::History { revisions: revisions.collect() })
}

pub(super) async fn segments(mesh: &Mesh, consistency: view::Consistency) -> Result<view::Segments, ApiError> {
    let (state, _) = state(mesh, consistency).await?;
    let model = policy::validate(&state.documents).map_err(|diagnostics| findings(&diagnostics))?;
    let members = compiled::routable_addresses(&state).iter().map(ToString::to_string).collect();
    Ok(view::Segments { revision: state.revision(), segments: listed(&model, members) })
}

/// Those of the model and the two that are built in, by name.
fn listed(model: &Model, members: Vec<String>) -> Vec<view::Segment> {
    let everything = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let mut segments = vec![
        built_in(ANY, everything, policies_for(model, |_| false)),
        built_in(MEMBERS, members, policies_for(model, |scope| *scope == Scope::Members)),
    ];
    segments.extend(model.segments.iter().enumerate().map(|(index, segment)| as_view(model, index, segment)));
    segments.sort_by(|one, other| one.name.cmp(&other.name));
    segments
}

fn built_in(name: &str, addresses: Vec<String>, policies: Vec<String>) -> view::Segment {
    view::Segment {
        name: name.to_owned(),
        role: "built-in".to_owned(),
        labels: BTreeMap::new(),
        addresses,
        services: Vec::new(),
        policies,
    }
}

fn as_view(model: &Model, index: usize, segment: &policy::model::Segment) -> view::Segment {
    let names_it = |scope: &Scope| matches!(scope, Scope::Segments(segments) if segments.contains(&index));
    view::Segment {
        name: segment.name.clone(),
        role: segment.role.to_string(),
        labels: segment.labels.clone(),
        addresses: segment.addresses.iter().map(ToString::to_string).collect(),
        services: segment.services.iter().map(|service| format!("{} {}", service.name, service.ports)).collect(),
        policies: policies_for(model, names_it),
    }
}

/// The policies that apply to everything, and those that name this segment, in the order in which they are asked.
fn policies_for(model: &Model, names_it: impl Fn(&Scope) -> bool) -> Vec<String> {
    let applies = |scope: &Scope| *scope == Scope::Any || names_it(scope);
    model.policies.iter().filter(|policy| applies(&policy.applies_to)).map(|policy| policy.name.clone()).collect()
}

pub(super) async fn diff(mesh: &Mesh, request: &view::DiffRequest) -> Result<view::DiffAnswer, ApiError> {
    let (state, _) = state(mesh, request.consistency).await?;
    let given = parse(&request.sources)?;
    let merged = policy::merge(&state.documents, &given, request.prune);
    let merged = check(&state, merged).await?;
    Ok(view::DiffAnswer { revision: state.revision(), changes: changes(&state.documents, &merged) })
}

/// The documents in the files of a request.
pub(super) fn parse(sources: &[view::Source]) -> Result<Vec<Document>, ApiError> {
    let texts: Vec<SourceText> =
        sources.iter().map(|source| SourceText { name: source.name.clone(), text: source.text.clone() }).collect();
    policy::parse(&texts).map_err(|diagnostics| findings(&diagnostics))
}

/// Refuses what would not validate or not fit, with positions, before anything is proposed.
pub(super) async fn check(base: &State, documents: Vec<Document>) -> Result<Vec<Document>, ApiError> {
    let members = compiled::routable_addresses(base);
    let judging = tokio::task::spawn_blocking(move || fit(&documents, &members).map(|_| documents));
    let judged = judging.await.map_err(ApiError::internal)?;
    judged.map_err(|diagnostics| findings(&diagnostics))
}

pub(super) fn findings(diagnostics: &policy::Diagnostics) -> ApiError {
    ApiError::findings(diagnostics.0.iter().cloned().map(view::Finding::from).collect())
}

/// What changes from one set of documents to another.
pub(super) fn changes(old: &[Document], new: &[Document]) -> Vec<view::Change> {
    let change = |change: policy::Change| view::Change {
        change: match change.change {
            policy::ChangeKind::Added => view::ChangeKind::Added,
            policy::ChangeKind::Removed => view::ChangeKind::Removed,
            policy::ChangeKind::Changed => view::ChangeKind::Changed,
        },
        kind: change.kind,
        name: change.name,
        text: change.text,
    };
    policy::diff(old, new).changes.into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bug: the built-in segments were listed without a policy, whatever applied to them.
    #[test]
    fn every_segment_is_listed_with_the_policies_that_apply_to_it() {
        let policy = |name: &str, applies_to: &str| {
            format!(
                "apiVersion: hedgerow/v1\nkind: Policy\nmetadata: {{name: {name}}}\n\
                 spec: {{tier: application, appliesTo: {applies_to}, ingress: []}}\n---\n"
            )
        };
        let web = "apiVersion: hedgerow/v1\nkind: Segment\nmetadata: {name: web}\n\
                   spec: {role: vip, addresses: [203.0.113.10/32]}\n";
        let text = [
            policy("every", "{any: true}"),
            policy("nodes", "{segment: members}"),
            policy("shop", "{segment: web}"),
            web.to_owned(),
        ];
        let sources = [view::Source { name: "shop.yaml".to_owned(), text: text.concat() }];
        let model = policy::validate(&parse(&sources).unwrap()).unwrap();
        let segments = listed(&model, vec!["10.77.0.1".to_owned()]);
        let found: Vec<_> = segments.iter().map(|one| (one.name.as_str(), one.policies.join(" "))).collect();
        let wanted = [("any", "every"), ("members", "every nodes"), ("web", "every shop")];
        assert_eq!(found, wanted.map(|(name, policies)| (name, policies.to_owned())));
    }
}
