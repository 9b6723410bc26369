//! Why a verb was not done, and how that is said.

use std::{io, path::PathBuf};

use policy::{Diagnostic, Diagnostics, SourceText};

use super::Exit;
use crate::{
    client::ClientError,
    config::ConfigError,
    logging::LoggingError,
    view::{ErrorBody, ErrorKind, RequestId},
};

/// Why a verb was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A file of documents cannot be read.
    #[error("cannot read {}: {source}; name a file, a directory, or - for standard input", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A directory has no documents.
    #[error("{} has no *.yaml, *.yml or *.json", path.display())]
    NoDocuments { path: PathBuf },
    /// There is more to read than an agent takes.
    #[error("the documents are larger than {limit} bytes together; apply them in parts")]
    TooLarge { limit: usize },
    /// Documents are wrong.
    #[error("{findings}")]
    Documents { findings: Diagnostics, sources: Vec<SourceText> },
    /// The agent was not reached, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A write failed in a way that leaves its outcome open.
    #[error("{source}")]
    Open { source: ClientError, id: RequestId },
    /// The node was not ready in time.
    #[error("{0}")]
    NotReady(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logging cannot be set up.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The agent ended with an error.
    #[error("the agent ended: {0}")]
    Agent(super::AgentError),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// The output cannot be put into the form that was asked for.
    #[error("cannot write the output in this form: {0}; try -o json")]
    Form(String),
    /// There is no runtime.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl Failure {
    /// A failed request; if its documents were wrong, with the documents at hand to point into.
    pub(super) fn of_request(error: ClientError, sources: Vec<SourceText>) -> Self {
        match error {
            ClientError::Refused(body) if !body.findings.is_empty() => {
                let findings = body.findings.into_iter().map(Diagnostic::from).collect();
                Self::Documents { findings: Diagnostics(findings), sources }
            }
            other => Self::Client(other),
        }
    }

    /// A failed write: like a request, and if it may have been done, the id with which it can be sent again.
    pub(super) fn of_write(error: ClientError, sources: Vec<SourceText>, id: RequestId) -> Self {
        let open = match &error {
            ClientError::Refused(body) => body.may_have_committed == Some(true),
            ClientError::Broken(_) | ClientError::Silent { .. } => true,
            _ => false,
        };
        if open { Self::Open { source: error, id } } else { Self::of_request(error, sources) }
    }

    /// What the shell is told.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Read { .. } | Self::NoDocuments { .. } => Exit::Usage,
            Self::NotReady(_) => Exit::NotReady,
            Self::Client(error) | Self::Open { source: error, .. } => match error {
                ClientError::Unreachable { .. } | ClientError::Silent { .. } => Exit::NotReady,
                ClientError::Refused(body) if body.kind == ErrorKind::NotReady => Exit::NotReady,
                _ => Exit::Failed,
            },
            _ => Exit::Failed,
        }
    }

    /// The sentences for a person.
    pub(super) fn render(&self, colour: bool) -> String {
        match self {
            Self::Documents { findings, sources } => {
                let count = findings.0.len();
                let noun = if count == 1 { "error" } else { "errors" };
                format!(
                    "{}error: the documents have {count} {noun}; nothing was applied",
                    findings.render(sources, colour)
                )
            }
            Self::Config(ConfigError::Wrong(_)) => self.to_string(),
            Self::Client(ClientError::Refused(body)) => with_help(body),
            Self::Open { source, id } => {
                let said = match source {
                    ClientError::Refused(body) => with_help(body),
                    other => format!("error: {other}"),
                };
                format!("{said}\nrequest id: {id} (with --request-id {id} it is not done twice)")
            }
            other => format!("error: {other}"),
        }
    }
}

/// What the agent said, and what to do about it.
fn with_help(body: &ErrorBody) -> String {
    let help = body.help.as_deref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    format!("error: {}{help}", body.message)
}
