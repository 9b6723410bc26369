//! The content of a revision: which documents it has, and the digest that names them.

use std::collections::BTreeMap;

use identity::Digest;
use ring::digest::{Context, SHA256};

use crate::document::{Document, Kind};

/// Names the content of a set of documents, whatever their order: SHA-256 over the canonical JSON of each, by kind and
/// name, each preceded by its length.
pub fn content_digest(documents: &[Document]) -> Digest {
    let mut sorted: Vec<&Document> = documents.iter().collect();
    sorted.sort_by(|a, b| (a.kind(), &a.name).cmp(&(b.kind(), &b.name)));
    let mut context = Context::new(&SHA256);
    for document in sorted {
        let json = document.to_json();
        context.update(&(json.len() as u64).to_be_bytes());
        context.update(json.as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Digest(digest)
}

/// The documents after an application: those given take the place of those of the same kind and name. With `prune`
/// nothing else stays. By kind and name; two given of one kind and name both stay, for
/// [`validate`](crate::validate) to refuse.
pub fn merge(current: &[Document], given: &[Document], prune: bool) -> Vec<Document> {
    let mut merged: BTreeMap<(Kind, &str), Vec<&Document>> = BTreeMap::new();
    for document in given {
        merged.entry((document.kind(), &document.name)).or_default().push(document);
    }
    for document in current.iter().filter(|_| !prune) {
        merged.entry((document.kind(), &document.name)).or_insert_with(|| vec![document]);
    }
    merged.into_values().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::random_documents;

    #[test]
    fn the_digest_ignores_order_and_sees_every_document() {
        let documents = random_documents(3);
        let digest = content_digest(&documents);
        let mut reversed = documents.clone();
        reversed.reverse();
        assert_eq!(content_digest(&reversed), digest);
        assert_ne!(content_digest(&documents[1..]), digest);
        assert_ne!(content_digest(&random_documents(4)), digest);
    }

    /// Revisions that were written before rules could have limits keep their names.
    #[test]
    fn documents_without_limits_keep_their_digest() {
        let json = concat!(
            r#"{"apiVersion":"hedgerow/v1","kind":"Policy","metadata":{"name":"p"},"spec":{"tier":"platform","#,
            r#""appliesTo":{"segment":"any"},"ingress":[{"name":"r","action":"allow","log":true}]}}"#
        );
        let document = Document::from_json(json).unwrap();
        assert_eq!(document.to_json(), json);
        let digest = "fcbdb25d3a40011178d4f54fbbc69f07fd3ee1e11f7d1522985ee34266444060";
        assert_eq!(content_digest(&[document]).to_string(), digest);
    }

    #[test]
    fn merge_replaces_by_kind_and_name() {
        let (current, given) = (random_documents(3), random_documents(4));
        let merged = merge(&current, &given, false);
        assert!(given.iter().all(|document| merged.contains(document)));
        let named =
            |document: &Document| given.iter().any(|g| (g.kind(), &g.name) == (document.kind(), &document.name));
        assert_eq!(merged.len(), given.len() + current.iter().filter(|document| !named(document)).count());
        assert_eq!(merge(&merged, &given, false), merged);
        assert_eq!(content_digest(&merge(&current, &given, true)), content_digest(&given));
    }

    #[test]
    fn merge_keeps_twins_for_validation_to_refuse() {
        let given = random_documents(3);
        let twice: Vec<Document> = given.iter().chain(&given[..1]).cloned().collect();
        let merged = merge(&[], &twice, true);
        assert_eq!(merged.len(), given.len() + 1);
        assert!(crate::validate(&merged).is_err());
    }
}
