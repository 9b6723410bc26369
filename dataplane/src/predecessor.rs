//! The tables of another layout (an older or newer version, other sizes) whose programs are attached, until this version has a policy
//! and its programs take their place. What they know goes over: the generation, so that the next one is higher (G6), the order to let
//! everything pass, and the remembered flows (G13).

use std::path::{Path, PathBuf};

use aya::maps::{HashMap, Map, MapData, MapError};

use crate::{
    abi::Live,
    attach,
    error::OpenError,
    failpoint::failpoint,
    object::Object,
    pin::{self, Pins},
    sizes::{Placement, STATE},
    sys::{self, Mapped},
};

/// The words of `hr_live`, which are the same in every layout: the generation, and whether everything passes.
const LIVE_WORDS: usize = 2;
/// Bytes of the keys and values of remembered flows and fragments, of `bpf/structs.h`; they are only moved, never read.
const FLOW4_KEY_BYTES: usize = 16;
const FLOW6_KEY_BYTES: usize = 40;
const FLOW_BYTES: usize = 24;
const FRAGMENT_KEY_BYTES: usize = 48;
const FRAGMENT_BYTES: usize = 16;
/// `BPF_NOEXIST`: an entry that is there already is the newer one.
const ONLY_NEW: u64 = 1;

/// Pinned maps of another layout.
pub(crate) struct Predecessor {
    maps: PathBuf,
    /// None where it cannot be read; what is attached still has to be exchanged.
    live: Option<Mapped>,
}

impl Predecessor {
    /// The one that enforces: of several, one whose successor died before it was attached among them, that with the highest generation.
    pub(crate) fn find(pins: &Pins) -> Option<Predecessor> {
        if pins.other_maps().is_empty() || !attach::is_anything_attached(pins) {
            return None;
        }
        let open = |maps: PathBuf| Predecessor { live: live(&maps), maps };
        pins.other_maps().into_iter().map(open).max_by_key(Predecessor::generation)
    }

    /// Its live generation; 0: none.
    pub(crate) fn generation(&self) -> u32 {
        self.live.as_ref().map_or(0, |live| live.load(0))
    }

    /// Whether it lets everything pass.
    pub(crate) fn disarmed(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.load(1) != 0)
    }

    /// Lets everything pass, or ends that: its programs are the ones that packets meet.
    pub(crate) fn set_disarmed(&self, disarmed: bool) {
        if let Some(live) = &self.live {
            live.store(1, Live::disarm_word(disarmed));
        }
    }

    /// Call before the successor's maps are made. Tables of its layout that were left behind with an older generation are removed, for an
    /// old policy must not come back with them. Remembered flows are shared where there is room for as many: then nothing is lost at all.
    pub(crate) fn make_way(&self, pins: &Pins, placement: &Placement) {
        if live(&pins.maps()).is_some_and(|own| own.load(0) < self.generation()) {
            pin::remove(&pins.maps());
            pins.make_directories().unwrap_or_else(|error| tracing::warn!(%error, "the directory of the maps"));
        }
        if !self.same_state(pins) {
            return;
        }
        for (name, entries) in crate::object::entries(placement) {
            if STATE.contains(&name)
                && let Err(error) = share(&self.maps.join(name), &pins.map(name), entries)
            {
                tracing::warn!(map = name, %error, "remembered flows cannot be shared with the tables before");
            }
        }
        failpoint("state-shared");
    }

    /// Copies the flows that are not shared. What is newer stays.
    pub(crate) fn copy_state(&self, pins: &Pins) {
        if !self.same_state(pins) {
            return;
        }
        let copied = [
            copy::<FLOW4_KEY_BYTES, FLOW_BYTES>(&self.maps, pins, STATE[0]),
            copy::<FLOW6_KEY_BYTES, FLOW_BYTES>(&self.maps, pins, STATE[1]),
            copy::<FRAGMENT_KEY_BYTES, FRAGMENT_BYTES>(&self.maps, pins, STATE[2]),
            copy::<FRAGMENT_KEY_BYTES, FRAGMENT_BYTES>(&self.maps, pins, STATE[3]),
        ];
        for error in copied.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "remembered flows were not all taken along into the new tables");
        }
        failpoint("state-copied");
    }

    /// Whether flows look alike in both layouts.
    fn same_state(&self, pins: &Pins) -> bool {
        let state = |path: &Path| path.file_name().and_then(|name| Some(name.to_str()?.split_once('-')?.1.to_owned()));
        state(&self.maps).is_some_and(|there| state(&pins.maps()) == Some(there))
    }
}

fn live(maps: &Path) -> Option<Mapped> {
    sys::open_pinned(&maps.join("hr_live")).and_then(|map| Mapped::new(&map, LIVE_WORDS)).ok()
}

/// Pins a map at a second place, if it has so many entries.
fn share(there: &Path, here: &Path, entries: u32) -> Result<(), MapError> {
    if here.exists() || !there.exists() {
        return Ok(());
    }
    let map = MapData::from_pin(there)?;
    if map.info()?.max_entries() == entries {
        sys::pin_object(map.fd(), here).map_err(MapError::IoError)?;
    }
    Ok(())
}

fn copy<const KEY: usize, const VALUE: usize>(there: &Path, pins: &Pins, name: &str) -> Result<(), OpenError> {
    let fault = |error: &dyn std::error::Error| Object::unusable(name, error);
    let from = MapData::from_pin(there.join(name)).map_err(|error| fault(&error))?;
    let to = MapData::from_pin(pins.map(name)).map_err(|error| fault(&error))?;
    let id = |map: &MapData| sys::object_id(map.fd()).map_err(|error| fault(&error));
    if id(&from)? == id(&to)? {
        return Ok(());
    }
    // Programs go on adding and removing: a walk that has to begin anew because its entry has gone is bounded.
    let steps_max = 2 * from.info().map_err(|error| fault(&error))?.max_entries() as usize;
    let open = |map| HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(Map::LruHashMap(map));
    let (from, mut to) = (open(from).map_err(|error| fault(&error))?, open(to).map_err(|error| fault(&error))?);
    for (key, value) in from.iter().take(steps_max).flatten() {
        match to.insert(key, value, ONLY_NEW) {
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => {}
            other => other.map_err(|error| fault(&error))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{btf::Btf, object::OBJECT};

    #[test]
    fn what_is_copied_is_as_long_as_what_programs_store() {
        let structs = Btf::of(OBJECT).structs();
        let sizes = ["hr_flow4_key", "hr_flow6_key", "hr_flow", "hr_fragment_key", "hr_fragment"].map(|s| structs[s].0);
        let here = [FLOW4_KEY_BYTES, FLOW6_KEY_BYTES, FLOW_BYTES, FRAGMENT_KEY_BYTES, FRAGMENT_BYTES];
        assert_eq!(sizes, here);
    }
}
