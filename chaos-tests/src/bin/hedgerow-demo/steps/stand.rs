//! Three load balancers as they were before Hedgerow came: everybody reaches everything.

use anyhow::Result;
use chaos_tests::invariants::open;

use crate::report::{Notes, show};
use crate::stage::{Stage, checked};

pub(crate) fn play(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    for index in stage.indices() {
        stage.site.start_services(index)?;
    }
    let took = stage.site.settle(stage.running)?;
    notes.say(format!("one VRRP master, adverts each 100 ms; HAProxy peers connected; after {}", show(took)))?;
    notes.say(checked(&open(&stage.site, &stage.indices())?)?)
}
