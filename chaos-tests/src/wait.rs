//! Waiting for a condition instead of for a time.

use std::thread;
use std::time::{Duration, Instant};

use crate::LabError;
use crate::lab::{self, Daemon};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`, and returns it with the time that it took. The last `Err` becomes part of the message.
pub fn until<T, E: std::fmt::Display>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<T, E>,
) -> Result<(T, Duration), LabError> {
    let started = Instant::now();
    loop {
        let answer = ask();
        lab::wait_if_interrupted();
        match answer {
            Ok(answer) => return Ok((answer, started.elapsed())),
            Err(last) if started.elapsed() > limit => {
                return Err(LabError::Timeout { what: what.to_owned(), waited: limit, last: last.to_string() });
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Asks as [`until`] does, for as long as a daemon runs: when it ends, so does the wait.
pub fn until_of<T>(
    daemon: &mut Daemon,
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> Result<(T, Duration), LabError> {
    let mut ended = None;
    let waited = until(what, limit, || match daemon.check() {
        Ok(()) => ask().map(Some),
        Err(error) => {
            ended = Some(error);
            Ok(None)
        }
    });
    match (waited, ended) {
        (_, Some(error)) => Err(error),
        (Ok((Some(answer), took)), None) => Ok((answer, took)),
        (Ok((None, _)), None) => unreachable!("an answer is left out only when the daemon has ended"),
        (Err(error), None) => Err(error),
    }
}

/// Asks until the answer is `true`.
pub fn until_true(what: &str, limit: Duration, mut ask: impl FnMut() -> bool) -> Result<Duration, LabError> {
    until(what, limit, || if ask() { Ok(()) } else { Err("not yet") }).map(|((), took)| took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_comes_with_its_time_and_a_timeout_with_the_last_reason() {
        let mut left = 3;
        let (answer, _) = until("the count", Duration::from_secs(5), || {
            left -= 1;
            if left == 0 { Ok("done") } else { Err(left) }
        })
        .unwrap();
        assert_eq!(answer, "done");
        let error = until("never", Duration::from_millis(1), || Err::<(), _>("still red")).unwrap_err().to_string();
        assert!(error.contains("never") && error.contains("still red"), "{error}");
    }
}
