//! Bounds on what documents may say (G15). What an image may hold is bounded by the compiler.

/// Documents in one revision.
pub const DOCUMENTS_MAX: usize = 20_000;
/// Bytes of all source texts given to the parser at once.
pub const SOURCE_BYTES_MAX: usize = 32 << 20;
/// Values (texts, numbers, lists, mappings) in one source text.
pub const NODES_MAX: usize = 2_000_000;
/// Depth of nested lists and mappings.
pub const SOURCE_DEPTH_MAX: usize = 16;
/// Characters in the name of a document, rule, service or in a label.
pub const NAME_CHARS_MAX: usize = 63;
/// Labels of one document.
pub const LABELS_MAX: usize = 32;
/// Networks of one segment.
pub const SEGMENT_ADDRESSES_MAX: usize = 131_072;
/// Named services of one segment.
pub const SEGMENT_SERVICES_MAX: usize = 256;
/// Rules of one policy in one direction.
pub const POLICY_RULES_MAX: usize = 4_096;
/// Rules of all policies of a revision.
pub const RULES_MAX: usize = 262_144;
/// Peers of one rule.
pub const RULE_PEERS_MAX: usize = 1_024;
/// Exceptions of one peer.
pub const PEER_EXCEPTIONS_MAX: usize = 1_024;
/// Services and ICMP types of one rule.
pub const RULE_SERVICES_MAX: usize = 256;
/// Rules with rate limits, of all policies of a revision.
pub const LIMITS_MAX: usize = 4_096;
/// Largest rate of a limit: packets or new connections a second.
pub const RATE_PER_SECOND_MAX: u32 = 10_000_000;
/// Largest burst of a limit: packets or new connections at once.
pub const RATE_BURST_MAX: u32 = 10_000_000;
/// Largest `order` of a policy.
pub const ORDER_MAX: u32 = 1_000_000;
/// Characters of a policy's `owner`.
pub const OWNER_CHARS_MAX: usize = 255;
