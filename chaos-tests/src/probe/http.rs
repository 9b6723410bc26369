//! One HTTP request on a connection of its own.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::LabError;
use crate::lab::Namespace;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// A request that can be repeated.
#[derive(Clone, Copy, Debug)]
pub struct HttpProbe {
    /// Whom to ask.
    pub to: SocketAddr,
    /// The limit for connecting, and again for the answer.
    pub limit: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
    /// From the first SYN to the last byte.
    pub took: Duration,
}

/// Why no answer came.
#[derive(Debug)]
pub enum ProbeFailure {
    /// No connection: timed out, refused, unreachable.
    NoConnection(io::Error),
    /// A connection, but no whole answer on it.
    NoAnswer(io::Error),
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(error) => write!(f, "no connection: {error}"),
            Self::NoAnswer(error) => write!(f, "connected, but no answer: {error}"),
        }
    }
}

impl HttpProbe {
    /// Asks from a machine of the laboratory.
    pub fn from(&self, machine: &Namespace) -> Result<Result<HttpAnswer, ProbeFailure>, LabError> {
        machine.within(|| self.ask())
    }

    /// Asks from wherever the calling thread lives.
    pub fn ask(&self) -> Result<HttpAnswer, ProbeFailure> {
        let started = Instant::now();
        let stream = TcpStream::connect_timeout(&self.to, self.limit).map_err(ProbeFailure::NoConnection)?;
        let text = self.exchange(stream).map_err(ProbeFailure::NoAnswer)?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status =
            status.ok_or_else(|| ProbeFailure::NoAnswer(io::Error::other(format!("no status in {head:?}"))))?;
        Ok(HttpAnswer { status, body: body.to_owned(), took: started.elapsed() })
    }

    fn exchange(&self, mut stream: TcpStream) -> io::Result<String> {
        stream.set_read_timeout(Some(self.limit))?;
        stream.set_write_timeout(Some(self.limit))?;
        stream.write_all(format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", self.to).as_bytes())?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
