//! Puts our program before others again that have put themselves first. The new one is in front before the old one goes: a hook is
//! never without it, for no packet and whenever this process is killed.

use std::{fs, io, os::fd::OwnedFd, path::PathBuf};

use policy::LocalInterface;

use super::{Attached, Tcx, clsact, site::fault};
use crate::{
    enforcer::Attachment,
    error::AttachError,
    failpoint::failpoint,
    object::Object,
    pin::{self, Pins},
    sys,
};

/// Brings the program of one hook to the front.
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
    let (link, program) = in_front(object, &attached, &tcx)
        .and_then(|(link, program)| take_the_pin(&link, &attached, pins).map(|()| (link, program)))
        .map_err(|error| fault(tcx.program, interface, "tcx", &error))?;
    // With its pin taken, the old link goes with the descriptor in `attached`.
    Ok(Attached { program, link: Some(link), fresh: true, ..attached })
}

/// A link of a copy of the program before all others, and the number of that copy.
fn in_front(object: &mut Object, attached: &Attached, tcx: &Tcx) -> io::Result<(OwnedFd, u32)> {
    let ifindex = attached.hook.ifindex;
    let copy = object.copy_not_among(tcx.program, &sys::tcx_programs(ifindex, tcx.kind)?)?;
    let link = sys::create_link(&copy, ifindex, tcx.kind)?;
    failpoint("forward-attached");
    Ok((link, sys::object_id(&copy)?))
}

/// Pins the new link under another name and renames it over the old one.
fn take_the_pin(link: &OwnedFd, attached: &Attached, pins: &Pins) -> io::Result<()> {
    let path = attached.pin(pins);
    let beside = PathBuf::from(format!("{}-next", path.display()));
    pin::remove(&beside);
    sys::pin_object(link, &beside)?;
    failpoint("forward-pinned");
    fs::rename(beside, path)?;
    failpoint("forward-in-place");
    Ok(())
}
