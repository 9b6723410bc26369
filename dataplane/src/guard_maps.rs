//! The guard's maps. Whatever changes, an entry is added before one is removed, and its gate is open for as long as it is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::maps::{HashMap, MapData};
use policy::{Direction, Guard, GuardEntry, JoinEntry, PortMatch, guard::JOIN_ENTRIES_MAX};

use crate::{
    abi::{
        AddrKey, Gate, GuardKey, GuardValue, JoinKey, JoinValue, MATCH_ANY, MATCH_DST, MATCH_SRC, MATCH_TYPE, VlanKey,
        halves,
    },
    error::{GuardSetError, OpenError},
    failpoint::failpoint,
    gate,
    object::{GUARD_MAP_ENTRIES, Object, SPOOF_MAP_ENTRIES, with_sources},
    sys::Mapped,
    vlan::Children,
};

/// Word of `hr_gate` that holds the port of the joiners' door.
pub(crate) const JOIN_PORT_WORD: usize = std::mem::offset_of!(Gate, join_port) / size_of::<u32>();

/// The maps that the guard reads, and nothing of policy.
pub(crate) struct GuardMaps {
    gate: Mapped,
    guard: HashMap<MapData, GuardKey, GuardValue>,
    join: HashMap<MapData, JoinKey, JoinValue>,
    spoof: HashMap<MapData, AddrKey, u32>,
    vlan: HashMap<MapData, VlanKey, u32>,
}

/// A guard as the maps hold it.
pub(crate) struct Wanted {
    pub(crate) guard: BTreeMap<GuardKey, GuardValue>,
    pub(crate) join: BTreeMap<JoinKey, JoinValue>,
    pub(crate) spoof: BTreeMap<AddrKey, u32>,
    pub(crate) join_port: u16,
}

impl GuardMaps {
    pub(crate) fn open(object: &mut Object) -> Result<GuardMaps, OpenError> {
        Ok(GuardMaps {
            gate: object.mapped("hr_gate", size_of::<Gate>() / size_of::<u32>())?,
            guard: object.hash("hr_guard")?,
            join: object.hash("hr_join")?,
            spoof: object.hash("hr_spoof")?,
            vlan: object.hash("hr_vlan")?,
        })
    }

    /// Replaces the guard. In every instant the maps hold the old one, the new one, or both.
    pub(crate) fn set(&mut self, guard: &Guard) -> Result<(), GuardSetError> {
        let wanted = Wanted::of(guard)?;
        let gates = gate::words(wanted.guard.keys(), wanted.spoof.keys());
        for (index, word) in gates.iter().enumerate() {
            self.gate.store64(index, self.gate.load64(index) | word);
        }
        failpoint("gate-opened");
        if wanted.join_port != 0 {
            self.gate.store(JOIN_PORT_WORD, u32::from(wanted.join_port));
        }
        // Where members live is told last, and forgotten first: it only ever refuses.
        remove_others(&mut self.spoof, &wanted.spoof)?;
        add(&mut self.guard, &wanted.guard)?;
        self.add_joins(&wanted.join)?;
        remove_others(&mut self.guard, &wanted.guard)?;
        remove_others(&mut self.join, &wanted.join)?;
        add(&mut self.spoof, &wanted.spoof)?;
        self.gate.store(JOIN_PORT_WORD, u32::from(wanted.join_port));
        for (index, word) in gates.iter().enumerate() {
            self.gate.store64(index, *word);
        }
        failpoint("gate-closed");
        Ok(())
    }

    /// A door that is open already keeps its count.
    fn add_joins(&mut self, wanted: &BTreeMap<JoinKey, JoinValue>) -> Result<(), GuardSetError> {
        for (key, value) in wanted {
            let same = self.join.get(key, 0).is_ok_and(|old| {
                (old.subnet_hi, old.subnet_lo, old.mask_hi, old.mask_lo)
                    == (value.subnet_hi, value.subnet_lo, value.mask_hi, value.mask_lo)
            });
            if !same {
                self.join.insert(key, value, 0).map_err(|error| write("added", &error))?;
            }
        }
        Ok(())
    }

    /// Tells which device carries a VLAN of another attached one.
    pub(crate) fn set_vlans(&mut self, vlans: &Children) -> Result<(), GuardSetError> {
        let wanted = vlan_entries(vlans);
        add(&mut self.vlan, &wanted)?;
        remove_others(&mut self.vlan, &wanted)
    }
}

/// The devices of VLANs as the map holds them.
pub(crate) fn vlan_entries(vlans: &Children) -> BTreeMap<VlanKey, u32> {
    let key = |parent, (outer, inner)| VlanKey { parent, tags: u32::from(outer) | u32::from(inner) << 16 };
    vlans.iter().map(|((parent, tags), child)| (key(*parent, *tags), *child)).collect()
}

fn write(what: &'static str, error: &dyn std::error::Error) -> GuardSetError {
    GuardSetError::Write { what, message: with_sources(error) }
}

fn add<K: aya::Pod + Ord, V: aya::Pod + PartialEq>(
    map: &mut HashMap<MapData, K, V>,
    wanted: &BTreeMap<K, V>,
) -> Result<(), GuardSetError> {
    for (key, value) in wanted {
        if !map.get(key, 0).is_ok_and(|old| old == *value) {
            map.insert(key, value, 0).map_err(|error| write("added", &error))?;
            failpoint("entry-added");
        }
    }
    Ok(())
}

fn remove_others<K: aya::Pod + Ord, V: aya::Pod>(
    map: &mut HashMap<MapData, K, V>,
    wanted: &BTreeMap<K, V>,
) -> Result<(), GuardSetError> {
    let there: Result<BTreeSet<K>, _> = map.keys().collect();
    let there = there.map_err(|error| write("removed", &error))?;
    for key in there.iter().filter(|key| !wanted.contains_key(key)) {
        map.remove(key).map_err(|error| write("removed", &error))?;
        failpoint("entry-removed");
    }
    Ok(())
}

impl Wanted {
    pub(crate) fn of(guard: &Guard) -> Result<Wanted, GuardSetError> {
        fits("entries for sync flows", guard.entries.len(), GUARD_MAP_ENTRIES / 2)?;
        fits("entries for joiners", guard.joins.len(), JOIN_ENTRIES_MAX)?;
        fits("entries against spoofing", guard.spoof.len(), SPOOF_MAP_ENTRIES / 2)?;
        let mut entries = BTreeMap::new();
        for entry in &guard.entries {
            // Of two entries that differ in the time to live alone, the one that asks for none is the wider.
            let (key, ttl) = (guard_key(entry), u32::from(entry.ttl.unwrap_or(0)));
            let value = entries.entry(key).or_insert(GuardValue { ttl, pad: 0 });
            if value.ttl != ttl {
                value.ttl = 0;
            }
        }
        let spoof = guard.spoof.iter().map(|entry| (addr_key(entry.addr), entry.ifindex_allowed)).collect();
        Ok(Wanted {
            guard: entries,
            join: guard.joins.iter().map(join).collect(),
            spoof,
            join_port: join_port(&guard.joins)?,
        })
    }
}

fn fits(what: &'static str, needed: usize, available: usize) -> Result<(), GuardSetError> {
    if needed > available { Err(GuardSetError::Full { what, needed, available }) } else { Ok(()) }
}

fn join_port(joins: &BTreeSet<JoinEntry>) -> Result<u16, GuardSetError> {
    let mut ports = joins.iter().map(|join| join.port);
    let Some(one) = ports.next() else { return Ok(0) };
    match ports.find(|port| *port != one) {
        Some(other) => Err(GuardSetError::JoinPorts { one, other }),
        None => Ok(one),
    }
}

fn addr_key(addr: IpAddr) -> AddrKey {
    let (hi, lo) = halves(addr);
    AddrKey { hi, lo }
}

/// The key under which programs look for an entry.
pub(crate) fn guard_key(entry: &GuardEntry) -> GuardKey {
    let ((src_hi, src_lo), (dst_hi, dst_lo)) = (halves(entry.src), halves(entry.dst));
    let (matching, port) = match entry.matching {
        PortMatch::Any => (MATCH_ANY, 0),
        PortMatch::Dst(port) => (MATCH_DST, port),
        PortMatch::Src(port) => (MATCH_SRC, port),
        PortMatch::IcmpType(kind) => (MATCH_TYPE, u16::from(kind)),
    };
    let hook = u8::from(entry.direction == Direction::Egress);
    let hook_match = hook << 4 | matching;
    GuardKey { src_hi, src_lo, dst_hi, dst_lo, ifindex: entry.ifindex, port, protocol: entry.protocol, hook_match }
}

fn join(entry: &JoinEntry) -> (JoinKey, JoinValue) {
    let (own_hi, own_lo) = halves(entry.own);
    let (subnet_hi, subnet_lo) = halves(entry.subnet.network());
    // The mask of a mapped IPv4 subnet holds the whole prefix of the mapping too.
    let (mask_hi, mask_lo) = match entry.subnet.netmask() {
        IpAddr::V4(mask) => (u64::MAX, u64::MAX << 32 | u64::from(mask.to_bits())),
        mask @ IpAddr::V6(_) => halves(mask),
    };
    let value = JoinValue { subnet_hi, subnet_lo, mask_hi, mask_lo, window_s: 0, packets: 0 };
    (JoinKey { own_hi, own_lo, ifindex: entry.ifindex, pad: 0 }, value)
}

const _: () = assert!(JOIN_PORT_WORD * 4 == gate::WORDS * 8);

#[cfg(test)]
mod tests {
    #[test]
    fn the_door_for_joiners_is_as_wide_as_policy_says() {
        let header = include_str!("../bpf/guard.h");
        let limit = policy::guard::JOIN_PACKETS_PER_SECOND_MAX;
        assert!(header.contains(&format!("#define HR_JOIN_PACKETS_PER_SECOND_MAX {limit}\n")));
    }
}
