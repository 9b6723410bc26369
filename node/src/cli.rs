//! The command line: every verb, its output as table, JSON or YAML, and its exit code.

mod agent;
mod args;
mod cluster;
mod exit;
mod failure;
mod flows;
mod output;
mod policy;
mod show;
mod sources;
mod span;
mod status;
mod terminal;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser};

pub use agent::{AgentError, AgentMain};
pub use args::Cli;
pub use exit::Exit;
pub use terminal::Terminal;

use self::{
    args::{Command, SegmentCommand},
    failure::Failure,
    output::Printer,
};
use crate::client::Client;

/// Runs the program with the arguments and the terminal of this process. `agent` is what `hedgerow agent` runs.
pub fn main(agent: AgentMain) -> ExitCode {
    run(std::env::args_os(), Terminal::of_process(), agent).into()
}

/// Runs the program with these arguments.
pub fn run(args: impl IntoIterator<Item = OsString>, mut terminal: Terminal, agent: AgentMain) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return terminal.show_usage(&error),
    };
    let outcome = match cli.command {
        Command::Agent(args) => agent::run(&args, &mut terminal, agent),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "hedgerow", &mut terminal.out);
            Ok(Exit::Done)
        }
        _ => on_runtime(cli, &mut terminal),
    };
    outcome.unwrap_or_else(|failure| terminal.show_failure(&failure))
}

/// Verbs that ask an agent need a runtime; one thread is enough for them.
fn on_runtime(cli: Cli, terminal: &mut Terminal) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(execute(cli, terminal))
}

/// Runs a verb that asks an agent, or that works offline.
async fn execute(cli: Cli, terminal: &mut Terminal) -> Result<Exit, Failure> {
    let client = Client::unix(&cli.global.socket)?;
    let mut printer = Printer::new(terminal, cli.global.output);
    match cli.command {
        Command::Agent(_) | Command::Completion { .. } => Ok(Exit::Done),
        Command::Cluster(command) => cluster::run(command, &client, &mut printer).await,
        Command::Members => printer.print(&client.members().await?),
        Command::Status(args) => status::run(args, &client, &mut printer).await,
        Command::Channels => printer.print(&client.channels().await?),
        Command::Flows(args) => flows::run(args, &client, &mut printer).await,
        Command::Policy(command) => policy::run(command, &client, &mut printer).await,
        Command::Segment(SegmentCommand::List(read)) => printer.print(&client.segments(read.query()).await?),
        Command::Disarm(args) => status::disarm(args, &client, &mut printer).await,
        Command::Arm => printer.print(&client.arm().await?),
    }
}

#[cfg(test)]
mod tests;
