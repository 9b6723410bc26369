//! Kernels before 6.6: a filter of the clsact queueing discipline. It has no link; the filter itself outlives the process.

use std::io;

use aya::programs::{
    TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
};
use policy::{Direction, LocalInterface};

use super::{
    filters::{Filter, Place, filters},
    site::fault,
};
use crate::{
    enforcer::Hook,
    error::AttachError,
    failpoint::failpoint,
    links,
    object::{Object, policy_program},
};

/// Priority and handle of our filters: fixed, so that they are found again after a restart. No priority comes before this one.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 0x4852);
/// Of a filter that stands in for ours while ours changes its place.
const HANDLE_MEANWHILE: TcHandle = TcHandle::new(0, 0x4853);

const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// Replaces our filter, or makes it; true: it was not there. The kernel exchanges a filter's program atomically.
pub(super) fn attach(
    object: &mut Object,
    interface: &LocalInterface,
    direction: Direction,
) -> Result<bool, AttachError> {
    let (name, kind) = (policy_program(direction), kind_of(direction));
    let fail = |error: &dyn std::error::Error| fault(name, interface, "clsact", error);
    let program = object.tc_program(name);
    let there = SchedClassifierLink::attached(&interface.name, kind, PRIORITY, HANDLE, None);
    let there = there.map_err(|error| fail(&error))?;
    let fresh = match program.attach_to_link(there) {
        Ok(id) => {
            let link = program.take_link(id).map_err(|error| fail(&error))?;
            // Dropping it would detach; a filter has no pin that could keep it.
            std::mem::forget(link);
            failpoint("link-updated");
            false
        }
        Err(_) => {
            // If the qdisc is there already this fails, and what follows succeeds.
            let _already_there = qdisc_add_clsact(&interface.name);
            add(object, interface, direction, HANDLE)?;
            true
        }
    };
    // Left by a process that was killed while it changed the filter's place.
    remove(&interface.name, direction, HANDLE_MEANWHILE);
    Ok(fresh)
}

/// Adds a filter; it comes before all others of its priority (`list_add_rcu` in net/sched/cls_bpf.c).
fn add(
    object: &mut Object,
    interface: &LocalInterface,
    direction: Direction,
    handle: TcHandle,
) -> Result<(), AttachError> {
    let (name, kind) = (policy_program(direction), kind_of(direction));
    let fail = |error: &dyn std::error::Error| fault(name, interface, "clsact", error);
    let program = object.tc_program(name);
    let options = TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle, classid: None });
    let id = program.attach_with_options(&interface.name, kind, options).map_err(|error| fail(&error))?;
    let link = program.take_link(id).map_err(|error| fail(&error))?;
    // As above.
    std::mem::forget(link);
    failpoint("link-created");
    Ok(())
}

/// Puts our filter before others of its priority. One of ours is there all the time.
pub(super) fn bring_forward(
    object: &mut Object,
    interface: &LocalInterface,
    direction: Direction,
) -> Result<(), AttachError> {
    add(object, interface, direction, HANDLE_MEANWHILE)?;
    remove(&interface.name, direction, HANDLE);
    failpoint("forward-attached");
    add(object, interface, direction, HANDLE)?;
    remove(&interface.name, direction, HANDLE_MEANWHILE);
    Ok(())
}

/// Where the filter with our program stands.
pub(super) fn place(hook: Hook, program: u32) -> io::Result<Place> {
    let filters = filters(hook.ifindex, hook.direction)?;
    let ours =
        filters.iter().position(|f| (f.priority, f.handle, f.program) == (PRIORITY, u32::from(HANDLE), Some(program)));
    Ok(match ours {
        Some(0) => Place::First,
        Some(_) => Place::Behind { other: filters[0].to_string() },
        None => Place::Missing,
    })
}

/// Whether a filter of ours is on an interface, in either direction. Where the kernel does not say, one may be.
pub(super) fn is_on(ifindex: u32) -> bool {
    DIRECTIONS.iter().any(|direction| filters(ifindex, *direction).map_or(true, |there| there.iter().any(is_ours)))
}

fn is_ours(filter: &Filter) -> bool {
    filter.priority == PRIORITY
        && filter.program.is_some()
        && [HANDLE, HANDLE_MEANWHILE].map(u32::from).contains(&filter.handle)
}

/// Removes our filters in both directions.
pub(super) fn remove_all(ifindex: u32) {
    DIRECTIONS.into_iter().for_each(|direction| remove_ours(ifindex, direction));
}

/// Removes our filters, if there are any. The interface is found by its number: since they were made it may have another name.
pub(super) fn remove_ours(ifindex: u32, direction: Direction) {
    let removed = filters(ifindex, direction).and_then(|there| {
        if there.iter().any(is_ours) {
            let name = links::name_of(ifindex)?;
            [HANDLE, HANDLE_MEANWHILE].into_iter().for_each(|handle| remove(&name, direction, handle));
        }
        Ok(())
    });
    if let Err(error) = removed {
        tracing::warn!(ifindex, %direction, %error, "a filter may be left behind");
    }
}

fn remove(interface: &str, direction: Direction, handle: TcHandle) {
    let kind = kind_of(direction);
    // Detached when it is dropped.
    drop(SchedClassifierLink::attached(interface, kind, PRIORITY, handle, None));
}

fn kind_of(direction: Direction) -> TcAttachType {
    match direction {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    }
}
