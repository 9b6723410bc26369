//! Proving a secret to each other: the way in, and everything that must not be one.

use std::{future::ready, net::SocketAddr, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::{
    rogue::{Rogue, alone, frames},
    *,
};
use crate::{
    Authority, DenyList, Endpoint, FormError, FormPeer, FormStream, JoinToken, Refusal, Secret, SecretId,
    form::{self, Answer, Opening},
    quic::Protocol,
    secret::Side,
    testing,
};

const BOOTSTRAP: &[u8] = b"correct horse battery staple";

fn token(authority: &Authority, seed: SocketAddr) -> JoinToken {
    JoinToken {
        cluster: authority.cluster(),
        ca: authority.spki_hash(),
        id: [3; 16],
        secret: [9; 32],
        expires_ms: u64::MAX,
        seeds: vec![seed],
    }
}

/// Lets in whoever proves this token's secret.
fn admit(endpoint: &Endpoint, token: &JoinToken) {
    let (id, hash) = (SecretId(token.id), token.secret_hash());
    endpoint.set_form_secrets(move |asked| {
        ready(if asked == id { Ok(Secret::from_hash(id, hash)) } else { Err(Refusal::Unknown) })
    });
}

async fn formed(inbox: &mut Inbox) -> FormStream {
    expect(inbox, |arrival| match arrival {
        Arrival::Form { peer, sender, receiver } => Some(FormStream { peer, sender, receiver }),
        _ => None,
    })
    .await
}

async fn refusal(dialler: &Endpoint, to: &Endpoint, secret: &Secret) -> Refusal {
    match within(dialler.dial_form(to.local_addr(), secret, None)).await {
        Err(FormError::Refused { refusal, .. }) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The whole way in: prove the token, send the key, receive a certificate, be a member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_leads_to_a_certificate() {
    let authority = testing::authority(1);
    let (member, mut inbox) = testing::member(&authority, 1);
    let (joiner, joiner_inbox) = testing::stranger();
    let token: JoinToken = token(&authority, member.local_addr()).to_string().parse().unwrap();
    admit(&member, &token);
    let mut stream = within(joiner.dial_form(token.seeds[0], &token.secret(), Some(token.ca))).await.unwrap();
    assert_eq!(stream.peer.name, member.name(), "the member showed the certificate of the token's authority");
    let mut served = formed(&mut inbox).await;
    let FormPeer { fingerprint, secret, name, .. } = served.peer.clone();
    assert_eq!((fingerprint, secret, name), (joiner.fingerprint(), SecretId(token.id), None));
    stream.send_msg(&"lb2").await.unwrap();
    assert_eq!(within(served.recv_msg::<String>()).await, Ok(Some("lb2".to_owned())));
    let name = identity::CertName { node: testing::node(2), ..member.name().unwrap() };
    let issued = authority
        .issue(&name, &served.peer.public_key, &[], std::time::SystemTime::now(), crate::CERT_LIFETIME)
        .unwrap();
    served.send_msg(&issued).await.unwrap();
    // The member lets go at once; the certificate arrives all the same.
    drop(served);
    let der: Vec<u8> = within(stream.recv_msg()).await.unwrap().unwrap();
    drop(stream);
    let credentials = crate::Credentials {
        name,
        chain: vec![der.into()],
        key: joiner.shared.key.private_der(),
        roots: vec![authority.certificate_der()],
    };
    joiner.set_credentials(&credentials).unwrap();
    testing::introduce(&[(1, &member), (2, &joiner)]);
    let _echo = echo(joiner_inbox);
    within(call(&member, testing::node(2), StreamKind::Control)).await.unwrap();
}

/// Zero-touch: neither is a member, both know the bootstrap secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_strangers_prove_the_bootstrap_secret() {
    let (a, _inbox_a) = testing::stranger();
    let (b, mut inbox_b) = testing::stranger();
    let secret = Secret::bootstrap(BOOTSTRAP).unwrap();
    assert_eq!(refusal(&a, &b, &secret).await, Refusal::NotReady);
    let known = secret.clone();
    b.set_form_secrets(move |id| {
        ready(if id == SecretId::BOOTSTRAP { Ok(known.clone()) } else { Err(Refusal::Unknown) })
    });
    let mut stream = within(a.dial_form(b.local_addr(), &secret, None)).await.unwrap();
    assert_eq!(stream.peer.fingerprint, b.fingerprint());
    let mut served = formed(&mut inbox_b).await;
    assert_eq!((served.peer.fingerprint, served.peer.secret), (a.fingerprint(), SecretId::BOOTSTRAP));
    served.send_msg(&1u64).await.unwrap();
    assert_eq!(within(stream.recv_msg::<u64>()).await, Ok(Some(1)));
    drop(stream);
    assert_eq!(within(served.recv_msg::<u64>()).await, Ok(None), "it ends in good order");
}

/// Each reason is carried to the dialler as what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_reaches_the_dialler_with_its_reason() {
    let authority = testing::authority(1);
    let (member, _inbox) = testing::member(&authority, 1);
    let (joiner, _joiner_inbox) = testing::stranger();
    let good = token(&authority, member.local_addr());
    let looked_up = [
        Refusal::Unknown,
        Refusal::Used,
        Refusal::Expired,
        Refusal::NoLongerForming,
        Refusal::NotReady,
        Refusal::Unconfirmed,
    ];
    for reason in looked_up {
        member.set_form_secrets(move |_| ready(Err(reason)));
        assert_eq!(refusal(&joiner, &member, &good.secret()).await, reason);
    }
    admit(&member, &good);
    let wrong = JoinToken { secret: [8; 32], ..good.clone() };
    assert_eq!(refusal(&joiner, &member, &wrong.secret()).await, Refusal::WrongProof);
    let elsewhere = JoinToken { cluster: testing::authority(2).cluster(), ..good.clone() };
    assert_eq!(refusal(&joiner, &member, &elsewhere.secret()).await, Refusal::WrongCluster);
    member.set_denied(DenyList { fingerprints: [joiner.fingerprint()].into(), ..DenyList::default() });
    assert_eq!(refusal(&joiner, &member, &good.secret()).await, Refusal::Denied);
    assert_eq!(member.stats().proofs_refused, 9);
    member.set_denied(DenyList::default());
    within(joiner.dial_form(member.local_addr(), &good.secret(), Some(good.ca))).await.unwrap();
}

/// Whether a secret is good may have to be asked of others: whoever proves it waits, and others are served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_may_wait() {
    let authority = testing::authority(1);
    let (member, _inbox) = testing::member(&authority, 1);
    let (joiner, _joiner_inbox) = testing::stranger();
    let slow = token(&authority, member.local_addr());
    let quick = JoinToken { id: [4; 16], ..slow.clone() };
    let (id, hash) = (SecretId(slow.id), slow.secret_hash());
    let (told, begun) = (CancellationToken::new(), CancellationToken::new());
    let (tell, has_begun) = (told.clone(), begun.clone());
    member.set_form_secrets(move |asked| {
        let (told, begun) = (told.clone(), begun.clone());
        async move {
            if asked == id {
                begun.cancel();
                told.cancelled().await;
            }
            Ok(Secret::from_hash(asked, hash))
        }
    });
    let (secret, to) = (slow.secret(), member.local_addr());
    let waiting = joiner.dial_form(to, &secret, Some(slow.ca));
    tokio::pin!(waiting);
    let (other, _other_inbox) = testing::stranger();
    let quick_secret = quick.secret();
    tokio::select! {
        _ = &mut waiting => panic!("nobody has said yet whether the secret is good"),
        () = within(has_begun.cancelled()) => {}
    }
    tokio::select! {
        _ = &mut waiting => panic!("nobody has said yet whether the secret is good"),
        served = within(other.dial_form(to, &quick_secret, Some(quick.ca))) => drop(served.unwrap()),
    }
    tell.cancel();
    within(waiting).await.unwrap();
}

/// A lookup that answers with another secret than the one asked for opens nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistaken_lookup_opens_nothing() {
    let (a, _inbox_a) = testing::stranger();
    let (b, _inbox_b) = testing::stranger();
    let secret = Secret::bootstrap(BOOTSTRAP).unwrap();
    let other = Secret::from_hash(SecretId([1; 16]), secret.hash());
    b.set_form_secrets(move |_| ready(Ok(other.clone())));
    assert_eq!(refusal(&a, &b, &secret).await, Refusal::WrongProof);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_a_joiner_believes_the_authority_of_its_token_only() {
    let (ours, theirs) = (testing::authority(1), testing::authority(2));
    let (other, _inbox_other) = testing::member(&theirs, 1);
    let (nobody, _inbox_nobody) = testing::stranger();
    let (joiner, _joiner_inbox) = testing::stranger();
    let token = token(&ours, other.local_addr());
    for endpoint in [&other, &nobody] {
        // Even one who knows the secret.
        admit(endpoint, &token);
        let error = within(joiner.dial_form(endpoint.local_addr(), &token.secret(), Some(token.ca))).await.unwrap_err();
        assert!(matches!(error, FormError::WrongAuthority { .. }), "{error}");
        assert_eq!(endpoint.stats().proofs_refused, 0, "the secret was not even mentioned");
    }
}

/// One in the middle relays a proof on a connection of its own: the keying material differs, and the proof with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_proof_opens_nothing() {
    let (victim, _inbox_victim) = testing::stranger();
    let (target, mut inbox_target) = testing::stranger();
    let secret = Secret::bootstrap(BOOTSTRAP).unwrap();
    let known = secret.clone();
    target.set_form_secrets(move |_| ready(Ok(known.clone())));
    let middle = Rogue::new();
    let (addr, at) = (target.local_addr(), middle.addr());
    let relay = tokio::spawn(async move {
        let from_victim = middle.quinn.accept().await.unwrap().await.unwrap();
        let (mut to_victim, mut of_victim) = frames(&from_victim, from_victim.accept_bi().await.unwrap());
        let proof: Opening = of_victim.recv_msg().await.unwrap().unwrap();
        let onward = middle.dial(addr, Protocol::Form, alone(&middle.key)).await.unwrap();
        let (mut to_target, mut of_target) = frames(&onward, onward.open_bi().await.unwrap());
        to_target.send_msg(&proof).await.unwrap();
        let answer: Answer = of_target.recv_msg().await.unwrap().unwrap();
        // It does not know the secret and sends the dialler's own proof back to it.
        to_victim.send_msg(&Answer::Proven(proof.proof)).await.unwrap();
        to_victim.drained().await;
        answer
    });
    let error = within(victim.dial_form(at, &secret, None)).await.unwrap_err();
    assert_eq!(error, FormError::Unproven { addr: at });
    assert_eq!(within(relay).await.unwrap(), Answer::Refused(Refusal::WrongProof));
    target.shutdown().await;
    drop(target);
    assert!(within(inbox_target.recv()).await.is_none(), "nobody was let in");
}

/// The same two keys, the right secret, and a proof made for another connection between them: only the keying material
/// differs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_of_another_connection_opens_nothing() {
    let (target, _inbox) = testing::stranger();
    let secret = Secret::bootstrap(BOOTSTRAP).unwrap();
    let known = secret.clone();
    target.set_form_secrets(move |_| ready(Ok(known.clone())));
    let rogue = Rogue::new();
    let dial = || rogue.dial(target.local_addr(), Protocol::Form, alone(&rogue.key));
    let (first, second) = (within(dial()).await.unwrap(), within(dial()).await.unwrap());
    let claim = form::claim(&first, Side::Dialler, rogue.key.fingerprint(), target.fingerprint()).unwrap();
    let opening = Opening { secret: secret.id(), cluster: None, proof: secret.prove(&claim) };
    for (connection, opens) in [(second, false), (first, true)] {
        let (mut sender, mut receiver) = frames(&connection, connection.open_bi().await.unwrap());
        sender.send_msg(&opening).await.unwrap();
        let answer: Answer = within(receiver.recv_msg()).await.unwrap().unwrap();
        assert_eq!(matches!(answer, Answer::Proven(_)), opens, "{answer:?}");
    }
}

/// G15: whatever is sent instead of a proof is refused, and the next one is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_garbage_instead_of_a_proof_is_refused() {
    let (target, _inbox) = testing::stranger();
    let secret = Secret::bootstrap(BOOTSTRAP).unwrap();
    let known = secret.clone();
    target.set_form_secrets(move |_| ready(Ok(known.clone())));
    let rogue = Rogue::new();
    for garbage in [&b"\xff\xff\xff\xff"[..], b"\x00\x00\x00\x00", b"\x05\x00\x00\x00abcde", b""] {
        let connection = within(rogue.dial(target.local_addr(), Protocol::Form, alone(&rogue.key))).await.unwrap();
        let (mut send, _receive) = within(connection.open_bi()).await.unwrap();
        send.write_all(garbage).await.unwrap();
        send.finish().unwrap();
        within(connection.closed()).await;
    }
    assert_eq!(target.stats().proofs_refused, 4);
    let (good, _good_inbox) = testing::stranger();
    within(good.dial_form(target.local_addr(), &secret, None)).await.unwrap();
}

/// G15: before a proof there is one stream, and a frame of more than a proof's length ends the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_strangers_get_little_room() {
    let (target, _inbox) = testing::stranger();
    let rogue = Rogue::new();
    let connection = within(rogue.dial(target.local_addr(), Protocol::Form, alone(&rogue.key))).await.unwrap();
    let (mut send, _receive) = within(connection.open_bi()).await.unwrap();
    let second = tokio::time::timeout(Duration::from_millis(100), connection.open_bi()).await;
    assert!(second.is_err(), "a second stream has to wait");
    send.write_all(&2_000u32.to_le_bytes()).await.unwrap();
    let told = within(connection.closed()).await;
    assert!(told.to_string().contains("at most 1024 are allowed"), "{told}");
    assert_eq!(target.stats().frames_too_long, 1);
}

/// Forming connections are bounded in number, and each gives its place back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_forming_connections_are_bounded() {
    let key = crate::NodeKey::generate().unwrap();
    let (target, mut inbox) = testing::bind_with(&key, crate::Limits { forming_max: 2, ..testing::limits() });
    let secret = Secret::bootstrap(BOOTSTRAP).unwrap();
    let known = Arc::new(secret.clone());
    target.set_form_secrets(move |_| ready(Ok((*known).clone())));
    let (joiner, _joiner_inbox) = testing::stranger();
    let first = within(joiner.dial_form(target.local_addr(), &secret, None)).await.unwrap();
    let second = within(joiner.dial_form(target.local_addr(), &secret, None)).await.unwrap();
    let error = within(joiner.dial_form(target.local_addr(), &secret, None)).await.unwrap_err();
    assert!(error.to_string().contains("too many nodes"), "{error}");
    drop((first, second));
    for _ in 0..2 {
        assert_eq!(within(formed(&mut inbox).await.recv_msg::<u8>()).await, Ok(None));
    }
    within(async {
        while joiner.dial_form(target.local_addr(), &secret, None).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
