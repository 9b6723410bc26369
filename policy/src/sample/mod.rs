//! Random documents, members and packets from a seed, for tests that compare evaluators.
//!
//! Small address pools and nested networks make collisions likely: overlapping segments, addresses on the edge of a
//! network, ports on the edge of a range. The same seed gives the same sample for ever; nothing here is random enough
//! for anything but tests.

mod documents;
mod flows;
mod limits;
mod sync;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use documents::random_documents;
pub use flows::{FlowSampler, random_flow};
#[cfg(test)]
pub(crate) use limits::random_limits;
pub use sync::{SyncWorld, near_an_entry, random_channels};

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): one word of state, good enough to choose test cases.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The generator of a seed.
    pub fn new(seed: u64) -> SplitMix64 {
        SplitMix64(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next_u64()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these, which must not be empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Sixteen bits.
    pub fn word(&mut self) -> u16 {
        let [low, high, ..] = self.next_u64().to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// Eight bits.
    pub fn byte(&mut self) -> u8 {
        self.next_u64().to_le_bytes()[0]
    }
}

/// Most members of a sample.
const MEMBERS_MAX: usize = 6;

/// Addresses of members, of both families; some lie in networks that documents of [`random_documents`] name.
pub fn random_members(seed: u64) -> Vec<IpAddr> {
    let mut random = SplitMix64::new(seed ^ 0x6d65_6d62_6572_7300);
    (0..random.below(MEMBERS_MAX + 1)).map(|_| random_address(&mut random)).collect()
}

/// Lengths of IPv4 networks in samples: edges of every trie level, and odd ones between.
const LENGTHS_V4: [u8; 13] = [0, 7, 8, 9, 15, 16, 17, 23, 24, 25, 30, 31, 32];
/// The same for IPv6.
const LENGTHS_V6: [u8; 14] = [0, 15, 16, 17, 32, 33, 48, 63, 64, 65, 104, 120, 127, 128];

/// An address from a small pool, so that samples meet each other.
pub(crate) fn random_address(random: &mut SplitMix64) -> IpAddr {
    let host = *random.pick(&[0u8, 1, 2, 127, 128, 254, 255]);
    let net = *random.pick(&[0u8, 1, 127, 128, 255]);
    if random.once_in(2) {
        let first = *random.pick(&[10u8, 10, 10, 11, 192]);
        IpAddr::V4(Ipv4Addr::new(first, *random.pick(&[0, 1, 128]), net, host))
    } else {
        let site = *random.pick(&[0u16, 0, 1, 0x8000]);
        let subnet = u16::from(net) << 8;
        let middle = *random.pick(&[0u16, 0, 0, 1]);
        let first = *random.pick(&[0x2001u16, 0x2001, 0xfd00]);
        IpAddr::V6(Ipv6Addr::new(first, 0xdb8, site, subnet, 0, 0, middle, u16::from(host)))
    }
}

/// A network around such an address, mostly a long prefix.
pub(crate) fn random_network(random: &mut SplitMix64) -> IpNet {
    let address = random_address(random);
    // Of two choices the longer: short prefixes cover everything and would hide the rest.
    match address {
        IpAddr::V4(address) => {
            let length = *random.pick(&LENGTHS_V4).max(random.pick(&LENGTHS_V4));
            IpNet::V4(Ipv4Net::new_assert(address, length).trunc())
        }
        IpAddr::V6(address) => {
            let length = *random.pick(&LENGTHS_V6).max(random.pick(&LENGTHS_V6));
            IpNet::V6(Ipv6Net::new_assert(address, length).trunc())
        }
    }
}

#[cfg(test)]
mod tests;
