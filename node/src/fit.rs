//! Whether documents make a policy that fits, as the command line and the agent ask it.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use policy::{CompileLimits, Diagnostics, Document, Image, Model};

/// How long the first rule or network past a limit is looked for. A policy at the limit takes seconds to compile, and whoever
/// waits for the answer has a deadline.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// The model and the image of these documents for members of these addresses.
///
/// # Errors
/// They do not validate, or are past a limit of the image (G18): with the place of each finding.
pub(crate) fn fit(documents: &[Document], members: &[IpAddr]) -> Result<(Model, Image), Diagnostics> {
    let mut until = None;
    let go_on = || Instant::now() < *until.get_or_insert_with(|| Instant::now() + LOOK_MAX);
    policy::fit(documents, members, &CompileLimits::default(), go_on)
}
