//! Where the programs are attached, and how they are replaced: links are pinned and updated in place, so there is never a gap.

use std::{os::fd::OwnedFd, path::PathBuf};

use aya::programs::{
    SchedClassifier, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
};
use policy::{Direction, LocalInterface};

use crate::{
    enforcer::{Attachment, Hook, HookState, HookStatus, TcMode, XdpMode},
    error::AttachError,
    object::{EGRESS, INGRESS, Object, with_sources},
    pin::{self, Pins},
    sys::{self, LinkKind, create_link},
};

/// Priority and handle of our filters under clsact: fixed, so that they are found again after a restart.
const CLSACT_PRIORITY: u16 = 1;
const CLSACT_HANDLE: TcHandle = TcHandle::new(0, 0x4852);

/// One program at one hook.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) hook: Hook,
    interface: String,
    pub(crate) attachment: Attachment,
    /// `None` under clsact, where the kernel has no links.
    link: Option<OwnedFd>,
    /// It was not there before, and was made.
    pub(crate) fresh: bool,
}

/// How interfaces are attached to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    pub(crate) xdp: XdpMode,
    pub(crate) tc: TcMode,
}

/// Attaches to one interface, or takes over what is attached already. Ingress is judged once: by XDP or by traffic control.
pub(crate) fn attach_interface(
    object: &mut Object,
    pins: &Pins,
    interface: &LocalInterface,
    ways: Ways,
) -> Result<Vec<Attached>, AttachError> {
    let directory = pins.links(interface.ifindex, &interface.name);
    std::fs::create_dir_all(&directory).map_err(|error| fault(EGRESS, interface, "pin", &error))?;
    let egress = attach_tc(object, pins, interface, Direction::Egress, ways.tc)?;
    let ingress = attach_ingress(object, pins, interface, ways)?;
    let wanted = [pin_name(egress.attachment, Direction::Egress), pin_name(ingress.attachment, Direction::Ingress)];
    for path in pin::children(&directory) {
        if !wanted.iter().any(|name| path.file_name().is_some_and(|file| file == *name)) {
            pin::remove(&path);
        }
    }
    Ok(vec![ingress, egress])
}

/// Removes the links of interfaces that are no longer attached to.
pub(crate) fn drop_others(pins: &Pins, interfaces: &[LocalInterface]) {
    let wanted: Vec<PathBuf> = interfaces.iter().map(|i| pins.links(i.ifindex, &i.name)).collect();
    pins.link_directories().iter().filter(|path| !wanted.contains(path)).for_each(|path| pin::remove(path));
}

fn attach_ingress(
    object: &mut Object,
    pins: &Pins,
    interface: &LocalInterface,
    ways: Ways,
) -> Result<Attached, AttachError> {
    let modes: &[Attachment] = match ways.xdp {
        XdpMode::Off => return attach_tc(object, pins, interface, Direction::Ingress, ways.tc),
        XdpMode::Auto => &[Attachment::XdpNative, Attachment::XdpGeneric],
        XdpMode::Native => &[Attachment::XdpNative],
        XdpMode::Generic => &[Attachment::XdpGeneric],
    };
    for mode in modes {
        if let Some(attached) = adopt(object, object.xdp, pins, interface, Direction::Ingress, *mode) {
            return Ok(attached);
        }
    }
    let mut failure = None;
    for mode in modes {
        // A link of the other mode would be in the way.
        for other in [Attachment::XdpNative, Attachment::XdpGeneric].iter().filter(|other| *other != mode) {
            let path = pins.links(interface.ifindex, &interface.name).join(pin_name(*other, Direction::Ingress));
            if path.exists() {
                pin::remove(&path);
            }
        }
        match attach_xdp(object, pins, interface, *mode) {
            Ok(attached) => return Ok(attached),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.expect("at least one mode was tried"))
}

fn attach_xdp(
    object: &mut Object,
    pins: &Pins,
    interface: &LocalInterface,
    mode: Attachment,
) -> Result<Attached, AttachError> {
    let kind = if mode == Attachment::XdpNative { LinkKind::XDP_NATIVE } else { LinkKind::XDP_GENERIC };
    let made = object.program_fd(object.xdp).and_then(|program| create_link(program, interface.ifindex, kind));
    let link = made.map_err(|error| fault(object.xdp, interface, &mode.to_string(), &error))?;
    pinned(link, pins, interface, Direction::Ingress, mode)
}

/// Puts the loaded program behind the link that is pinned, if there is one and it is alive.
fn adopt(
    object: &Object,
    program: &str,
    pins: &Pins,
    interface: &LocalInterface,
    direction: Direction,
    mode: Attachment,
) -> Option<Attached> {
    let link = living_link(pins, interface, direction, mode)?;
    sys::update_link(&link, object.program_fd(program).ok()?).ok()?;
    Some(attached(interface, direction, mode, Some(link)))
}

fn attach_tc(
    object: &mut Object,
    pins: &Pins,
    interface: &LocalInterface,
    direction: Direction,
    mode: TcMode,
) -> Result<Attached, AttachError> {
    let (name, _) = of_direction(direction);
    if mode == TcMode::Clsact {
        return attach_clsact(object, interface, direction);
    }
    if let Some(attached) = adopt(object, name, pins, interface, direction, Attachment::Tcx) {
        return Ok(attached);
    }
    let kind = if direction == Direction::Ingress { LinkKind::TCX_INGRESS } else { LinkKind::TCX_EGRESS };
    match object.program_fd(name).and_then(|program| create_link(program, interface.ifindex, kind)) {
        Ok(link) => pinned(link, pins, interface, direction, Attachment::Tcx),
        // Kernels before 6.6 have no TCX.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && !tcx_supported(&interface.name) => {
            attach_clsact(object, interface, direction)
        }
        Err(error) => Err(fault(name, interface, "tcx", &error)),
    }
}

fn tcx_supported(interface: &str) -> bool {
    SchedClassifier::query_tcx(interface, TcAttachType::Egress).is_ok()
}

/// Replaces our filter, or makes it. The kernel exchanges a filter's program atomically.
fn attach_clsact(
    object: &mut Object,
    interface: &LocalInterface,
    direction: Direction,
) -> Result<Attached, AttachError> {
    let (name, kind) = of_direction(direction);
    let fail = |error: &dyn std::error::Error| fault(name, interface, "clsact", error);
    let program = object.tc_program(name);
    let there = SchedClassifierLink::attached(&interface.name, kind, CLSACT_PRIORITY, CLSACT_HANDLE, None);
    let there = there.map_err(|error| fail(&error))?;
    let (id, fresh) = match program.attach_to_link(there) {
        Ok(id) => (id, false),
        Err(_) => {
            // If the qdisc is there already this fails, and what follows succeeds.
            let _already_there = qdisc_add_clsact(&interface.name);
            let options = NlOptions { priority: CLSACT_PRIORITY, handle: CLSACT_HANDLE, classid: None };
            let options = TcAttachOptions::Netlink(options);
            (program.attach_with_options(&interface.name, kind, options).map_err(|error| fail(&error))?, true)
        }
    };
    let link = program.take_link(id).map_err(|error| fail(&error))?;
    // Dropping it would detach; a filter has no pin that could keep it.
    std::mem::forget(link);
    Ok(Attached { fresh, ..attached(interface, direction, Attachment::Clsact, None) })
}

fn detach_clsact(interface: &str, direction: Direction) {
    let (_, kind) = of_direction(direction);
    // Detached when it is dropped.
    drop(SchedClassifierLink::attached(interface, kind, CLSACT_PRIORITY, CLSACT_HANDLE, None));
}

fn of_direction(direction: Direction) -> (&'static str, TcAttachType) {
    match direction {
        Direction::Ingress => (INGRESS, TcAttachType::Ingress),
        Direction::Egress => (EGRESS, TcAttachType::Egress),
    }
}

fn attached(
    interface: &LocalInterface,
    direction: Direction,
    attachment: Attachment,
    link: Option<OwnedFd>,
) -> Attached {
    let hook = Hook { ifindex: interface.ifindex, direction };
    Attached { hook, interface: interface.name.clone(), attachment, link, fresh: false }
}

fn pinned(
    link: OwnedFd,
    pins: &Pins,
    interface: &LocalInterface,
    direction: Direction,
    attachment: Attachment,
) -> Result<Attached, AttachError> {
    let path = pins.links(interface.ifindex, &interface.name).join(pin_name(attachment, direction));
    pin::remove(&path);
    sys::pin_object(&link, &path).map_err(|error| fault("link", interface, &attachment.to_string(), &error))?;
    Ok(Attached { fresh: true, ..attached(interface, direction, attachment, Some(link)) })
}

/// The pinned link of a hook, if it still holds on to this interface.
fn living_link(
    pins: &Pins,
    interface: &LocalInterface,
    direction: Direction,
    attachment: Attachment,
) -> Option<OwnedFd> {
    let path = pins.links(interface.ifindex, &interface.name).join(pin_name(attachment, direction));
    let link = sys::open_pinned(&path).ok()?;
    let alive = sys::link_info(&link).is_ok_and(|info| info.ifindex == interface.ifindex);
    alive.then_some(link)
}

fn pin_name(attachment: Attachment, direction: Direction) -> &'static str {
    match (attachment, direction) {
        (Attachment::XdpNative, _) => "xdp-native",
        (Attachment::XdpGeneric, _) => "xdp-generic",
        (Attachment::Tcx, Direction::Ingress) => "tcx-ingress",
        (Attachment::Tcx, Direction::Egress) => "tcx-egress",
        (Attachment::Clsact | Attachment::Userspace, _) => "none",
    }
}

fn fault(program: &str, interface: &LocalInterface, how: &str, error: &dyn std::error::Error) -> AttachError {
    AttachError {
        program: program.to_owned(),
        interface: interface.name.clone(),
        how: how.to_owned(),
        message: with_sources(error),
    }
}

impl Attached {
    /// Whether the program is still where it was attached.
    pub(crate) fn in_place(&self) -> Result<(), String> {
        let Some(link) = &self.link else { return Ok(()) };
        let info = sys::link_info(link).map_err(|error| error.to_string())?;
        if info.ifindex == self.hook.ifindex {
            return Ok(());
        }
        Err("somebody detached it, or the interface is gone".to_owned())
    }

    /// The status to report.
    pub(crate) fn status(&self, state: HookState) -> HookStatus {
        HookStatus { hook: self.hook, interface: self.interface.clone(), attachment: self.attachment, state }
    }

    /// Removes what no pin removes.
    pub(crate) fn detach(self) {
        if self.attachment == Attachment::Clsact {
            detach_clsact(&self.interface, self.hook.direction);
        }
    }
}
