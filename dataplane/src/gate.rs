//! The guard's gate: one bit for every key that a hash map might have, so that other packets pay no hash look-up. The hashes are
//! those of `bpf/guard.h`.

use policy::Direction;

use crate::abi::{AddrKey, GATE_WORDS, GuardKey};

const PAIR: u64 = 0x9e37_79b9_7f4a_7c15;
const FAR: u32 = 0x9e37_79b1;
const FAR_HIGH: u32 = 0x85eb_ca6b;
const ENTRY: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// The words of all gates, as they lie in `hr_gate`.
pub(crate) const WORDS: usize = 2 * GATE_WORDS;

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
    ((pair_hash(key) ^ tag).wrapping_mul(ENTRY) >> 48) as usize
}

/// The bit of the address of a far end.
fn far_bit(key: &AddrKey) -> usize {
    let fold = halves_xored(key.lo) ^ halves_xored(key.hi).wrapping_mul(FAR_HIGH);
    (fold.wrapping_mul(FAR) >> 16) as usize
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
    let mut set = |first: usize, bit: usize| words[first + bit / 64] |= 1 << (bit % 64);
    for key in guard {
        set(0, far_bit(&far_end(key)));
        set(GATE_WORDS, guard_bit(key));
    }
    for key in spoof {
        set(0, far_bit(key));
    }
    words
}
