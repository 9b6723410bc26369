//! The guard's gates: marks for every key that a hash map might have, so that other packets pay no hash look-up. The hashes are those
//! of `bpf/guard.h`.

use std::mem::offset_of;

use policy::Direction;

use crate::abi::{AddrKey, FAR_SHIFT, GUARD_SHIFT, Gate, GuardKey};

const PAIR: u64 = 0x9e37_79b9_7f4a_7c15;
const FAR: u32 = 0x9e37_79b1;
const FAR_HIGH: u32 = 0x85eb_ca6b;
/// What the low half of an IPv4-mapped address begins with.
const MAPPED: u64 = 0xffff << 32;
const ENTRY: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// The 64-bit words of both gates, as they lie in `hr_gate`.
pub(crate) const WORDS: usize = offset_of!(Gate, join_port) / size_of::<u64>();
/// The first word of the second gate.
const GUARD_AT: usize = offset_of!(Gate, guard) / size_of::<u64>();

fn pair_hash(key: &GuardKey) -> u64 {
    let mut pair = key.src_lo << 32 ^ key.dst_lo;
    if !is_v4(key) {
        pair ^= key.src_hi ^ key.src_lo >> 32 ^ key.dst_hi.rotate_left(1);
    }
    pair.wrapping_mul(PAIR)
}

/// The bit of a guard entry.
fn guard_bit(key: &GuardKey) -> usize {
    let tag = u64::from(key.hook_match & 0xf) << 24 | u64::from(key.protocol) << 16 | u64::from(key.port);
    ((pair_hash(key) ^ tag).wrapping_mul(ENTRY) >> (u64::BITS - GUARD_SHIFT)) as usize
}

/// The byte of the address of a far end, which is folded to 32 bits: that of IPv4 is itself, as it lies in a packet.
fn far_byte(key: &AddrKey) -> usize {
    let fold = halves_xored(key.lo ^ MAPPED) ^ halves_xored(key.hi).wrapping_mul(FAR_HIGH);
    (fold.swap_bytes().wrapping_mul(FAR) >> (u32::BITS - FAR_SHIFT)) as usize
}

fn halves_xored(word: u64) -> u32 {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}

/// The far end of a guard entry: the source of what arrives, the destination of what leaves.
fn far_end(key: &GuardKey) -> AddrKey {
    match key.direction() {
        Direction::Ingress => AddrKey { hi: key.src_hi, lo: key.src_lo },
        Direction::Egress => AddrKey { hi: key.dst_hi, lo: key.dst_lo },
    }
}

fn is_v4(key: &GuardKey) -> bool {
    key.src_hi == 0 && key.src_lo >> 32 == 0xffff
}

/// The words of the gates for these keys.
pub(crate) fn words<'a>(
    guard: impl Iterator<Item = &'a GuardKey>,
    spoof: impl Iterator<Item = &'a AddrKey>,
) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let (far, exact) = words.split_at_mut(GUARD_AT);
    let mut open_far = |byte: usize| {
        let mut bytes = [0; size_of::<u64>()];
        bytes[byte % bytes.len()] = 1;
        far[byte / bytes.len()] |= u64::from_ne_bytes(bytes);
    };
    spoof.for_each(|key| open_far(far_byte(key)));
    for key in guard {
        open_far(far_byte(&far_end(key)));
        let bit = guard_bit(key);
        exact[bit / 64] |= 1 << (bit % 64);
    }
    words
}
