//! The structs that C and Rust both know, as in `bpf/structs.h`. A test compares every size and offset with the object's BTF.

use std::net::{IpAddr, Ipv6Addr};

use policy::Direction;

/// Words of one slot's table lengths: one for each of [`policy::image::TABLES`], and one more so that nothing is padded.
pub(crate) const LENGTHS: usize = 14;
/// Reasons that have a counter.
pub(crate) const REASONS: usize = 64;
/// Among them no reason: what is denied and could not be told of.
pub(crate) const UNTOLD: u32 = 63;
/// Hooks that have counters: ingress and egress.
pub(crate) const HOOKS: usize = 2;
/// Of the guard's gates, the first by the far end: its bytes, 2 to the power of so many.
pub(crate) const FAR_SHIFT: u32 = 14;
/// The second by all that an entry matches: its bits.
pub(crate) const GUARD_SHIFT: u32 = 16;
/// Where ephemeral ports begin: those of clients (the first of Linux's `net.ipv4.ip_local_port_range`).
pub(crate) const EPHEMERAL_PORT_FIRST: u16 = 32_768;

macro_rules! shared {
    ($($(#[$doc:meta])* struct $name:ident = $c:literal { $($field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
            pub(crate) struct $name { $(pub(crate) $field: $ty,)* }

            // SAFETY: repr(C), only integers and arrays of them, and padding is spelled out as fields.
            unsafe impl aya::Pod for $name {}
        )*

        /// Name, size, and the offset of every field of each shared struct.
        #[cfg(test)]
        pub(crate) fn layouts() -> Vec<(&'static str, usize, Vec<(&'static str, usize)>)> {
            vec![$(($c, size_of::<$name>(), vec![$((stringify!($field), std::mem::offset_of!($name, $field)),)*]),)*]
        }
    };
}

shared! {
    /// The word that decides everything.
    struct Live = "hr_live" { generation: u32, disarmed: u32, }
    /// What must be found again after a restart, for each half.
    struct Meta = "hr_meta" { revision: u64, generation: u32, rules: u32, words: [u32; LENGTHS], digest: [u8; 32], }
    /// A counter.
    struct Count = "hr_count" { packets: u64, bytes: u64, }
    /// Whether a hash map might have an entry.
    struct Gate = "hr_gate" { far: [u8; 1 << FAR_SHIFT], guard: [u64; 1 << (GUARD_SHIFT - 6)], join_port: u32, pad: u32, }
    /// A sync flow.
    struct GuardKey = "hr_guard_key" {
        src_hi: u64, src_lo: u64, dst_hi: u64, dst_lo: u64, ifindex: u32, port: u16, protocol: u8, hook_match: u8,
    }
    /// What else it must have.
    struct GuardValue = "hr_guard_value" { ttl: u32, pad: u32, }
    /// Own address at which joiners call.
    struct JoinKey = "hr_join_key" { own_hi: u64, own_lo: u64, ifindex: u32, pad: u32, }
    /// From where, and the allowance.
    struct JoinValue = "hr_join_value" {
        subnet_hi: u64, subnet_lo: u64, mask_hi: u64, mask_lo: u64, window_s: u64, packets: u64,
    }
    /// An address.
    struct AddrKey = "hr_addr_key" { hi: u64, lo: u64, }
    /// A VLAN on an attached device.
    struct VlanKey = "hr_vlan_key" { parent: u32, tags: u32, }
    /// Idle times, in ticks.
    struct TimeoutTicks = "hr_timeouts" {
        tcp_opening: u32, tcp: u32, tcp_closing: u32, udp_opening: u32, udp: u32, other: u32, fragment: u32, pickup: u32,
    }
    /// Token buckets, enforced and of the trial.
    struct Bucket = "hr_bucket" { packets: [u64; 2], connections: [u64; 2], }
    /// Those of a rule, one for each half of the image.
    struct Buckets = "hr_buckets" { half: [Bucket; 2], }
    /// A packet worth telling of.
    struct Event = "hr_event" {
        time_ns: u64, src_hi: u64, src_lo: u64, dst_hi: u64, dst_lo: u64, ifindex: u32, bytes: u32, generation: u32, in_rule: u32,
        out_rule: u32, sport: u16, dport: u16, protocol: u8, v6: u8, hook: u8, reason: u8, tcp_flags: u8, logged: u8, pad: [u8; 6],
    }
    /// What a processor counts, and what it may still tell.
    struct Cpu = "hr_cpu" { count: [[Count; REASONS]; HOOKS], lost: u64, may_tell: u32, pad: [u32; 5], full: Bucket, }
    /// A tuple to classify in bulk, and the answer.
    struct Bulk = "hr_bulk" {
        src_hi: u64, src_lo: u64, dst_hi: u64, dst_lo: u64, dport: u16, protocol: u8, v6: u8, in_flags: u32, out_flags: u32,
        in_rule: u32, out_rule: u32, in_trial: u32, out_trial: u32, pad: u32,
    }
    /// Question and answer of the probe programs.
    struct Probe = "hr_probe" {
        ifindex: u32, generation: u32, reason: u32, in_rule: u32, out_rule: u32, pad: u32, jiffies: u64,
        clock_ns: u64,
    }
}

impl Live {
    /// `disarmed` where everything passes, or where it does not.
    pub(crate) fn disarm_word(disarmed: bool) -> u32 {
        if disarmed { u32::MAX } else { 0 }
    }
}

impl GuardKey {
    /// Where the entry holds.
    pub(crate) fn direction(&self) -> Direction {
        if self.hook_match >> 4 == 0 { Direction::Ingress } else { Direction::Egress }
    }
}

/// How a guard entry matches the port, in the low half of [`GuardKey::hook_match`].
pub(crate) const MATCH_ANY: u8 = 0;
/// See [`MATCH_ANY`].
pub(crate) const MATCH_DST: u8 = 1;
/// See [`MATCH_ANY`].
pub(crate) const MATCH_SRC: u8 = 2;
/// See [`MATCH_ANY`].
pub(crate) const MATCH_TYPE: u8 = 3;

/// The two halves of an address; IPv4 is mapped into IPv6 (RFC 4291, 2.5.5.2).
pub(crate) fn halves(addr: IpAddr) -> (u64, u64) {
    let bytes = match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    };
    let half = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight of sixteen bytes"));
    (half(0), half(8))
}

/// The address of two halves.
pub(crate) fn address((hi, lo): (u64, u64), v6: bool) -> IpAddr {
    let addr = Ipv6Addr::from_bits(u128::from(hi) << 64 | u128::from(lo));
    match addr.to_ipv4_mapped() {
        Some(mapped) if !v6 => mapped.into(),
        _ => addr.into(),
    }
}

#[cfg(test)]
#[path = "abi_tests.rs"]
mod tests;
