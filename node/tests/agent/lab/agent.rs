//! One agent: a process that may be ended and started again, and what it answers.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
};

use identity::NodeId;
use node::{
    client::{Client, ClientError},
    view::{self, Status},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use super::{PROGRAM, Run, Setup, eventually, run, setup::Files};

/// Lines of a log that are printed after a failure, at most.
const LOG_LINES_MAX: usize = 60;

/// One node of a test.
pub(crate) struct Agent {
    /// Its files.
    pub(crate) files: Files,
    hosts: Box<dyn Fn(u8) -> Ipv4Addr>,
    number: u8,
    client: Client,
    runtime: Arc<Runtime>,
    child: Option<Child>,
}

impl Agent {
    pub(super) fn new(
        dir: &Path,
        runtime: Arc<Runtime>,
        hosts: impl Fn(u8) -> Ipv4Addr + 'static,
        number: u8,
        setup: &Setup,
    ) -> Self {
        let files = Files::of(dir, number);
        let client = Client::unix(&files.socket).unwrap();
        let agent = Self { files, hosts: Box::new(hosts), number, client, runtime, child: None };
        agent.setup(setup);
        agent
    }

    /// Writes another configuration.
    pub(crate) fn setup(&self, setup: &Setup) {
        setup.write(self.number, &self.files, &self.hosts);
    }

    /// Starts the process; its socket may not be there yet.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.child = Some(self.spawn());
    }

    /// Starts the process and waits for its end.
    pub(crate) fn fails_to_start(&self) -> Run {
        let arguments = ["agent".into(), "--config".into(), self.files.config.clone().into_os_string()];
        run(arguments)
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(&self.files.log).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("agent").arg("--config").arg(&self.files.config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Whether it was started and not ended by the test.
    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Kills the process, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Tells the process to end, and waits for that.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ends()
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        eventually(&format!("the end of n{}", self.number), || child.try_wait().unwrap())
    }

    /// The process is killed and started again.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.start();
    }

    // --- what it answers ---------------------------------------------------------------------------------------------

    /// Waits until the API answers.
    pub(crate) fn answers(&self) -> Status {
        eventually(&format!("an answer of n{}", self.number), || self.try_status())
    }

    /// Waits until the node says that it is ready.
    pub(crate) fn ready(&self) -> Status {
        eventually(&format!("n{} to be ready", self.number), || self.try_status().filter(|status| status.ready))
    }

    /// Waits for a sentence about what the node waits for.
    pub(crate) fn waits_for(&self, words: &str) -> Status {
        eventually(&format!("n{} to wait for `{words}`", self.number), || {
            let says = |status: &Status| status.waiting_for.iter().any(|sentence| sentence.contains(words));
            self.try_status().filter(says)
        })
    }

    /// Waits for a line of its log.
    pub(crate) fn logs(&self, words: &str) -> String {
        eventually(&format!("n{} to log `{words}`", self.number), || {
            self.log().lines().find(|line| line.contains(words)).map(str::to_owned)
        })
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.files.log).unwrap_or_default()
    }

    /// What it says about itself.
    pub(crate) fn status(&self) -> Status {
        self.ask(async |client| client.status().await).unwrap()
    }

    /// What it says about itself, if it answers.
    pub(crate) fn try_status(&self) -> Option<Status> {
        self.ask(async |client| client.status().await).ok()
    }

    /// Its number in the cluster.
    pub(crate) fn node(&self) -> NodeId {
        self.status().node.expect("a member")
    }

    /// The members as it sees them.
    pub(crate) fn members(&self) -> Vec<view::Member> {
        self.ask(async |client| client.members().await).unwrap().members
    }

    /// Asks its API.
    pub(crate) fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.runtime.block_on(question(&self.client))
    }

    /// Runs the command line against it.
    pub(crate) fn cli<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        let socket = [OsString::from("--socket"), self.files.socket.clone().into_os_string()];
        run(socket.into_iter().chain(arguments.into_iter().map(OsString::from)))
    }

    /// A token of its cluster.
    pub(crate) fn token(&self) -> String {
        self.cli(["cluster", "token", "create"]).done().trim().to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nothing can be done about a process that cannot be killed; the test says what went wrong.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_MAX)..];
            eprintln!("--- the end of the log of n{}\n{}", self.number, shown.join("\n"));
        }
    }
}
