//! Can a TCP connection be opened from here to there?

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::LabError;
use crate::lab::Namespace;

/// Tries to open a connection from a machine. The inner error is the answer: refused, timed out, unreachable.
pub fn connect(from: &Namespace, to: SocketAddr, limit: Duration) -> Result<io::Result<()>, LabError> {
    from.within(|| TcpStream::connect_timeout(&to, limit).map(|_| ()))
}
