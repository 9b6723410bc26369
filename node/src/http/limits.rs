//! Every bound of the API.

use std::time::Duration;

/// The largest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// The most connections to one listener at a time; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send the head of a request, and may stay silent between two.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(30);
/// How long a client may take to send the body of a request.
pub const BODY_READ_MAX: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a request may ask the node to wait.
pub const WAIT_MAX: Duration = Duration::from_secs(300);
/// How long a request may take, whatever it asked for.
pub const REQUEST_MAX: Duration = Duration::from_secs(310);
/// How long requests under way may take once the node is told to stop.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// How long a token is good for unless the request says otherwise.
pub const TOKEN_TTL_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// How long a token may be good for.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Flow events in one answer unless the request says otherwise.
pub const FLOWS_LIMIT_DEFAULT: usize = 100;
/// The most flow events in one answer.
pub const FLOWS_LIMIT_MAX: usize = 1_000;
/// How long a data path may be told to pass everything.
pub const DISARM_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// The longest reason of a disarm, in bytes.
pub const REASON_BYTES_MAX: usize = 500;
/// The longest message of a revision, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1000;
/// The longest token that is looked at, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 8192;
/// The longest request id in a header, in bytes.
pub(super) const REQUEST_ID_BYTES_MAX: usize = 64;
