//! Who is who: node ids, cluster ids, digests and the names in certificates.
//!
//! A leaf of the workspace: no I/O, almost no dependencies, so that every crate can agree on these types.

mod cert_name;
mod cluster_id;
mod hex;
mod hex32;
mod member;
mod node_id;

pub use cert_name::{CertName, CertNameError};
pub use cluster_id::ClusterId;
pub use hex::HexError;
pub use hex32::{Digest, Fingerprint};
pub use member::{MemberAddress, MemberRecord, Role, RoleError};
pub use node_id::{NodeId, NodeIdError};
