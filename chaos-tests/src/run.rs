//! Running programs to their end, each with a limit of time.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::LabError;

/// How long a tool such as `ip` or `nft` may take.
pub const TOOL_SECONDS_MAX: Duration = Duration::from_secs(20);
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(2);
/// How much of an output an error quotes, in characters.
const QUOTED_CHARACTERS_MAX: usize = 2_000;

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

/// Runs a tool, and returns its standard output when it exits with 0.
pub fn tool(program: &str, arguments: &[&str]) -> Result<String, LabError> {
    let mut command = Command::new(program);
    command.args(arguments);
    checked(command, TOOL_SECONDS_MAX)
}

/// Runs a command to its end; any exit code but 0 is an error.
pub fn checked(command: Command, limit: Duration) -> Result<String, LabError> {
    let line = describe(&command);
    let done = finish(command, limit)?;
    if done.code == Some(0) {
        return Ok(done.stdout);
    }
    let code = done.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
    Err(LabError::Failed { command: line, code, output: shorten(&format!("{}{}", done.stdout, done.stderr)) })
}

/// Runs a command to its end, or kills it at the limit. An exit code other than 0 is an answer, not an error.
pub fn finish(mut command: Command, limit: Duration) -> Result<Finished, LabError> {
    let line = describe(&command);
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| LabError::Start { command: line.clone(), source })?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, started, limit).map_err(LabError::io(format!("waiting for `{line}`")))?;
    let Some(status) = status else {
        return Err(LabError::TooSlow { command: line, limit });
    };
    Ok(Finished { code: status.code(), stdout: collect(stdout), stderr: collect(stderr), took: started.elapsed() })
}

/// Waits for the end of a child; `None` when it had to be killed.
fn wait(child: &mut Child, started: Instant, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

type Drain = Option<thread::JoinHandle<String>>;

/// Reads a pipe on a thread of its own, so that a child that prints much never blocks.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Drain {
    pipe.map(|mut pipe| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks half-way leaves what was read: enough for a message.
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    })
}

fn collect(drain: Drain) -> String {
    drain.and_then(|thread| thread.join().ok()).unwrap_or_default()
}

/// The command line as a person would type it.
pub fn describe(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// The last part of a long output, which is where the reason usually is.
pub(crate) fn shorten(text: &str) -> String {
    let text = text.trim();
    let count = text.chars().count();
    if count <= QUOTED_CHARACTERS_MAX {
        return text.to_owned();
    }
    format!("…{}", text.chars().skip(count - QUOTED_CHARACTERS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_exit_code_is_an_answer_for_finish_and_an_error_for_checked() {
        let done = finish(shell("echo out; echo err >&2; exit 3"), TOOL_SECONDS_MAX).unwrap();
        assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(3), "out\n", "err\n"));
        let error = checked(shell("echo why; exit 3"), TOOL_SECONDS_MAX).unwrap_err().to_string();
        assert!(error.contains("exit code 3") && error.contains("why"), "{error}");
    }

    #[test]
    fn a_program_past_its_limit_is_killed() {
        let error = finish(shell("exec sleep 60"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, LabError::TooSlow { .. }), "{error}");
    }

    #[test]
    fn a_program_that_prints_much_does_not_block() {
        let done = finish(shell("head -c 1000000 /dev/zero"), TOOL_SECONDS_MAX).unwrap();
        assert_eq!(done.stdout.len(), 1_000_000);
    }
}
