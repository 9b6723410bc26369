//! The pure core: documents, model, validation, compiler, evaluators, guard and proof obligations.

pub mod channel;
pub mod guard;
pub mod image;
pub mod model;
mod packet;
mod proof;
mod rule_info;
mod verdict;

pub use channel::{Channel, catalogue};
pub use guard::{Direction, Guard, GuardEntry, GuardError, JoinEntry, LocalInterface, PortMatch, SpoofEntry, guard};
pub use image::{Image, TableId, Tables};
pub use model::Model;
pub use packet::Flow;
pub use proof::Obligation;
pub use rule_info::RuleInfo;
pub use verdict::{Decision, RuleRef, Side, Verdict};
