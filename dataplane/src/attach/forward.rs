//! Puts our programs before others again that have put themselves first. The new ones are in front before the old ones go: a hook is
//! never without them, for no packet and whenever this process is killed.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use policy::LocalInterface;

use super::{Attached, Tcx, clsact, program_of, site::fault};
use crate::{
    enforcer::Attachment,
    error::AttachError,
    failpoint::failpoint,
    object::Object,
    pin::{self, Pins},
    sys,
};

/// Brings the programs of one hook to the front.
pub(crate) fn bring_forward(
    object: &mut Object,
    pins: &Pins,
    interface: &LocalInterface,
    attached: Attached,
) -> Result<Attached, AttachError> {
    if attached.attachment == Attachment::Clsact {
        clsact::bring_forward(object, interface, attached.hook.direction)?;
        return Ok(Attached { fresh: true, ..attached });
    }
    let tcx = Tcx::of(attached.hook.direction);
    let links = in_front(object, &attached, &tcx)
        .and_then(|links| take_the_pins(&links, &attached, pins).map(|()| links))
        .map_err(|error| fault(tcx.policy, interface, "tcx", &error))?;
    let programs = vec![program_of(&links[1]), program_of(&links[0])];
    // With their pins taken, the old links go with the descriptors in `attached`.
    Ok(Attached { links, programs, fresh: true, ..attached })
}

/// Links of copies of the programs before all others, the policy's and the guard's.
fn in_front(object: &mut Object, attached: &Attached, tcx: &Tcx) -> io::Result<Vec<OwnedFd>> {
    let ifindex = attached.hook.ifindex;
    let there = sys::tcx_programs(ifindex, tcx.kind)?;
    let (guard, policy) = (object.copy_not_among(tcx.guard, &there)?, object.copy_not_among(tcx.policy, &there)?);
    let guard = sys::create_link(&guard, ifindex, tcx.kind.first())?;
    let policy = sys::create_link(&policy, ifindex, tcx.kind.behind(&guard))?;
    failpoint("forward-attached");
    Ok(vec![policy, guard])
}

/// Pins the new links under other names and renames them over the old ones, the guard first.
fn take_the_pins(links: &[OwnedFd], attached: &Attached, pins: &Pins) -> io::Result<()> {
    let paths = attached.pins(pins);
    let beside = |path: &Path| PathBuf::from(format!("{}-next", path.display()));
    for (link, path) in links.iter().zip(&paths) {
        pin::remove(&beside(path));
        sys::pin_object(link, &beside(path))?;
    }
    failpoint("forward-pinned");
    for path in paths.iter().rev() {
        fs::rename(beside(path), path)?;
        failpoint("forward-guard-in-place");
    }
    failpoint("forward-in-place");
    Ok(())
}
