use std::time::{Duration, SystemTime};

use super::*;
use crate::{Authority, CERT_LIFETIME, Credentials, NodeKey, testing};

const HOUR: Duration = Duration::from_secs(3600);

fn node(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

/// What n1 of cluster 1 says about a certificate.
fn verdict(
    authority: &Authority,
    question: Question,
    other: &Credentials,
    denied: &DenyList,
) -> Result<NodeId, PeerRefused> {
    let me = testing::credentials(authority, 1, &NodeKey::generate().unwrap());
    let member = Member::new(&me).unwrap();
    judge(&member, denied, question, &other.chain, UnixTime::now()).map(|peer| peer.node)
}

#[test]
fn a_member_is_accepted_as_itself_only() {
    let authority = testing::authority(1);
    let n2 = testing::credentials(&authority, 2, &NodeKey::generate().unwrap());
    let nobody = DenyList::default();
    assert_eq!(verdict(&authority, Question::Dialler, &n2, &nobody), Ok(node(2)));
    assert_eq!(verdict(&authority, Question::Dialled(node(2)), &n2, &nobody), Ok(node(2)));
    assert_eq!(
        verdict(&authority, Question::Dialled(node(3)), &n2, &nobody),
        Err(PeerRefused::WrongNode { dialled: node(3), found: node(2) })
    );
    let n1 = testing::credentials(&authority, 1, &NodeKey::generate().unwrap());
    assert_eq!(verdict(&authority, Question::Dialler, &n1, &nobody), Err(PeerRefused::Myself(node(1))));
}

#[test]
fn g9_other_clusters_and_epochs_are_refused_by_name() {
    let authority = testing::authority(1);
    let stranger = testing::credentials(&testing::authority(2), 2, &NodeKey::generate().unwrap());
    let older = Authority::mint(authority.cluster(), 0).unwrap();
    let old = testing::credentials(&older, 2, &NodeKey::generate().unwrap());
    for question in [Question::Dialler, Question::Dialled(node(2))] {
        assert!(matches!(
            verdict(&authority, question, &stranger, &DenyList::default()),
            Err(PeerRefused::OtherCluster { .. })
        ));
        assert_eq!(
            verdict(&authority, question, &old, &DenyList::default()),
            Err(PeerRefused::OtherEpoch { expected: 1, found: 0 })
        );
    }
}

/// Someone mints an authority of their own that claims to be ours.
#[test]
fn a_forged_authority_of_the_same_name_is_refused() {
    let authority = testing::authority(1);
    let forged = testing::credentials(&testing::authority(1), 2, &NodeKey::generate().unwrap());
    for question in [Question::Dialler, Question::Dialled(node(2))] {
        assert_eq!(
            verdict(&authority, question, &forged, &DenyList::default()),
            Err(PeerRefused::UnknownAuthority(node(2)))
        );
    }
}

#[test]
fn certificates_out_of_their_time_are_refused() {
    let authority = testing::authority(1);
    let now = SystemTime::now();
    for (begin, wanted) in
        [(now - CERT_LIFETIME - HOUR, PeerRefused::Expired(node(2))), (now + 2 * HOUR, PeerRefused::NotYet(node(2)))]
    {
        let other = testing::credentials_at(&authority, 2, &NodeKey::generate().unwrap(), begin);
        for question in [Question::Dialler, Question::Dialled(node(2))] {
            assert_eq!(verdict(&authority, question, &other, &DenyList::default()), Err(wanted.clone()));
        }
    }
}

#[test]
fn g12_denied_nodes_and_keys_are_refused() {
    let authority = testing::authority(1);
    let key = NodeKey::generate().unwrap();
    let n2 = testing::credentials(&authority, 2, &key);
    let by_node = DenyList { nodes: [node(2)].into(), ..DenyList::default() };
    let by_key = DenyList { fingerprints: [key.fingerprint()].into(), ..DenyList::default() };
    for denied in [by_node, by_key] {
        assert_eq!(verdict(&authority, Question::Dialler, &n2, &denied), Err(PeerRefused::Denied(node(2))));
    }
}

#[test]
fn certificates_without_a_name_are_refused() {
    let authority = testing::authority(1);
    let mut n2 = testing::credentials(&authority, 2, &NodeKey::generate().unwrap());
    n2.chain = vec![authority.certificate_der()];
    assert_eq!(verdict(&authority, Question::Dialler, &n2, &DenyList::default()), Err(PeerRefused::NoName));
    n2.chain = vec![CertificateDer::from(vec![0x30, 0x80, 1, 2, 3])];
    assert!(matches!(
        verdict(&authority, Question::Dialler, &n2, &DenyList::default()),
        Err(PeerRefused::Unreadable(_))
    ));
    n2.chain.clear();
    assert_eq!(verdict(&authority, Question::Dialler, &n2, &DenyList::default()), Err(PeerRefused::NoName));
}
