use identity::NodeId;

use super::*;
use crate::{CertificateInfo, NodeKey};

fn authority(byte: u8) -> Authority {
    Authority::mint(ClusterId::from_bytes([byte; 16]), 1).unwrap()
}

fn name(authority: &Authority, node: u64) -> CertName {
    CertName { cluster: authority.cluster(), epoch: authority.epoch(), node: NodeId::new(node).unwrap() }
}

#[test]
fn an_authority_survives_its_text_form() {
    let first = authority(1);
    let again = Authority::from_pem(&first.to_pem()).unwrap();
    assert_eq!(again.cluster(), first.cluster());
    assert_eq!(again.epoch(), 1);
    assert_eq!(again.spki_hash(), first.spki_hash());
    assert_eq!(again.certificate_der(), first.certificate_der());
    assert_eq!(again.to_pem(), first.to_pem());
}

#[test]
fn a_certificate_names_its_node_and_holds_for_its_life() {
    let authority = authority(1);
    let key = NodeKey::generate().unwrap();
    let asked = name(&authority, 7);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let der = authority.issue(&asked, &key.public_key(), &["10.0.0.1".parse().unwrap()], now, CERT_LIFETIME).unwrap();
    let info = CertificateInfo::parse(&der.into()).unwrap();
    assert_eq!(info.name, Some(asked));
    assert_eq!(info.fingerprint, key.fingerprint());
    assert_eq!(info.not_before, now - CERT_BACKDATE);
    assert_eq!(info.not_after, now + CERT_LIFETIME);
    assert!(info.renew_at() > now + CERT_LIFETIME / 2 && info.renew_at() < info.not_after);
}

#[test]
fn a_signing_request_gives_its_key_and_nothing_else() {
    let authority = authority(1);
    let pair = KeyPair::generate().unwrap();
    let mut wish = CertificateParams::default();
    wish.subject_alt_names = vec![SanType::URI(name(&authority, 1).to_string().try_into().unwrap())];
    let request = wish.serialize_request(&pair).unwrap();
    let asked = name(&authority, 9);
    let der = authority.issue(&asked, request.der(), &[], SystemTime::now(), CERT_LIFETIME).unwrap();
    let info = CertificateInfo::parse(&der.into()).unwrap();
    assert_eq!(info.name, Some(asked), "the name is the cluster's to give, not the node's to wish");
    assert_eq!(info.public_key, pair.subject_public_key_info());
}

#[test]
fn g9_a_name_of_another_cluster_is_not_issued() {
    let (mine, other) = (authority(1), authority(2));
    let key = NodeKey::generate().unwrap();
    let error = mine.issue(&name(&other, 3), &key.public_key(), &[], SystemTime::now(), CERT_LIFETIME).unwrap_err();
    assert!(matches!(error, IssueError::OtherCluster { .. }));
    let garbage = mine.issue(&name(&mine, 3), b"not a key", &[], SystemTime::now(), CERT_LIFETIME).unwrap_err();
    assert!(matches!(garbage, IssueError::Request { .. }));
}

#[test]
fn halves_of_two_authorities_are_not_one() {
    let (a, b) = (authority(1), authority(1));
    let (certificate, _) = split(a.certificate_pem.as_str()).unwrap_or((&a.certificate_pem, ""));
    let mixed = format!("{certificate}{}", b.issuer.key().serialize_pem());
    assert_eq!(Authority::from_pem(&mixed).unwrap_err(), AuthorityError::KeyMismatch);
    assert!(matches!(Authority::from_pem("nothing"), Err(AuthorityError::Pem(_))));
    assert!(matches!(Authority::from_pem(&a.certificate_pem), Err(AuthorityError::Pem(_))));
}
