//! What tests of several modules need: authorities, credentials, endpoints on the loopback.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime},
};

use identity::{CertName, ClusterId, NodeId};
use rustls_pki_types::CertificateDer;

use crate::{Authority, BindConfig, CERT_LIFETIME, Credentials, Endpoint, Inbox, Limits, NodeKey};

pub(crate) fn node(number: u64) -> NodeId {
    NodeId::new(number).expect("tests count nodes from 1")
}

pub(crate) fn authority(cluster: u8) -> Authority {
    Authority::mint(ClusterId::from_bytes([cluster; 16]), 1).expect("a fresh authority")
}

pub(crate) fn credentials(authority: &Authority, number: u64, key: &NodeKey) -> Credentials {
    credentials_at(authority, number, key, SystemTime::now())
}

pub(crate) fn credentials_at(authority: &Authority, number: u64, key: &NodeKey, now: SystemTime) -> Credentials {
    let name = CertName { cluster: authority.cluster(), epoch: authority.epoch(), node: node(number) };
    let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let der = authority
        .issue(&name, &key.public_key(), &addresses, now, CERT_LIFETIME)
        .expect("a certificate for a node of the cluster");
    Credentials {
        name,
        chain: vec![CertificateDer::from(der)],
        key: key.private_der(),
        roots: vec![authority.certificate_der()],
    }
}

/// Short times, so that tests of time-outs end soon.
pub(crate) fn limits() -> Limits {
    Limits {
        handshake_timeout: Duration::from_millis(1_500),
        redial_pause: Duration::from_millis(1),
        ..Limits::default()
    }
}

pub(crate) fn bind_with(key: &NodeKey, limits: Limits) -> (Endpoint, Inbox) {
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    Endpoint::bind(BindConfig { listen, limits, key: key.clone() }).expect("a free port on the loopback")
}

fn new_key() -> NodeKey {
    NodeKey::generate().expect("randomness")
}

/// An endpoint that is not a member of anything.
pub(crate) fn stranger() -> (Endpoint, Inbox) {
    bind_with(&new_key(), limits())
}

/// An endpoint that is a member.
pub(crate) fn member(authority: &Authority, number: u64) -> (Endpoint, Inbox) {
    let key = new_key();
    let (endpoint, inbox) = bind_with(&key, limits());
    endpoint.set_credentials(&credentials(authority, number, &key)).expect("credentials for this key");
    (endpoint, inbox)
}

/// Tells every endpoint where the others are.
pub(crate) fn introduce(nodes: &[(u64, &Endpoint)]) {
    let directory: Vec<_> = nodes.iter().map(|(number, endpoint)| (node(*number), endpoint.local_addr())).collect();
    for (_, endpoint) in nodes {
        endpoint.set_directory(directory.clone());
    }
}
