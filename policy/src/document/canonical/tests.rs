//! Canonical JSON, YAML and serde: there and back again.

use proptest::prelude::*;

use super::*;
use crate::document::{SourceText, parse};
use crate::sample::random_documents;

fn source(text: String) -> [SourceText; 1] {
    [SourceText { name: "sample".to_owned(), text }]
}

proptest! {
    #[test]
    fn canonical_json_comes_back(seed: u64) {
        for document in random_documents(seed) {
            let json = document.to_json();
            let back = Document::from_json(&json).unwrap();
            prop_assert_eq!(&back, &document);
            prop_assert_eq!(back.to_json(), json);
        }
    }

    #[test]
    fn yaml_and_json_are_read_alike(seed: u64) {
        for document in random_documents(seed) {
            let [yaml, json] = [document.to_yaml(), document.to_json()].map(|text| parse(&source(text)).unwrap());
            prop_assert_eq!(&yaml, &[document][..]);
            prop_assert_eq!(yaml, json);
        }
    }

    #[test]
    fn validation_is_deterministic(seed: u64) {
        let documents = random_documents(seed);
        prop_assert_eq!(crate::validate(&documents), crate::validate(&documents));
    }

    #[test]
    fn g15_random_text_never_panics(text in "\\PC*", yaml in "[a-z:{}\\[\\]\\-,&*!|>'\"%@# \n\t0-9./]{0,200}") {
        let _ = parse(&source(text.clone()));
        let _ = parse(&source(yaml));
        let _ = Document::from_json(&text);
    }

    #[test]
    fn g15_damaged_documents_never_panic(seed in 0u64..1000, cut in any::<prop::sample::Index>(), put in "\\PC{0,3}") {
        let text: String = random_documents(seed).iter().map(|document| document.to_yaml() + "---\n").collect();
        let mut characters: Vec<char> = text.chars().collect();
        let at = cut.index(characters.len());
        characters.splice(at..(at + 2).min(characters.len()), put.chars());
        let sources = source(characters.into_iter().collect());
        match parse(&sources) {
            Ok(documents) => drop(crate::validate(&documents)),
            Err(findings) => prop_assert!(!findings.render(&sources, false).is_empty()),
        }
    }
}

#[test]
fn serde_goes_through_the_same_judgement() {
    let document = random_documents(1).remove(0);
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(json, document.to_json());
    assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    let error = serde_json::from_str::<Document>(&json.replace("\"role\"", "\"rol\"")).unwrap_err();
    assert!(error.to_string().contains("has no field `rol` (did you mean `role`?)"), "{error}");
}

#[test]
fn what_is_no_json_says_where() {
    let error = Document::from_json("{\"apiVersion\": }").unwrap_err();
    assert!(error.to_string().starts_with("JSON document:1:16: "), "{error}");
}
