//! The program: the agent of a node and the command line to it.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::main(|config| Box::pin(async move { node::agent::run(config).await.map_err(Into::into) }))
}
