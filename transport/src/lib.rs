//! QUIC with mutual TLS between the nodes of a cluster: certificates, join, streams by kind, datagrams, framing.
//!
//! The only crate that sees quinn, rustls and rcgen. From the bottom up:
//!
//! - [`codec`] turns values into bytes and back, [`FrameSender`] and [`FrameReceiver`] put them on a stream with a limit;
//! - [`NodeKey`], [`Authority`] and [`Credentials`] are keys and certificates, [`CertificateInfo`] reads one;
//! - `judge` decides whether a certificate is good enough, `verifier` asks it in the middle of a TLS handshake;
//! - [`Secret`], [`JoinToken`] and [`FormStream`] are the way in: prove a secret, receive a certificate;
//! - [`Endpoint`] holds one connection per pair of nodes and hands what arrives to the [`Inbox`];
//! - [`tls`] serves the HTTPS API with the same certificates.

mod authority;
mod base64url;
mod certificate;
mod close;
pub mod codec;
mod credentials;
mod dial;
mod endpoint;
mod form;
mod frame;
mod inbox;
mod intake;
mod judge;
mod key;
mod kind;
mod limits;
mod link;
mod peers;
mod quic;
mod refusal;
mod secret;
mod shared;
mod stats;
mod throttle;
pub mod tls;
mod token;
mod verifier;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use authority::{Authority, AuthorityError, CERT_BACKDATE, CERT_LIFETIME, IssueError};
pub use certificate::{CertificateError, CertificateInfo};
pub use close::CloseCode;
pub use codec::FRAME_BYTES_MAX;
pub use credentials::{Credentials, CredentialsError, DenyList};
pub use dial::DialError;
pub use endpoint::{BindConfig, BindError, DATAGRAM_BYTES_MAX, DatagramError, Endpoint, OpenError};
pub use form::{FormError, FormPeer, FormStream};
pub use frame::{FrameReceiver, FrameSender, RecvError, SendError};
pub use inbox::{Arrival, Inbox};
pub use judge::PeerRefused;
pub use key::{KeyError, NodeKey};
pub use kind::StreamKind;
pub use limits::Limits;
pub use refusal::Refusal;
pub use rustls_pki_types::{CertificateDer, PrivateKeyDer};
pub use secret::{Secret, SecretError, SecretId};
pub use stats::{PeerStatus, Stats};
pub use token::{JoinToken, TokenError};
