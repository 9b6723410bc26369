//! The compiled form of a policy: flat tables of 32-bit words that the kernel programs, the userspace enforcer and the tests read alike.
//!
//! An address becomes an *address class*, a (protocol, port) a *port class* and a *port group*, a (subject, peer) of one
//! direction a *pair*, and a (pair, port) a *verdict*. This is recursive flow classification (Gupta and McKeown, "Packet
//! classification on multiple fields", SIGCOMM 1999) with two twists: each direction and each layer of tiers is looked up by itself, so
//! that an image never grows with egress rules times ingress rules; and every two-dimensional table is a dense `base` over
//! coarse groups plus sparse exceptions in row displacement, so that it grows with what the rules say, not with a product.

mod digest;
mod limit;
mod lookup;
mod tables;

pub use digest::digest_of;
pub(crate) use limit::limit_word;
pub use limit::{Bucket, LimitEntry};
pub(crate) use lookup::words_of;
pub use lookup::{Found, Half};
pub use tables::{TABLES, TableId, Tables, root4_index};

use identity::Digest;

use crate::{rule_info::RuleInfo, verdict::Verdict};

/// "Nothing there" in every table.
pub const NONE: u32 = u32::MAX;
/// A trie entry with this bit is not a leaf, which is the place of an address class.
pub const ENTRY_BRANCH: u32 = 1 << 31;
/// With [`ENTRY_BRANCH`]: the entry is the index of a skip, otherwise of a chunk.
pub const ENTRY_SKIP: u32 = 1 << 30;
/// The index in a trie entry that is a chunk or a skip.
pub const ENTRY_INDEX: u32 = ENTRY_SKIP - 1;
/// Entries of each trie root: one for each value of the first 16 bits of an address.
pub const ROOT_ENTRIES: usize = 1 << 16;
/// Entries of a chunk: one for each value of the next byte of an address.
pub const CHUNK_ENTRIES: usize = 256;
/// Chunks and skips read after the root for one IPv4 address, at most.
pub const STEPS_V4_MAX: usize = 4;
/// Chunks and skips read after the root for one IPv6 address, at most.
pub const STEPS_V6_MAX: usize = 28;
/// Protocols whose ports (or ICMP type and code) have a block of their own, in the order of the blocks.
pub const PORT_BLOCKS: [u8; 5] = [6, 17, 132, 1, 58];
/// Entries of one block of ports.
pub const PORT_BLOCK_ENTRIES: usize = 1 << 16;
/// Where the entries by protocol number begin, for the protocols without a block.
pub const PORT_OTHERS: usize = PORT_BLOCKS.len() * PORT_BLOCK_ENTRIES;
/// Entries of the ports table.
pub const PORT_ENTRIES: usize = PORT_OTHERS + 256;
/// The place of the verdict of a subject that no policy selects.
pub const VERDICT_DEFAULT: u32 = 0;
/// Instead of a row or a pair: what is left is the place of a verdict, the same for everything that could still be asked.
pub const VERDICT_ONLY: u32 = 1 << 31;
/// The rule that stands for the default action.
pub const RULE_DEFAULT: u32 = 0;

/// Verdict flag: the enforced policies of this direction allow. The sign of the word, for it is asked most often.
pub const FLAG_ALLOW: u32 = 1 << 31;
/// Verdict flag: the deciding enforced rule asks for a report.
pub const FLAG_LOG: u32 = 1 << 1;
/// Verdict flag: the deciding enforced rule is of a policy with `existingFlows: keep`.
pub const FLAG_KEEP: u32 = 1 << 2;
/// Verdict flag: the deciding enforced rule is of a policy with `existingFlows: cut`.
pub const FLAG_CUT: u32 = 1 << 3;
/// Verdict flag: with policies in observe mode enforced too, this direction allows.
pub const FLAG_TRIAL_ALLOW: u32 = 1 << 4;
/// Verdict flag: the rule that decides then asks for a report.
pub const FLAG_TRIAL_LOG: u32 = 1 << 5;
/// Verdict flag: the enforced policies of this layer decide; without it the next layer is asked.
pub const FLAG_DECIDED: u32 = 1 << 6;
/// Verdict flag: the policies of this layer decide, with those in observe mode enforced too.
pub const FLAG_TRIAL_DECIDED: u32 = 1 << 7;
/// Verdict flag: the deciding enforced rule has limits.
pub const FLAG_LIMIT: u32 = 1 << 8;
/// Verdict flag: the rule that decides with policies in observe mode enforced too has limits.
pub const FLAG_TRIAL_LIMIT: u32 = 1 << 9;
/// The flags that are about the enforced policies.
pub const FLAGS_ENFORCED: u32 = FLAG_ALLOW | FLAG_LOG | FLAG_KEEP | FLAG_CUT | FLAG_DECIDED | FLAG_LIMIT;
/// The flags that are about the trial.
pub const FLAGS_TRIAL: u32 = FLAG_TRIAL_ALLOW | FLAG_TRIAL_LOG | FLAG_TRIAL_DECIDED | FLAG_TRIAL_LIMIT;

/// Layers of policies in each direction: emergency and platform first, then application and baseline. Looked up one by one, so
/// that an image does not grow with the rules of one times those of the other.
pub const LAYERS: usize = 2;
/// Words of one direction and layer in an element of `classes`.
pub const CLASS_PART_WORDS: usize = 4;
/// Words of one direction in an element of `classes`.
pub const CLASS_SIDE_WORDS: usize = CLASS_PART_WORDS * LAYERS;
/// Words of an element of `classes`.
pub const CLASS_WORDS: usize = CLASS_SIDE_WORDS * 2;
/// Words of an element of `limits`: a cache line.
pub const LIMIT_WORDS: usize = 16;
/// "No limit" in either half of a verdict's `limit`; there are as many limits at most.
pub const LIMIT_NONE: u32 = 0xffff;

/// A policy compiled for one set of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the kernel maps hold.
    pub tables: Tables,
    /// What the rule indices in the verdicts mean; the index is also that of the rule's counter.
    pub rules: Vec<RuleInfo>,
}

impl Image {
    /// The image that allows every packet by the default action: what enforces before any policy exists.
    pub fn empty_allow() -> Image {
        Image {
            tables: Tables::uniform(FLAG_ALLOW | FLAG_TRIAL_ALLOW | FLAG_DECIDED | FLAG_TRIAL_DECIDED),
            rules: vec![RuleInfo::default_action(Verdict::Allow)],
        }
    }

    /// The SHA-256 of the tables; see [`digest_of`].
    pub fn digest(&self) -> Digest {
        self.tables.digest()
    }
}
