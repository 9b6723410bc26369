//! Runs of the command line.

use std::{
    ffi::OsStr,
    fmt,
    io::Read,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use serde::de::DeserializeOwned;

use super::RUN_MAX;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hedgerow");

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    arguments: String,
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["HEDGEROW_SOCKET", "HEDGEROW_OUTPUT", "HEDGEROW_CONFIG"] {
        command.env_remove(name);
    }
    let shown =
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let mut child = command.spawn().unwrap();
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let end = Instant::now() + RUN_MAX;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("`hedgerow {shown}` did not end within {RUN_MAX:?}");
        }
        thread::sleep(std::time::Duration::from_millis(2));
    };
    let code = status.code().unwrap_or_else(|| panic!("`hedgerow {shown}` ended by {status}"));
    Run { arguments: shown, code, out: out.join().unwrap(), err: err.join().unwrap() }
}

/// Reads beside the run, so that a full pipe stops nobody.
fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.expect("piped").read_to_string(&mut text).unwrap();
        text
    })
}

impl Run {
    /// Its output; fails unless it was done.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "it should be done: {self}");
        self.out
    }

    /// Its output as JSON; fails unless it was done.
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(self) -> T {
        let shown = self.to_string();
        serde_json::from_str(&self.done())
            .unwrap_or_else(|error| panic!("not the JSON that was expected ({error}): {shown}"))
    }

    /// Fails unless it was refused with this exit code and each of these words on standard error.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "it should be refused: {self}");
        for word in words {
            assert!(self.err.contains(word), "it should say `{word}`: {self}");
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`hedgerow {}` ended with {}\n--- out\n{}\n--- err\n{}",
            self.arguments, self.code, self.out, self.err
        )
    }
}
