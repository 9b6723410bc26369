//! The links of one interface: made, pinned, taken over.

use std::{collections::BTreeSet, os::fd::OwnedFd, path::Path};

use policy::{Direction, LocalInterface};

use super::Attached;
use crate::{
    enforcer::{Attachment, Hook},
    error::{AttachError, NoEthernet},
    failpoint::failpoint,
    links,
    object::{Object, with_sources},
    pin::{self, Pins},
    sys::{self, LinkKind},
};

/// What was put at a hook.
pub(super) struct Put {
    /// None under clsact.
    pub(super) link: Option<OwnedFd>,
    /// The number of the program.
    pub(super) program: u32,
}

/// An interface to which programs are being attached.
pub(super) struct Site<'a> {
    pub(super) object: &'a mut Object,
    pins: &'a Pins,
    pub(super) interface: &'a LocalInterface,
    /// Pins that are in use.
    wanted: BTreeSet<&'static str>,
}

impl<'a> Site<'a> {
    pub(super) fn open(
        object: &'a mut Object,
        pins: &'a Pins,
        interface: &'a LocalInterface,
    ) -> Result<Site<'a>, AttachError> {
        let link = links::one(interface.ifindex).map_err(|error| fault("link", interface, "rtnetlink", &error))?;
        if !link.carries_ethernet() {
            return Err(fault("link", interface, "link type", &NoEthernet { kind: link.kind }));
        }
        let made = std::fs::create_dir_all(pins.links(interface.ifindex, &interface.name));
        made.map_err(|error| fault("link", interface, "pin", &error))?;
        Ok(Site { object, pins, interface, wanted: BTreeSet::new() })
    }

    /// Puts the loaded program behind the link that is pinned, if there is one and it still holds on to this interface. Every packet meets
    /// the old program or the new one.
    pub(super) fn adopt(&mut self, program: &str, name: &'static str) -> Option<Put> {
        let path = self.pins.links(self.interface.ifindex, &self.interface.name).join(name);
        let link = sys::open_pinned(&path).ok()?;
        let info = sys::link_info(&link).ok().filter(|info| info.ifindex == self.interface.ifindex)?;
        let mut program_id = info.program_id;
        // To exchange a program for its like would only cost time.
        if !self.object.is_copy(program, program_id) {
            let loaded = self.object.program_fd(program).ok()?;
            program_id = sys::object_id(loaded).ok()?;
            sys::update_link(&link, loaded).ok()?;
            failpoint("link-updated");
        }
        self.wanted.insert(name);
        Some(Put { link: Some(link), program: program_id })
    }

    /// Attaches a program, and pins the link so that it outlives this process.
    pub(super) fn create(
        &mut self,
        program: &str,
        name: &'static str,
        kind: LinkKind,
        attachment: Attachment,
    ) -> Result<Put, AttachError> {
        let path = self.pins.links(self.interface.ifindex, &self.interface.name).join(name);
        let made = self.object.program_fd(program).and_then(|fd| {
            let link = sys::create_link(fd, self.interface.ifindex, kind)?;
            failpoint("link-created");
            pin::remove(&path);
            sys::pin_object(&link, &path)?;
            failpoint("link-pinned");
            Ok(Put { link: Some(link), program: sys::object_id(fd)? })
        });
        let put = made.map_err(|error| fault(program, self.interface, &attachment.to_string(), &error))?;
        self.wanted.insert(name);
        Ok(put)
    }

    /// Detaches what a pin holds.
    pub(super) fn remove_link(&self, name: &str) {
        let path = self.pins.links(self.interface.ifindex, &self.interface.name).join(name);
        if path.exists() {
            take_away(&path);
        }
    }

    /// Detaches what was neither made nor taken over.
    pub(super) fn remove_other_links(&self) {
        for path in pin::children(&self.pins.links(self.interface.ifindex, &self.interface.name)) {
            if !self.wanted.iter().any(|name| path.file_name().is_some_and(|file| file == *name)) {
                take_away(&path);
            }
        }
    }

    pub(super) fn attached(&self, direction: Direction, attachment: Attachment, put: Put, fresh: bool) -> Attached {
        let hook = Hook { ifindex: self.interface.ifindex, direction };
        let interface = self.interface.name.clone();
        Attached { hook, interface, attachment, link: put.link, program: put.program, fresh }
    }
}

/// Detaches a pinned link at once. One that is only let go of is detached a moment later, and until then packets would be judged twice.
fn take_away(pin: &Path) {
    if let Err(error) = sys::open_pinned(pin).and_then(|link| sys::detach_link(&link)) {
        tracing::debug!(path = %pin.display(), %error, "a link is detached when its pin has gone");
    }
    pin::remove(pin);
}

/// What went wrong, and where.
pub(super) fn fault(
    program: &str,
    interface: &LocalInterface,
    how: &str,
    error: &dyn std::error::Error,
) -> AttachError {
    AttachError {
        program: program.to_owned(),
        interface: interface.name.clone(),
        how: how.to_owned(),
        message: with_sources(error),
    }
}
