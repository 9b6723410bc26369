//! What holds for the whole cluster.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// The verdict on addresses that no policy selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultAction {
    /// So that nothing breaks on day one.
    #[default]
    Allow,
    /// Once the operator says so.
    Deny,
}

impl DefaultAction {
    /// Both as they are written.
    pub const NAMES: [(&'static str, DefaultAction); 2] =
        [("allow", DefaultAction::Allow), ("deny", DefaultAction::Deny)];

    /// As a verdict.
    pub fn verdict(self) -> Verdict {
        match self {
            DefaultAction::Allow => Verdict::Allow,
            DefaultAction::Deny => Verdict::Deny,
        }
    }
}

/// Settings of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Decides, per direction, where no rule matched and no policy of the application tier applies.
    pub default_action: DefaultAction,
    /// Of the flow events that only a rule's `log` asks for, one of so many is kept. What is refused or observed is always told.
    pub log_sampling: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { default_action: DefaultAction::default(), log_sampling: NonZeroU32::MIN }
    }
}
