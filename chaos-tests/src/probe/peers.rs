//! HAProxy's own word on its peers, through its statistics socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::LabError;
use crate::run::shorten;

/// How long HAProxy may take to answer.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(3);

/// One remote peer of an HAProxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLine {
    /// Its name in the peers section.
    pub name: String,
    /// `ESTA` when the session is up.
    pub status: String,
    /// How many connections to it were made so far: a reconnection shows here even when no one looked meanwhile.
    pub connections: u64,
}

impl PeerLine {
    /// Whether the session is up.
    pub fn is_connected(&self) -> bool {
        self.status == "ESTA"
    }
}

/// The remote peers of the HAProxy behind a statistics socket.
pub fn peers(socket: &Path) -> Result<Vec<PeerLine>, LabError> {
    let text = ask(socket, "show peers\n")?;
    let lines: Vec<_> = text.lines().filter_map(parse).collect();
    if lines.is_empty() {
        return Err(LabError::Unexpected { what: "HAProxy, asked to show its peers".into(), answer: shorten(&text) });
    }
    Ok(lines)
}

/// The entries of a stick table.
pub fn stick_table(socket: &Path, name: &str) -> Result<Vec<String>, LabError> {
    let text = ask(socket, &format!("show table {name}\n"))?;
    Ok(text.lines().filter(|line| line.contains("key=")).map(str::to_owned).collect())
}

fn ask(socket: &Path, command: &str) -> Result<String, LabError> {
    let doing = || format!("asking HAProxy at {}", socket.display());
    let mut stream = UnixStream::connect(socket).map_err(LabError::io(doing()))?;
    stream.set_read_timeout(Some(ANSWER_SECONDS_MAX)).map_err(LabError::io(doing()))?;
    stream.write_all(command.as_bytes()).map_err(LabError::io(doing()))?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(LabError::io(doing()))?;
    Ok(text)
}

/// A line such as `0x55…: id=lb2(remote,active) addr=10.77.0.2:10000 … last_status=ESTA … new_conn=1 …`.
fn parse(line: &str) -> Option<PeerLine> {
    let (name, kind) = value(line, "id=")?.split_once('(')?;
    if !kind.starts_with("remote") {
        return None;
    }
    // A session that is not established has states of its own in `status`, for example `CONN`.
    let status = value(line, "last_status=").or_else(|| value(line, "status="))?;
    let connections = value(line, "new_conn=").and_then(|count| count.parse().ok()).unwrap_or(0);
    Some(PeerLine { name: name.to_owned(), status: status.to_owned(), connections })
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split([' ', '\t']).find_map(|word| word.strip_prefix(key)).map(|word| word.trim_end_matches(','))
}
