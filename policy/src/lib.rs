//! The pure core: documents, model, validation, compiler, evaluators, guard and proof obligations.

pub mod model;
mod packet;
mod verdict;

pub use model::Model;
pub use packet::Flow;
pub use verdict::{Decision, RuleRef, Side, Verdict};
