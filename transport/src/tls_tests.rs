use std::io::{Read, Write};

use rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::{NodeKey, testing};

/// Carries the bytes of both sides to the other until neither has any.
fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), rustls::Error> {
    loop {
        let mut moved = false;
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        moved |= !bytes.is_empty();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        moved |= !bytes.is_empty();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        if !moved {
            return Ok(());
        }
    }
}

fn meet(
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
    asked: &str,
) -> Result<(), rustls::Error> {
    let name = rustls_pki_types::ServerName::try_from(asked.to_owned()).unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    shake(&mut client, &mut server)?;
    client.writer().write_all(b"GET").unwrap();
    shake(&mut client, &mut server)?;
    let mut got = [0u8; 3];
    server.reader().read_exact(&mut got).unwrap();
    assert_eq!(&got, b"GET");
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    Ok(())
}

#[test]
fn members_meet_at_an_address_in_the_certificate() {
    let authority = testing::authority(1);
    let a = testing::credentials(&authority, 1, &NodeKey::generate().unwrap());
    let b = testing::credentials(&authority, 2, &NodeKey::generate().unwrap());
    meet(client_config(&a).unwrap(), server_config(&b, true).unwrap(), "127.0.0.1").unwrap();
    let elsewhere = meet(client_config(&a).unwrap(), server_config(&b, true).unwrap(), "127.0.0.9").unwrap_err();
    assert!(matches!(elsewhere, rustls::Error::InvalidCertificate(_)), "{elsewhere}");
}

#[test]
fn clients_without_a_certificate_of_the_cluster_are_refused() {
    let (ours, theirs) = (testing::authority(1), testing::authority(2));
    let server = testing::credentials(&ours, 1, &NodeKey::generate().unwrap());
    let stranger = testing::credentials(&theirs, 2, &NodeKey::generate().unwrap());
    let believing = |with: &Credentials| Credentials { roots: server.roots.clone(), ..with.clone() };
    for required in [true, false] {
        let config = server_config(&server, required).unwrap();
        let error = meet(client_config(&believing(&stranger)).unwrap(), config, "127.0.0.1").unwrap_err();
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.roots[0].clone()).unwrap();
    let bare = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let bare = Arc::new(bare);
    let error = meet(bare.clone(), server_config(&server, true).unwrap(), "127.0.0.1").unwrap_err();
    assert_eq!(error, rustls::Error::NoCertificatesPresented);
    meet(bare, server_config(&server, false).unwrap(), "127.0.0.1").unwrap();
}
