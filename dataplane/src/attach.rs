//! Where the programs are attached, and how they are replaced: links are pinned and updated in place, so there is never a gap.
//!
//! What arrives is judged once: by XDP, or where that is off by traffic control. Under TCX, where programs stack, a program with nothing
//! but the guard comes first, with a link of its own: whatever becomes of the policy's program, sync flows never meet it (G0). In
//! XDP and under clsact one program does both, the guard first.

mod clsact;
mod filters;
mod forward;
mod site;

use std::{fs, io, os::fd::OwnedFd, path::PathBuf};

use policy::{Direction, LocalInterface};

pub(crate) use self::forward::bring_forward;
use self::{filters::Place, site::Site};
use crate::{
    enforcer::{Attachment, Hook, HookState, HookStatus, TcMode, XdpMode},
    error::AttachError,
    object::Object,
    pin::{self, Pins},
    sys::{self, LinkKind},
};

/// The programs at one hook.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) hook: Hook,
    interface: String,
    pub(crate) attachment: Attachment,
    /// The policy's program; and under TCX the guard's. None under clsact, where the kernel has no links.
    links: Vec<OwnedFd>,
    /// The programs' numbers under TCX, in the order in which packets meet them; under clsact that of the one.
    programs: Vec<u32>,
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
    Ok(vec![ingress, egress])
}

/// Removes the links of interfaces that are no longer attached to.
pub(crate) fn drop_others(pins: &Pins, interfaces: &[LocalInterface]) {
    let wanted: Vec<PathBuf> = interfaces.iter().map(|i| pins.links(i.ifindex, &i.name)).collect();
    pins.link_directories().iter().filter(|path| !wanted.contains(path)).for_each(|path| pin::remove(path));
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
        if let Some(link) = site.adopt(program, xdp_pin(*mode).0) {
            return Ok(site.attached(Direction::Ingress, *mode, vec![link], false));
        }
    }
    let mut failure = None;
    for mode in modes {
        // A link of the other mode would be in the way.
        let other = if *mode == Attachment::XdpNative { Attachment::XdpGeneric } else { Attachment::XdpNative };
        site.remove_link(xdp_pin(other).0);
        let (name, kind) = xdp_pin(*mode);
        match site.create(program, name, kind, *mode) {
            Ok(link) => return Ok(site.attached(Direction::Ingress, *mode, vec![link], true)),
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
    if mode == TcMode::Clsact || !tcx_supported(site.interface) {
        let fresh = clsact::attach(site.object, site.interface, direction)?;
        let program = site.object.program_fd(Tcx::of(direction).policy).and_then(sys::object_id);
        let programs = vec![program.map_err(|error| site::fault("filter", site.interface, "clsact", &error))?];
        let attached = site.attached(direction, Attachment::Clsact, Vec::new(), fresh);
        return Ok(Attached { programs, ..attached });
    }
    let tcx = Tcx::of(direction);
    let adopted = (site.adopt(tcx.policy, tcx.policy_pin), site.adopt(tcx.guard, tcx.guard_pin));
    let fresh = adopted.0.is_none() || adopted.1.is_none();
    let guard = match adopted.1 {
        Some(link) => link,
        None => site.create(tcx.guard, tcx.guard_pin, tcx.kind.first(), Attachment::Tcx)?,
    };
    let policy = match adopted.0 {
        Some(link) => link,
        None => site.create(tcx.policy, tcx.policy_pin, tcx.kind.behind(&guard), Attachment::Tcx)?,
    };
    let programs = vec![program_of(&guard), program_of(&policy)];
    let attached = site.attached(direction, Attachment::Tcx, vec![policy, guard], fresh);
    Ok(Attached { programs, ..attached })
}

fn program_of(link: &OwnedFd) -> u32 {
    sys::link_info(link).map_or(0, |info| info.program_id)
}

/// Kernels before 6.6 have none.
fn tcx_supported(interface: &LocalInterface) -> bool {
    sys::tcx_programs(interface.ifindex, LinkKind::TCX_EGRESS).is_ok()
}

/// Programs and pins under TCX.
struct Tcx {
    policy: &'static str,
    policy_pin: &'static str,
    guard: &'static str,
    guard_pin: &'static str,
    kind: LinkKind,
}

impl Tcx {
    fn of(direction: Direction) -> Tcx {
        match direction {
            Direction::Ingress => Tcx {
                policy: crate::object::INGRESS,
                policy_pin: "tcx-ingress",
                guard: crate::object::GUARD_INGRESS,
                guard_pin: "tcx-ingress-guard",
                kind: LinkKind::TCX_INGRESS,
            },
            Direction::Egress => Tcx {
                policy: crate::object::EGRESS,
                policy_pin: "tcx-egress",
                guard: crate::object::GUARD_EGRESS,
                guard_pin: "tcx-egress-guard",
                kind: LinkKind::TCX_EGRESS,
            },
        }
    }
}

impl Attached {
    /// Whether the programs are still where they were attached, and nothing has been put before them.
    pub(crate) fn in_place(&self) -> Result<(), String> {
        for link in &self.links {
            let info = sys::link_info(link).map_err(|error| error.to_string())?;
            if info.ifindex != self.hook.ifindex {
                return Err("somebody detached it, or the interface is gone".to_owned());
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
                matches!(clsact::place(self.hook, self.program()), Ok(Place::Behind { .. }))
            }
            _ => false,
        }
    }

    fn behind_others(&self) -> bool {
        let Ok(there) = sys::tcx_programs(self.hook.ifindex, Tcx::of(self.hook.direction).kind) else { return false };
        !there.starts_with(&self.programs) && self.programs.iter().all(|ours| there.contains(ours))
    }

    fn filter_in_place(&self) -> Result<(), String> {
        match clsact::place(self.hook, self.program()).map_err(|error| error.to_string())? {
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

    /// The policy's program.
    fn program(&self) -> u32 {
        self.programs.last().copied().unwrap_or(0)
    }

    /// The programs of which a second copy is needed to change their place.
    pub(crate) fn programs_of_tcx(&self) -> Vec<&'static str> {
        let tcx = Tcx::of(self.hook.direction);
        if self.attachment == Attachment::Tcx { vec![tcx.guard, tcx.policy] } else { Vec::new() }
    }

    /// Where each link is pinned.
    fn pins(&self, pins: &Pins) -> Vec<PathBuf> {
        let directory = pins.links(self.hook.ifindex, &self.interface);
        let tcx = Tcx::of(self.hook.direction);
        let names = match self.attachment {
            Attachment::Tcx => vec![tcx.policy_pin, tcx.guard_pin],
            mode => vec![xdp_pin(mode).0],
        };
        names.into_iter().map(|name| directory.join(name)).collect()
    }

    /// Pins the links again that are no longer pinned; whether there were any.
    pub(crate) fn restore_pins(&self, pins: &Pins) -> io::Result<bool> {
        let paths = self.pins(pins);
        if !self.links.is_empty() {
            fs::create_dir_all(pins.links(self.hook.ifindex, &self.interface))?;
        }
        pin::restore(paths.iter().map(PathBuf::as_path).zip(&self.links))
    }

    /// The status to report.
    pub(crate) fn status(&self, state: HookState) -> HookStatus {
        HookStatus { hook: self.hook, interface: self.interface.clone(), attachment: self.attachment, state }
    }

    /// Takes the programs off the hook.
    pub(crate) fn detach(self) {
        // Somebody else may have been faster; then they are gone too.
        self.links.iter().filter_map(|link| sys::detach_link(link).err()).for_each(|error| {
            tracing::debug!(hook = %self.hook, %error, "a link was not attached any more");
        });
        if self.attachment == Attachment::Clsact {
            clsact::detach(&self.interface, self.hook.direction);
        }
    }
}
