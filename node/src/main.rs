//! The program: the agent of a node and the command line to it.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::main(|config| {
        Box::pin(async move { node::agent::run(config).await.map_err(|error| told(&error).into()) })
    })
}

/// The error and its causes in one sentence; what a cause says already is not said twice.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told {
        _ if told.is_empty() => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}
