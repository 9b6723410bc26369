//! Whether the programs are still where they were put, and their pins too (G20), and which VLANs have come or gone.

use policy::{Direction, LocalInterface};

use super::Kernel;
use crate::{
    attach::{self, Attached},
    enforcer::{Hook, HookState, HookStatus},
    error::{AttachError, HookError},
    vlan::Vlans,
};

impl Kernel {
    pub(super) fn look_at_hooks(&mut self) -> Result<Vec<HookStatus>, HookError> {
        let mut statuses = Vec::new();
        for interface in self.interfaces.clone() {
            statuses.extend(self.check_interface(&interface));
        }
        self.check_pins(&mut statuses)
            .map_err(|error| HookError::Pins { path: self.pins.bpffs().to_owned(), message: error.to_string() })?;
        let vlans = self.look_at_vlans();
        if let Err(error) = self.object.load_a_copy(self.attached.iter().filter_map(Attached::program_of_tcx)) {
            tracing::debug!(%error, "a copy to repair with could not be loaded; it is tried again");
        }
        // A repair is told once: what is wrong with the VLANs can be told at the next look.
        if !statuses.iter().any(|status| matches!(status.state, HookState::Repaired)) {
            vlans?;
        }
        Ok(statuses)
    }

    fn look_at_vlans(&mut self) -> Result<(), HookError> {
        let mut vlans = Vlans::of(&self.interfaces).map_err(|error| HookError::Vlans { message: error.to_string() })?;
        vlans.keep_carriers(&self.vlans);
        self.vlans.keep_carriers(&vlans);
        let told = if vlans == self.vlans { Ok(()) } else { self.set_vlans(vlans) };
        // There may be more than can be told to the programs: tags have to be seen all the same.
        let seen = self.see_tags();
        told.map_err(|error| HookError::Vlans { message: error.to_string() })?;
        seen.map_err(|error| HookError::Vlans { message: error.to_string() })
    }

    /// Exchanges XDP for traffic control where there are VLANs now: XDP goes when the other one is in its place. What could not be
    /// exchanged is tried again at the next look.
    fn see_tags(&mut self) -> Result<(), AttachError> {
        let mut seen = Ok(());
        for interface in self.interfaces.clone() {
            let ingress = Hook { ifindex: interface.ifindex, direction: Direction::Ingress };
            if !self.vlans.carried_by(interface.ifindex) || !self.by_xdp(ingress) {
                continue;
            }
            match self.repair(&interface) {
                Ok(now) => {
                    tracing::info!(
                        interface = interface.name,
                        "it carries a VLAN: traffic control judges in the place of XDP"
                    );
                    self.attached.retain(|attached| attached.hook.ifindex != interface.ifindex);
                    self.attached.extend(now);
                }
                Err(error) => seen = Err(error),
            }
        }
        seen
    }

    /// Looks at the hooks of one interface and attaches what is missing.
    fn check_interface(&mut self, interface: &LocalInterface) -> Vec<HookStatus> {
        let (here, elsewhere): (Vec<Attached>, Vec<Attached>) =
            std::mem::take(&mut self.attached).into_iter().partition(|a| a.hook.ifindex == interface.ifindex);
        self.attached = elsewhere;
        let whole = here.len() == 2 && here.iter().all(|attached| attached.in_place().is_ok());
        if self.is_waiting() || whole {
            let statuses = here.iter().map(state_of).collect();
            self.attached.extend(here);
            return statuses;
        }
        let before: Vec<HookStatus> = here.iter().map(state_of).collect();
        match self.repair(interface) {
            Ok(now) => {
                let was_in_place =
                    |now: &Attached| before.iter().any(|b| b.hook == now.hook && b.state.attached()) && !now.fresh;
                let statuses = now.iter().map(|attached| match attached.in_place() {
                    Ok(()) if was_in_place(attached) => attached.status(HookState::Attached),
                    Ok(()) => attached.status(HookState::Repaired),
                    Err(because) => attached.status(HookState::Missing { because }),
                });
                let statuses = statuses.collect();
                self.attached.extend(now);
                statuses
            }
            Err(error) => {
                self.attached.extend(here);
                before.into_iter().map(|status| missing(status, &error)).collect()
            }
        }
    }

    /// Attaches what is missing at an interface, and puts first what others have put themselves before. Nothing is taken away before
    /// its like is in its place.
    fn repair(&mut self, interface: &LocalInterface) -> Result<Vec<Attached>, AttachError> {
        let ways = self.ways_at(interface);
        let now = attach::attach_interface(&mut self.object, &self.pins, interface, ways)?;
        let forward = |attached: Attached| {
            if !attached.shadowed() {
                return Ok(attached);
            }
            attach::bring_forward(&mut self.object, &self.pins, interface, attached)
        };
        now.into_iter().map(forward).collect()
    }

    /// Pins again what somebody has removed the pins of: it is held by this process alone, and would end with it. And hands on again to
    /// the policy's programs where somebody has taken them away.
    fn check_pins(&self, statuses: &mut [HookStatus]) -> std::io::Result<()> {
        self.pins.make_directories()?;
        let tables = self.held.restore()?;
        let handed_on = self.object.hand_on()?;
        for attached in &self.attached {
            let by_guard = attached.program_of_tcx().is_some() && handed_on.contains(&attached.hook.direction);
            let changed = attached.restore_pin(&self.pins)? || tables || by_guard;
            let status = statuses.iter_mut().find(|status| status.hook == attached.hook);
            if let Some(status) = status.filter(|status| status.state.attached() && changed) {
                status.state = HookState::Repaired;
            }
        }
        if !self.is_waiting() && !self.object.programs_pinned(&self.pins) {
            self.object.pin_programs(&self.pins).map_err(std::io::Error::other)?;
        }
        Ok(())
    }
}

/// How it stands with a hook.
pub(super) fn state_of(attached: &Attached) -> HookStatus {
    attached.status(match attached.in_place() {
        Ok(()) => HookState::Attached,
        Err(because) => HookState::Missing { because },
    })
}

fn missing(status: HookStatus, error: &AttachError) -> HookStatus {
    match status.state {
        HookState::Missing { because } => {
            HookStatus { state: HookState::Missing { because: format!("{because}; {error}") }, ..status }
        }
        _ => status,
    }
}
