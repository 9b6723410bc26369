//! `hedgerow agent`: reads the configuration, sets logging up, and runs the node.

use std::{io::Write, pin::Pin};

use super::{Exit, Terminal, args::AgentArgs, failure::Failure};
use crate::{config::Config, logging};

/// Why an agent ended other than by being told to.
pub type AgentError = Box<dyn std::error::Error + Send + Sync>;
/// What `hedgerow agent` runs once it has a configuration.
pub type AgentMain = fn(Config) -> Pin<Box<dyn Future<Output = Result<(), AgentError>> + Send>>;

/// Runs the agent until it ends.
pub(super) fn run(args: &AgentArgs, terminal: &mut Terminal, agent: AgentMain) -> Result<Exit, Failure> {
    let config = Config::load(&args.config)?;
    if args.check {
        writeln!(terminal.out, "{} is in order", args.config.display())?;
        return Ok(Exit::Done);
    }
    logging::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(agent(config)).map_err(Failure::Agent)?;
    Ok(Exit::Done)
}
