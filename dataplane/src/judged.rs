//! The devices through which no packet comes that was not judged when it arrived. A packet that leaves and came through one of them has
//! been charged to the limits of rules.

use aya::maps::{HashMap, MapData};
use policy::LocalInterface;

use crate::{
    error::OpenError,
    object::{Object, with_sources},
    vlan,
};

/// Devices that are known; a packet that came through another one is charged when it leaves, once more at worst.
pub(crate) const JUDGED_MAX: u32 = 4_096;

/// Tells the programs which devices these are: the interfaces, and whatever carries a VLAN of theirs.
pub(crate) fn set(object: &mut Object, interfaces: &[LocalInterface]) -> Result<(), OpenError> {
    let mut map: HashMap<MapData, u32, u32> = object.hash("hr_judged")?;
    let mut wanted: Vec<u32> = interfaces.iter().map(|interface| interface.ifindex).collect();
    wanted.extend(vlan::above(interfaces));
    wanted.truncate(JUDGED_MAX as usize);
    let stale: Vec<u32> = map.keys().filter_map(Result::ok).filter(|device| !wanted.contains(device)).collect();
    let unusable =
        |error| OpenError::Map { map: "hr_judged".to_owned(), source: std::io::Error::other(with_sources(&error)) };
    stale.iter().try_for_each(|device| map.remove(device)).map_err(unusable)?;
    wanted.iter().try_for_each(|device| map.insert(device, 1, 0)).map_err(unusable)
}
