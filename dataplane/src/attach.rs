//! Where the programs are attached, and how they are replaced: links are pinned and updated in place, so there is never a gap.
//!
//! What arrives is judged once: by XDP, or where that is off by traffic control. Under TCX, where programs stack, the one that is attached
//! is nothing but the guard, which hands on to the policy's by a tail call: whatever becomes of that, sync flows never meet it (G0).
//! In XDP and under clsact one program does both, the guard first.

mod clsact;
mod filters;
mod forward;
mod site;

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use policy::{Direction, LocalInterface};

pub(crate) use self::forward::bring_forward;
use self::{
    filters::Place,
    site::{Put, Site},
};
use crate::{
    enforcer::{Attachment, Hook, HookState, HookStatus, TcMode, XdpMode},
    error::AttachError,
    object::{Object, policy_program},
    pin::{self, Pins},
    sys::{self, LinkKind},
};

/// The program at one hook.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) hook: Hook,
    interface: String,
    pub(crate) attachment: Attachment,
    /// None under clsact, where the kernel has no links.
    link: Option<OwnedFd>,
    /// The number of the program that was put there.
    program: u32,
    /// Something was not there before, and was made.
    pub(crate) fresh: bool,
}

/// How interfaces are attached to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    pub(crate) xdp: XdpMode,
    pub(crate) tc: TcMode,
}

/// Attaches to one interface, or takes over what is attached already.
pub(crate) fn attach_interface(
    object: &mut Object,
    pins: &Pins,
    interface: &LocalInterface,
    ways: Ways,
) -> Result<Vec<Attached>, AttachError> {
    let mut site = Site::open(object, pins, interface)?;
    let egress = by_traffic_control(&mut site, Direction::Egress, ways.tc)?;
    let ingress = ingress(&mut site, ways)?;
    site.remove_other_links();
    let attached = vec![ingress, egress];
    // Filters of a time when it was done otherwise.
    let other = attached.iter().filter(|attached| attached.attachment != Attachment::Clsact);
    other.for_each(|attached| clsact::remove_ours(attached.hook.ifindex, attached.hook.direction));
    Ok(attached)
}

/// Whether programs are attached: by links, which are pinned, or by filters, which are not, on an interface that has a directory for links.
pub(crate) fn is_anything_attached(pins: &Pins) -> bool {
    let by_filter = |links: &Path| pin::ifindex_of(links).is_some_and(clsact::is_on);
    pins.link_directories().iter().any(|links| !pin::children(links).is_empty() || by_filter(links))
}

/// Removes the filters of every interface that has a directory for links: they would stay when the pins go.
pub(crate) fn drop_filters(pins: &Pins) {
    pins.link_directories().iter().filter_map(|links| pin::ifindex_of(links)).for_each(clsact::remove_all);
}

/// Removes the links and filters of interfaces that are no longer attached to.
pub(crate) fn drop_others(pins: &Pins, interfaces: &[LocalInterface]) {
    let wanted: Vec<PathBuf> = interfaces.iter().map(|i| pins.links(i.ifindex, &i.name)).collect();
    for path in pins.link_directories().iter().filter(|path| !wanted.contains(path)) {
        // One that only has another name now keeps its filters, which are in force. The directory goes last: filters are found by it.
        let stale = pin::ifindex_of(path).filter(|ifindex| interfaces.iter().all(|i| i.ifindex != *ifindex));
        stale.into_iter().for_each(clsact::remove_all);
        pin::remove(path);
    }
}

fn ingress(site: &mut Site<'_>, ways: Ways) -> Result<Attached, AttachError> {
    let modes: &[Attachment] = match ways.xdp {
        XdpMode::Off => return by_traffic_control(site, Direction::Ingress, ways.tc),
        XdpMode::Auto => &[Attachment::XdpNative, Attachment::XdpGeneric],
        XdpMode::Native => &[Attachment::XdpNative],
        XdpMode::Generic => &[Attachment::XdpGeneric],
    };
    let program = site.object.xdp;
    for mode in modes {
        if let Some(put) = site.adopt(program, xdp_pin(*mode).0) {
            return Ok(site.attached(Direction::Ingress, *mode, put, false));
        }
    }
    let mut failure = None;
    for mode in modes {
        // A link of the other mode would be in the way.
        let other = if *mode == Attachment::XdpNative { Attachment::XdpGeneric } else { Attachment::XdpNative };
        site.remove_link(xdp_pin(other).0);
        let (name, kind) = xdp_pin(*mode);
        match site.create(program, name, kind, *mode) {
            Ok(put) => return Ok(site.attached(Direction::Ingress, *mode, put, true)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.expect("at least one mode was tried"))
}

fn xdp_pin(mode: Attachment) -> (&'static str, LinkKind) {
    match mode {
        Attachment::XdpNative => ("xdp-native", LinkKind::XDP_NATIVE),
        _ => ("xdp-generic", LinkKind::XDP_GENERIC),
    }
}

fn by_traffic_control(site: &mut Site<'_>, direction: Direction, mode: TcMode) -> Result<Attached, AttachError> {
    if mode == TcMode::Clsact || !sys::has_tcx() {
        let fresh = clsact::attach(site.object, site.interface, direction)?;
        let program = site.object.program_fd(policy_program(direction)).and_then(sys::object_id);
        let program = program.map_err(|error| site::fault("filter", site.interface, "clsact", &error))?;
        return Ok(site.attached(direction, Attachment::Clsact, Put { link: None, program }, fresh));
    }
    let tcx = Tcx::of(direction);
    let adopted = site.adopt(tcx.program, tcx.pin);
    let fresh = adopted.is_none();
    let put = match adopted {
        Some(put) => put,
        None => site.create(tcx.program, tcx.pin, tcx.kind, Attachment::Tcx)?,
    };
    Ok(site.attached(direction, Attachment::Tcx, put, fresh))
}

/// The guard's program and its pin under TCX.
struct Tcx {
    program: &'static str,
    pin: &'static str,
    kind: LinkKind,
}

impl Tcx {
    fn of(direction: Direction) -> Tcx {
        match direction {
            Direction::Ingress => {
                Tcx { program: crate::object::GUARD_INGRESS, pin: "tcx-ingress", kind: LinkKind::TCX_INGRESS }
            }
            Direction::Egress => {
                Tcx { program: crate::object::GUARD_EGRESS, pin: "tcx-egress", kind: LinkKind::TCX_EGRESS }
            }
        }
    }
}

impl Attached {
    /// Whether the program is still where it was attached, and nothing has been put before it or in its place. Links are known by this
    /// process alone: a later one of ours updates them after this one has ended.
    pub(crate) fn in_place(&self) -> Result<(), String> {
        if let Some(link) = &self.link {
            let info = sys::link_info(link).map_err(|error| error.to_string())?;
            if info.ifindex != self.hook.ifindex {
                return Err("somebody detached it, or the interface is gone".to_owned());
            }
            if info.program_id != self.program {
                return Err(format!("somebody put program {} behind its link", info.program_id));
            }
        }
        match self.attachment {
            Attachment::Tcx if self.behind_others() => Err("another program was put before it".to_owned()),
            Attachment::Clsact => self.filter_in_place(),
            _ => Ok(()),
        }
    }

    /// Whether a foreign program comes before ours under traffic control: it may let packets pass that ours never see.
    pub(crate) fn shadowed(&self) -> bool {
        match self.attachment {
            Attachment::Tcx => self.behind_others(),
            Attachment::Clsact => {
                matches!(clsact::place(self.hook, self.program), Ok(Place::Behind { .. }))
            }
            _ => false,
        }
    }

    fn behind_others(&self) -> bool {
        let Ok(there) = sys::tcx_programs(self.hook.ifindex, Tcx::of(self.hook.direction).kind) else { return false };
        there.first() != Some(&self.program) && there.contains(&self.program)
    }

    fn filter_in_place(&self) -> Result<(), String> {
        match clsact::place(self.hook, self.program).map_err(|error| error.to_string())? {
            Place::First => {}
            Place::Behind { other } => return Err(format!("another filter was put before it: {other}")),
            Place::Missing => return Err("somebody removed the filter, or the interface is gone".to_owned()),
        }
        // Where both are, the kernel asks TCX first.
        match sys::tcx_programs(self.hook.ifindex, Tcx::of(self.hook.direction).kind) {
            Ok(there) if !there.is_empty() => {
                Err(format!("program {} is attached by TCX, which comes before clsact", there[0]))
            }
            _ => Ok(()),
        }
    }

    /// The program of which a second copy is needed to change its place.
    pub(crate) fn program_of_tcx(&self) -> Option<&'static str> {
        (self.attachment == Attachment::Tcx).then(|| Tcx::of(self.hook.direction).program)
    }

    /// Where the link is pinned.
    fn pin(&self, pins: &Pins) -> PathBuf {
        let name = match self.attachment {
            Attachment::Tcx => Tcx::of(self.hook.direction).pin,
            mode => xdp_pin(mode).0,
        };
        pins.links(self.hook.ifindex, &self.interface).join(name)
    }

    /// Pins the link again if it is no longer pinned; whether that was so. For a filter there is only the directory.
    pub(crate) fn restore_pin(&self, pins: &Pins) -> io::Result<bool> {
        let directory = pins.links(self.hook.ifindex, &self.interface);
        let missing = !directory.exists();
        fs::create_dir_all(directory)?;
        let Some(link) = &self.link else { return Ok(missing) };
        pin::restore(std::iter::once((self.pin(pins).as_path(), link)))
    }

    /// The status to report.
    pub(crate) fn status(&self, state: HookState) -> HookStatus {
        HookStatus { hook: self.hook, interface: self.interface.clone(), attachment: self.attachment, state }
    }

    /// Takes the program off the hook.
    pub(crate) fn detach(self) {
        // Somebody else may have been faster; then it is gone too.
        if let Some(Err(error)) = self.link.as_ref().map(sys::detach_link) {
            tracing::debug!(hook = %self.hook, %error, "a link was not attached any more");
        }
        if self.attachment == Attachment::Clsact {
            clsact::remove_ours(self.hook.ifindex, self.hook.direction);
        }
    }
}
