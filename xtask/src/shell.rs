//! Running programs where a person can see them.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Stdio};

use crate::failure::Failure;

/// Prints a line.
pub(crate) fn say(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref())?;
    out.flush()?;
    Ok(())
}

/// Shows a command, runs it with this terminal, and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    say(format!("+ {}", line(command)))?;
    let status = command.status().map_err(|error| not_started(command, &error))?;
    ended(command, status)
}

/// Runs a command with this terminal without showing it.
pub(crate) fn run_quietly(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    ended(command, status)
}

/// Runs a command and hands each line of its standard output on, while it also appears on this terminal.
pub(crate) fn run_lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<(), Failure> {
    say(format!("+ {}", line(command)))?;
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| not_started(command, &error))?;
    if let Some(pipe) = child.stdout.take() {
        for text in BufReader::new(pipe).split(b'\n') {
            let text = String::from_utf8_lossy(&text?).into_owned();
            say(&text)?;
            each(&text);
        }
    }
    let status = child.wait()?;
    ended(command, status)
}

/// Whether a command succeeds; what it prints is thrown away.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The standard output of a command, if it succeeds.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ended(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::Command { line: line(command), status: status.to_string() })
}

fn not_started(command: &Command, error: &io::Error) -> Failure {
    Failure::other(format!("could not start `{}`: {error}", line(command)))
}

/// The command line as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
