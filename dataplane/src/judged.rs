//! The devices through which no packet comes that was not judged when it arrived. A packet that leaves and came through one of them has
//! been charged to the limits of rules.

use std::collections::BTreeSet;

use aya::maps::{HashMap, MapData, MapError};

use crate::{error::OpenError, object::Object};

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

    /// Tells the programs which devices these are. What stays is there all the time; what goes makes room for what comes.
    pub(crate) fn set(&mut self, devices: &BTreeSet<u32>) -> Result<(), OpenError> {
        let wanted: BTreeSet<u32> = devices.iter().copied().take(JUDGED_MAX as usize).collect();
        let stale: Vec<u32> =
            self.map.keys().filter_map(Result::ok).filter(|device| !wanted.contains(device)).collect();
        let unusable = |error: MapError| Object::unusable("hr_judged", &error);
        stale.iter().try_for_each(|device| self.map.remove(device)).map_err(unusable)?;
        wanted.iter().try_for_each(|device| self.map.insert(device, 1, 0)).map_err(unusable)
    }
}
