//! The real CLI, driven through a node's own socket.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::status::{self, Applied, Explained, Status};
use crate::lab::{self, Namespace};
use crate::run::{self, Finished, shorten};
use crate::{LabError, wait};

/// How long any command of the CLI may take before it counts as hung; commands have shorter deadlines of their own.
const COMMAND_SECONDS_MAX: Duration = Duration::from_secs(90);

/// `hedgerow --socket …` on one load balancer.
#[derive(Clone, Debug)]
pub struct Cli {
    program: PathBuf,
    socket: PathBuf,
    machine: Namespace,
}

/// How a command of the CLI ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The arguments it was given.
    pub line: String,
    /// The exit code: 0 done, 1 refused or failed, 2 usage, 3 not ready.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end, as a person at the terminal sees it.
    pub took: Duration,
}

impl Cli {
    pub(super) fn new(program: &Path, socket: &Path, machine: &Namespace) -> Self {
        Self { program: program.to_owned(), socket: socket.to_owned(), machine: machine.clone() }
    }

    /// Runs a command; an exit code other than 0 is an answer.
    pub fn run(&self, arguments: &[&str]) -> Result<Answer, LabError> {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(&self.socket).args(arguments);
        // The socket is a file: the command may run in any namespace. A person would run it on the node.
        let mut inside = self.machine.command(&command.get_program().to_string_lossy(), &[]);
        inside.args(command.get_args());
        let Finished { code, stdout, stderr, took } = run::finish(inside, COMMAND_SECONDS_MAX)?;
        lab::wait_if_interrupted();
        Ok(Answer { line: arguments.join(" "), code: code.unwrap_or(-1), stdout, stderr, took })
    }

    /// Runs a command that must exit with 0.
    pub fn done(&self, arguments: &[&str]) -> Result<Answer, LabError> {
        let answer = self.run(arguments)?;
        if answer.code == 0 {
            return Ok(answer);
        }
        Err(LabError::Failed {
            command: format!("hedgerow {}", answer.line),
            code: format!("exit code {}", answer.code),
            output: shorten(&format!("{}{}", answer.stdout, answer.stderr)),
        })
    }

    /// Runs a command that must exit with 0, with `-o json`.
    pub fn json(&self, arguments: &[&str]) -> Result<Value, LabError> {
        let mut all = vec!["-o", "json"];
        all.extend_from_slice(arguments);
        let answer = self.done(&all)?;
        serde_json::from_str(&answer.stdout).map_err(|error| LabError::Unexpected {
            what: format!("`hedgerow {}` ({error})", answer.line),
            answer: shorten(&answer.stdout),
        })
    }

    /// The node's own view of the cluster.
    pub fn status(&self) -> Result<Status, LabError> {
        status::read("status", &self.json(&["status"])?)
    }

    /// Applies files and waits until every live member enforces them.
    pub fn apply(&self, path: &Path, more: &[&str]) -> Result<Applied, LabError> {
        self.apply_with(path, "all", more)
    }

    /// Applies files and waits for `all`, `quorum` or `none`.
    pub fn apply_with(&self, path: &Path, wait: &str, more: &[&str]) -> Result<Applied, LabError> {
        let path = path.display().to_string();
        let mut arguments = vec!["policy", "apply", "-f", &path, "--wait", wait];
        arguments.extend_from_slice(more);
        status::read("policy apply", &self.json(&arguments)?)
    }

    /// Takes an earlier revision back.
    pub fn rollback(&self, to: u64) -> Result<Applied, LabError> {
        status::read("policy rollback", &self.json(&["policy", "rollback", &to.to_string()])?)
    }

    /// The verdict on a flow.
    pub fn explain(&self, src: &str, dst: &str, service: &str) -> Result<Explained, LabError> {
        status::read("policy explain", &self.json(&["policy", "explain", src, dst, service])?)
    }

    /// A new token for one more node.
    pub fn token(&self, more: &[&str]) -> Result<String, LabError> {
        let mut arguments = vec!["cluster", "token", "create"];
        arguments.extend_from_slice(more);
        let answer = self.json(&arguments)?;
        status::read("cluster token create", &answer["token"])
    }

    /// Asks for the status until it is as wanted; the closure's error says what is still missing.
    pub fn wait_status(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Status) -> Result<(), String>,
    ) -> Result<(Status, Duration), LabError> {
        wait::until(what, limit, || {
            let status = self.status().map_err(|error| error.to_string())?;
            wanted(&status).map(|()| status)
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`hedgerow {}` exited with {}: {}{}", self.line, self.code, self.stdout.trim(), self.stderr.trim())
    }
}
