//! What holds for the whole cluster.

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Decides, per direction, where no rule matched and no policy of the application tier applies.
    pub default_action: DefaultAction,
}
