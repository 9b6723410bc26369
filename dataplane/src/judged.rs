//! The devices through which no packet comes that was not judged when it arrived. A packet that leaves and came through one of them has
//! been charged to the limits of rules.

use aya::maps::{HashMap, MapData, MapError};
use policy::LocalInterface;

use crate::{error::OpenError, object::Object, vlan};

/// Devices that are known; a packet that came through another one is charged when it leaves, once more at worst.
pub(crate) const JUDGED_MAX: u32 = 4_096;

/// `hr_judged`. Kept as long as the programs: those that are loaded later find it by the number of its descriptor.
pub(crate) struct Judged {
    map: HashMap<MapData, u32, u32>,
}

impl Judged {
    pub(crate) fn open(object: &mut Object) -> Result<Judged, OpenError> {
        Ok(Judged { map: object.hash("hr_judged")? })
    }

    /// Tells the programs which devices these are: the interfaces, and whatever carries a VLAN of theirs.
    pub(crate) fn set(&mut self, interfaces: &[LocalInterface]) -> Result<(), OpenError> {
        let mut wanted: Vec<u32> = interfaces.iter().map(|interface| interface.ifindex).collect();
        wanted.extend(vlan::above(interfaces).map_err(|source| OpenError::Links { source })?);
        wanted.truncate(JUDGED_MAX as usize);
        let stale: Vec<u32> =
            self.map.keys().filter_map(Result::ok).filter(|device| !wanted.contains(device)).collect();
        let unusable = |error: MapError| Object::unusable("hr_judged", &error);
        stale.iter().try_for_each(|device| self.map.remove(device)).map_err(unusable)?;
        wanted.iter().try_for_each(|device| self.map.insert(device, 1, 0)).map_err(unusable)
    }
}
