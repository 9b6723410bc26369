//! Loads an image and proves it in batches, so that nothing waits for a long proof as a whole.
//!
//! A full guard makes hundreds of thousands of frames. The data path's thread does one batch at a stretch; between two of them
//! it looks at the hooks, counts and answers (G20).

use std::sync::Arc;

use dataplane::{PrepareError, Prepared};
use policy::Obligation;

use super::{
    compiled::Compiled,
    enforce::{EnforcerGone, EnforcerHandle},
};

/// Frames that are proven at a stretch: a quarter of a second where one takes 15 µs.
const BATCH_FRAMES_MAX: usize = 16_384;

/// Loads `compiled` beside what is live and proves every obligation on it.
///
/// # Errors
/// The data path's thread is gone. Inside: the image does not fit, or is not proven; what is live stays.
pub(crate) async fn prepare(
    enforcer: &EnforcerHandle,
    compiled: &Arc<Compiled>,
    obligations: Vec<Obligation>,
) -> Result<Result<Prepared, PrepareError>, EnforcerGone> {
    let obligations = Arc::new(obligations);
    let mut proven = 0;
    loop {
        let end = obligations.len().min(proven + BATCH_FRAMES_MAX);
        let (compiled, all, batch) = (compiled.clone(), obligations.clone(), proven..end);
        // To load an image where it is loaded already is to compare it: each batch is proven on the very same words.
        let load = move |enforcer: &mut dyn dataplane::Enforcer| {
            enforcer.prepare(compiled.target.revision, &compiled.image, &all[batch])
        };
        let prepared = enforcer.run(load).await?;
        if prepared.is_err() || end == obligations.len() {
            return Ok(prepared);
        }
        proven = end;
    }
}
