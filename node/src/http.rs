//! The HTTP API: JSON over a Unix socket for the machine's own operators, and over TLS for others.
//!
//! A request goes through `serve` (connections, bounds), `layer` (id, deadline, log, count), an extractor of `extract`
//! and a handler of `cluster`, `flows`, `policy`, `status` or `meta`, which asks the [`crate::peer::Peer`].

mod actor;
mod cluster;
mod error;
mod extract;
mod flows;
mod layer;
mod limits;
mod meta;
mod policy;
mod router;
mod serve;
mod status;
mod tls;
mod unix;

pub use limits::{
    BODY_BYTES_MAX, BODY_READ_MAX, CONNECTIONS_MAX, DISARM_MAX, FLOWS_LIMIT_DEFAULT, FLOWS_LIMIT_MAX, HANDSHAKE_MAX,
    HEADER_READ_MAX, MESSAGE_BYTES_MAX, REASON_BYTES_MAX, REQUEST_MAX, SHUTDOWN_MAX, TOKEN_TTL_DEFAULT, TOKEN_TTL_MAX,
    WAIT_MAX,
};
pub use meta::Health;
pub use router::{Api, openapi, router};
pub use serve::ServeError;
pub use tls::{TlsApi, TlsKeys};
pub use unix::UnixApi;

#[cfg(test)]
mod tests;
