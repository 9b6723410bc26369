//! The API over TLS: who gets in, and as whom.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use identity::{CertName, ClusterId};
use rustls::{ClientConfig, ServerConfig};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use transport::{Authority, CERT_LIFETIME, CertificateDer, Credentials, DenyList, NodeKey, tls};

use super::*;
use crate::{
    client::Client,
    metrics::Metrics,
    peer::double::{Double, node},
};

fn authority(cluster: u8) -> Authority {
    Authority::mint(ClusterId::from_bytes([cluster; 16]), 1).unwrap()
}

fn credentials(authority: &Authority, number: u64) -> Credentials {
    let key = NodeKey::generate().unwrap();
    let name = CertName { cluster: authority.cluster(), epoch: authority.epoch(), node: node(number) };
    let addresses = ["127.0.0.1".parse().unwrap()];
    let der = authority.issue(&name, &key.public_key(), &addresses, SystemTime::now(), CERT_LIFETIME).unwrap();
    let roots = vec![authority.certificate_der()];
    Credentials { name, chain: vec![CertificateDer::from(der)], key: key.private_der(), roots }
}

/// The API of a stand-in over TLS on a port of the loopback.
struct Remote {
    double: Arc<Double>,
    addr: SocketAddr,
    keys: watch::Sender<Option<Arc<ServerConfig>>>,
    denied: watch::Sender<DenyList>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Remote {
    async fn start() -> Self {
        let double = Arc::new(Double::default());
        let api = Api { peer: double.clone(), metrics: Arc::new(Metrics::new("lb1")) };
        let (keys, use_keys) = watch::channel(None);
        let (denied, refuse) = watch::channel(DenyList::default());
        let shutdown = CancellationToken::new();
        let listener = TlsApi::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().deny(refuse);
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(listener.serve(router(api), use_keys, shutdown.clone()));
        Self { double, addr, keys, denied, shutdown, serving }
    }

    fn show(&self, credentials: &Credentials) {
        self.keys.send_replace(Some(tls::server_config(credentials, true).unwrap()));
    }

    fn client(&self, credentials: &Credentials) -> Client {
        let config = Arc::unwrap_or_clone(tls::client_config(credentials).unwrap());
        Client::tls(self.addr, config).unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap();
    }
}

/// G16: the actor of a remote request is the node that the client's certificate names.
#[tokio::test]
async fn the_actor_is_the_node_in_the_certificate() {
    let (remote, cluster) = (Remote::start().await, authority(1));
    remote.show(&credentials(&cluster, 1));
    remote.client(&credentials(&cluster, 3)).arm().await.unwrap();
    assert_eq!(remote.double.only_call(), "arm Actor(\"n3\")");
    remote.stop().await;
}

#[tokio::test]
async fn strangers_are_refused() {
    let (remote, cluster) = (Remote::start().await, authority(1));
    remote.show(&credentials(&cluster, 1));

    // A member of another cluster, which would even believe this node.
    let mut of_another = credentials(&authority(2), 3);
    of_another.roots = vec![cluster.certificate_der()];
    remote.client(&of_another).status().await.unwrap_err();

    // Somebody without a certificate.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cluster.certificate_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let nameless = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::tls(remote.addr, nameless).unwrap().status().await.unwrap_err();

    assert!(remote.double.calls.lock().unwrap().is_empty());
    remote.stop().await;
}

/// G12: a removed node loses the API, on the connection that it has too.
#[tokio::test]
async fn a_removed_node_is_let_go_at_once() {
    let (remote, cluster) = (Remote::start().await, authority(1));
    remote.show(&credentials(&cluster, 1));
    let removed = remote.client(&credentials(&cluster, 3));
    removed.status().await.unwrap();
    remote.denied.send_replace(DenyList { nodes: [node(3)].into(), ..DenyList::default() });
    removed.status().await.unwrap_err();
    remote.client(&credentials(&cluster, 2)).status().await.unwrap();
    remote.stop().await;
}

/// Before the node has a certificate nobody gets in; afterwards the listener uses it without a restart.
#[tokio::test]
async fn keys_come_later_and_change_without_a_restart() {
    let (remote, cluster) = (Remote::start().await, authority(1));
    let mine = credentials(&cluster, 2);
    remote.client(&mine).status().await.unwrap_err();
    for number in [1, 5] {
        remote.show(&credentials(&cluster, number));
        remote.client(&mine).status().await.unwrap();
    }
    remote.stop().await;
}
