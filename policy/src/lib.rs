//! The pure core: documents, model, validation, compiler, evaluators, guard and proof obligations.

pub mod channel;
mod compile;
pub mod diagnostic;
mod diff;
pub mod document;
mod evaluate;
pub mod explain;
pub mod guard;
pub mod image;
pub mod model;
mod packet;
mod proof;
mod revision;
mod rule_info;
pub mod sample;
mod validate;
mod verdict;

pub use channel::{Channel, catalogue};
pub use compile::{CompileError, CompileLimits, compile, fit};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use diff::{Change, ChangeKind, DocumentDiff, diff};
pub use document::{Body, Document, Kind, Position, SourceText, parse};
pub use evaluate::evaluate;
pub use explain::{Explanation, explain};
pub use guard::{Direction, Guard, GuardEntry, GuardError, JoinEntry, LocalInterface, PortMatch, SpoofEntry, guard};
pub use image::{Image, TableId, Tables};
pub use model::Model;
pub use packet::Flow;
pub use proof::{Obligation, frame, obligations};
pub use revision::{content_digest, merge};
pub use rule_info::RuleInfo;
pub use validate::validate;
pub use verdict::{Decision, RuleRef, Side, Verdict};
