//! The judge, asked in the middle of a TLS handshake; the verdict is noted, so that its reason can be told and logged.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use identity::Fingerprint;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{
    certificate::CertificateInfo,
    credentials::{DenyList, Member},
    judge::{PeerIdentity, PeerRefused, Question, judge},
    quic::Protocol,
    tls::provider,
};

/// What one handshake found out.
#[derive(Debug, Default)]
pub(crate) struct Note {
    inner: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    protocol: Option<Protocol>,
    verdict: Option<Result<PeerIdentity, PeerRefused>>,
}

impl Note {
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        self.lock().protocol
    }

    /// The member at the other end, or why it was refused; nothing if it was not asked about.
    pub(crate) fn verdict(&self) -> Option<Result<PeerIdentity, PeerRefused>> {
        self.lock().verdict.clone()
    }

    fn record(&self, verdict: Result<PeerIdentity, PeerRefused>) -> Result<(), Error> {
        let answer = match &verdict {
            Ok(_) => Ok(()),
            Err(refused) => Err(spoken(refused)),
        };
        self.lock().verdict = Some(verdict);
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal as the TLS library passes it on: its text reaches the peer.
fn spoken(refused: &PeerRefused) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Spoken(refused.to_string())))))
}

/// A text that is shown as it is, also where the library prints errors in their debug form.
struct Spoken(String);

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Spoken {}

/// Judges the certificate of the one who was dialled.
pub(crate) struct DialledVerifier {
    pub(crate) member: Arc<Member>,
    pub(crate) denied: Arc<DenyList>,
    pub(crate) question: Question,
    pub(crate) note: Arc<Note>,
}

/// Accepts any certificate whose key is proven, or only those of one authority: who it is, the shared secret shows.
pub(crate) struct FormVerifier {
    pub(crate) authority: Option<Fingerprint>,
}

/// Judges the certificate of one who dials, by the protocol that it asked for, and shows it the fitting certificate.
pub(crate) struct DiallerVerifier {
    pub(crate) member: Option<Arc<Member>>,
    pub(crate) alone: Arc<CertifiedKey>,
    pub(crate) denied: Arc<DenyList>,
    pub(crate) note: Arc<Note>,
}

impl ResolvesServerCert for DiallerVerifier {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Exactly one protocol: what is noted here must be what is negotiated.
        let mut offered = hello.alpn()?;
        let protocol = Protocol::from_alpn(offered.next()?)?;
        if offered.next().is_some() {
            return None;
        }
        self.note.lock().protocol = Some(protocol);
        match (protocol, &self.member) {
            (Protocol::Cluster, Some(member)) => Some(member.shown.clone()),
            (Protocol::Form, Some(member)) => Some(member.shown_forming.clone()),
            // Without a cluster its protocol is not on offer, and the dialler is told so instead of "no certificate".
            (Protocol::Form | Protocol::Cluster, None) => Some(self.alone.clone()),
        }
    }
}

/// The signature checks of the provider, for every verifier: only the judgement of the certificate differs.
macro_rules! checks_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, signed, &provider().signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, signed, &provider().signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ClientCertVerifier for DiallerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match (self.note.protocol(), &self.member) {
            (Some(Protocol::Form), _) => readable(leaf)?,
            (Some(Protocol::Cluster), Some(member)) => {
                let chain = chain_of(leaf, between);
                self.note.record(judge(member, &self.denied, Question::Dialler, &chain, now))?;
            }
            (Some(Protocol::Cluster), None) | (None, _) => return Err(Error::NoApplicationProtocol),
        }
        Ok(ClientCertVerified::assertion())
    }

    checks_signatures!();
}

/// Makes a verifier of servers of a judgement of their certificate.
macro_rules! verifies_servers {
    ($verifier:ty, |$this:ident, $leaf:ident, $between:ident, $now:ident| $judgement:expr) => {
        impl ServerCertVerifier for $verifier {
            fn verify_server_cert(
                &self,
                $leaf: &CertificateDer<'_>,
                $between: &[CertificateDer<'_>],
                _name: &ServerName<'_>,
                _ocsp: &[u8],
                $now: UnixTime,
            ) -> Result<ServerCertVerified, Error> {
                let $this = self;
                let verdict: Result<(), Error> = $judgement;
                verdict.map(|()| ServerCertVerified::assertion())
            }

            checks_signatures!();
        }
    };
}

verifies_servers!(DialledVerifier, |this, leaf, between, now| {
    let chain = chain_of(leaf, between);
    this.note.record(judge(&this.member, &this.denied, this.question, &chain, now))
});

verifies_servers!(FormVerifier, |this, leaf, between, now| this.check(leaf, between, now));

impl FormVerifier {
    fn check(&self, leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let Some(authority) = self.authority else { return readable(leaf) };
        let shown =
            between.iter().find(|der| CertificateInfo::parse(der).is_ok_and(|info| info.fingerprint == authority));
        let Some(root) = shown else {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone())?;
        let leaf = rustls::server::ParsedCertificate::try_from(leaf)?;
        let algorithms = provider().signature_verification_algorithms.all;
        rustls::client::verify_server_cert_signed_by_trust_anchor(&leaf, &roots, between, now, algorithms)
    }
}

fn readable(leaf: &CertificateDer<'_>) -> Result<(), Error> {
    CertificateInfo::parse(leaf).map(|_| ()).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn chain_of<'a>(leaf: &CertificateDer<'a>, between: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    std::iter::once(leaf).chain(between).cloned().collect()
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

opaque!(DialledVerifier, DiallerVerifier, FormVerifier);
