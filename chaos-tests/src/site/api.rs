//! The HTTP API of a node, through its socket, as a program asks it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::LabError;
use crate::run::shorten;

/// How long the agent may be silent before it counts as hung.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(30);

/// One node's API.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The body of a GET that was answered with 200.
    pub fn text(&self, path: &str) -> Result<String, LabError> {
        let doing = || format!("asking {} for {path}", self.socket.display());
        let mut stream = UnixStream::connect(&self.socket).map_err(LabError::io(doing()))?;
        stream.set_read_timeout(Some(ANSWER_SECONDS_MAX)).map_err(LabError::io(doing()))?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: hedgerow\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(LabError::io(doing()))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(LabError::io(doing()))?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
            _ => Err(LabError::Unexpected { what: format!("GET {path}"), answer: shorten(&answer) }),
        }
    }

    /// The same as JSON.
    pub fn json(&self, path: &str) -> Result<Value, LabError> {
        let text = self.text(path)?;
        serde_json::from_str(&text)
            .map_err(|error| LabError::Unexpected { what: format!("GET {path} ({error})"), answer: shorten(&text) })
    }

    /// The sum of all series of this name that have each of these labels, as `name="value"`; 0 where there is none, for what has
    /// never been seen is not written.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Result<u64, LabError> {
        Ok(sum(&self.text("/metrics")?, name, labels))
    }
}

fn sum(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    let ours = series.filter(|(found, _)| {
        let bare = found.trim_start_matches('{').trim_end_matches('}');
        (found.is_empty() || found.starts_with('{'))
            && labels.iter().all(|label| bare.split(',').any(|one| one == *label))
    });
    ours.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_name_and_labels() {
        let metrics =
            "# TYPE x counter\nx_total{a=\"1\",b=\"2\"} 3\nx_total{a=\"1\",b=\"3\"} 4\nx_total_more 9\ny_total 5\n";
        let cases: [(&str, &[&str], u64); 5] = [
            ("x_total", &["a=\"1\""], 7),
            ("x_total", &["b=\"3\"", "a=\"1\""], 4),
            ("x_total", &["a=\"2\""], 0),
            ("x_total", &[], 7),
            ("y_total", &[], 5),
        ];
        for (name, labels, wanted) in cases {
            assert_eq!(sum(metrics, name, labels), wanted, "{name} {labels:?}");
        }
    }
}
