//! The guard's gate: one bit for every key that a hash map might have, so that other packets pay no hash look-up. The hashes are
//! those of `bpf/guard.h`.

use crate::abi::{AddrKey, GATE_GUARD_WORDS, GATE_SPOOF_WORDS, GuardKey};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bit of a guard entry.
pub(crate) fn guard_bit(key: &GuardKey) -> usize {
    let mut pair = key.src_lo.wrapping_mul(GOLDEN) ^ key.dst_lo.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    if !is_v4(key) {
        pair ^= (key.src_hi ^ key.dst_hi.rotate_left(1)).wrapping_mul(0x1656_67b1_9e37_79f9);
    }
    let tag = u64::from(key.hook_match & 0xf) << 24 | u64::from(key.protocol) << 16 | u64::from(key.port);
    ((pair ^ tag).wrapping_mul(GOLDEN) >> 48) as usize
}

/// The bit of an address that may be spoofed.
pub(crate) fn spoof_bit(key: &AddrKey) -> usize {
    ((key.lo ^ key.hi.rotate_left(7)).wrapping_mul(GOLDEN) >> 52) as usize
}

fn is_v4(key: &GuardKey) -> bool {
    key.src_hi == 0 && key.src_lo >> 32 == 0xffff
}

/// The words of both gates for these keys.
pub(crate) fn words<'a>(
    guard: impl Iterator<Item = &'a GuardKey>,
    spoof: impl Iterator<Item = &'a AddrKey>,
) -> [u64; GATE_GUARD_WORDS + GATE_SPOOF_WORDS] {
    let mut words = [0; GATE_GUARD_WORDS + GATE_SPOOF_WORDS];
    for bit in guard.map(guard_bit) {
        words[bit / 64] |= 1 << (bit % 64);
    }
    for bit in spoof.map(spoof_bit) {
        words[GATE_GUARD_WORDS + bit / 64] |= 1 << (bit % 64);
    }
    words
}
