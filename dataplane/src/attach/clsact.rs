//! Kernels before 6.6: a filter of the clsact queueing discipline. It has no link; the filter itself outlives the process.

use aya::programs::{
    TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
};
use policy::{Direction, LocalInterface};

use super::site::fault;
use crate::{
    error::AttachError,
    object::{EGRESS, INGRESS, Object},
};

/// Priority and handle of our filters: fixed, so that they are found again after a restart.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 0x4852);

/// Replaces our filter, or makes it; true: it was not there. The kernel exchanges a filter's program atomically.
pub(super) fn attach(
    object: &mut Object,
    interface: &LocalInterface,
    direction: Direction,
) -> Result<bool, AttachError> {
    let (name, kind) = of_direction(direction);
    let fail = |error: &dyn std::error::Error| fault(name, interface, "clsact", error);
    let program = object.tc_program(name);
    let there = SchedClassifierLink::attached(&interface.name, kind, PRIORITY, HANDLE, None);
    let there = there.map_err(|error| fail(&error))?;
    let (id, fresh) = match program.attach_to_link(there) {
        Ok(id) => (id, false),
        Err(_) => {
            // If the qdisc is there already this fails, and what follows succeeds.
            let _already_there = qdisc_add_clsact(&interface.name);
            let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
            let options = TcAttachOptions::Netlink(options);
            (program.attach_with_options(&interface.name, kind, options).map_err(|error| fail(&error))?, true)
        }
    };
    let link = program.take_link(id).map_err(|error| fail(&error))?;
    // Dropping it would detach; a filter has no pin that could keep it.
    std::mem::forget(link);
    Ok(fresh)
}

/// Removes our filter.
pub(super) fn detach(interface: &str, direction: Direction) {
    let (_, kind) = of_direction(direction);
    // Detached when it is dropped.
    drop(SchedClassifierLink::attached(interface, kind, PRIORITY, HANDLE, None));
}

fn of_direction(direction: Direction) -> (&'static str, TcAttachType) {
    match direction {
        Direction::Ingress => (INGRESS, TcAttachType::Ingress),
        Direction::Egress => (EGRESS, TcAttachType::Egress),
    }
}
