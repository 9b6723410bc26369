//! The story, one step after the other.

mod deny;
mod explain;
mod form;
mod join;
mod kill;
mod policies;
mod stand;
mod storm;

use anyhow::Result;

use crate::report::Notes;
use crate::stage::Stage;

/// One step.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    /// Whether the steps that follow make no sense without it.
    pub(crate) essential: bool,
    pub(crate) play: fn(&mut Stage, &mut Notes) -> Result<()>,
}

const fn essential(title: &'static str, play: fn(&mut Stage, &mut Notes) -> Result<()>) -> Step {
    Step { title, essential: true, play }
}

const fn step(title: &'static str, play: fn(&mut Stage, &mut Notes) -> Result<()>) -> Step {
    Step { title, essential: false, play }
}

pub(crate) const ALL: &[Step] = &[
    essential("three load balancers with keepalived and HAProxy, nothing enforced yet", stand::play),
    essential("three agents, started alike, form a cluster by themselves", form::play),
    essential("a directory of policies, applied at a node that does not lead", policies::apply),
    step("who gets an answer through the virtual addresses, and who does not", policies::through_the_vip),
    step("a web server tries to open a connection to each load balancer", policies::from_behind),
    step("policy explain: the verdicts and the rules that decided", explain::play),
    essential("a fourth node joins by token", join::play),
    step("deny everything to everyone, and the cluster lives on", deny::play),
    step("a storm of revisions in a row", storm::play),
    step("the leader is killed with SIGKILL; its node goes on enforcing; another node takes a write", kill::kill),
    step("the killed peer comes back and converges", kill::back),
];
