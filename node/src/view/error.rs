//! The body of every answer that is not a success.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What sort of failure an answer reports; decides the HTTP status and the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request or the documents in it are wrong; nothing changed (400).
    Invalid,
    /// The caller may not do this (403).
    Forbidden,
    /// What was asked for does not exist (404).
    NotFound,
    /// The state is not the one that the caller expected; nothing changed (409).
    Conflict,
    /// The request is larger than the limit (413).
    TooLarge,
    /// The node is not a member of a cluster yet, or is on its way out (503).
    NotReady,
    /// No quorum or no leader could be reached (503).
    Unavailable,
    /// The deadline passed before the outcome was known (504).
    Deadline,
    /// A fault of this node (500).
    Internal,
}

/// One finding in a document: where it is, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The file as the caller named it; empty when the finding has no place.
    pub file: String,
    /// Line, counted from 1; 0 when unknown.
    pub line: u32,
    /// Column in characters, counted from 1; 0 when unknown.
    pub column: u32,
    /// How many characters are meant.
    #[serde(default)]
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it, when there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl From<policy::Diagnostic> for Finding {
    fn from(diagnostic: policy::Diagnostic) -> Self {
        let policy::Diagnostic { file, line, column, length, message, help } = diagnostic;
        Self { file, line, column, length, message, help }
    }
}

impl From<Finding> for policy::Diagnostic {
    fn from(finding: Finding) -> Self {
        let Finding { file, line, column, length, message, help } = finding;
        Self { file, line, column, length, message, help }
    }
}

/// The body of an answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The sort of failure.
    pub kind: ErrorKind,
    /// One sentence: what was asked and what is wrong.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Findings in the documents of the request, in the order of the files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// For `conflict`: the latest revision, which the caller did not expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// For `unavailable` and `deadline`: whether the write may still have been committed, or be committed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_have_committed: Option<bool>,
    /// The id of the request, which the node's log carries too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
