//! What lies where in the file.

use redb::{ReadableTable, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};

use crate::codec;

/// Sealed entries by index; see [`super::record`].
pub(super) const ENTRIES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("entries");
/// Single values by name, each with a checksum in front.
pub(super) const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");

/// The layout of the file: a number.
pub(super) const LAYOUT: &str = "layout";
/// The node that the file belongs to: a number.
pub(super) const NODE: &str = "node";
/// The vote.
pub(super) const VOTE: &str = "vote";
/// The last entry that was purged, and its link.
pub(super) const PURGED: &str = "purged";
/// The last entry that is known to be committed; may lag behind, is never ahead.
pub(super) const COMMITTED: &str = "committed";
/// Counts transactions; see [`super::watermark`].
pub(super) const SEQUENCE: &str = "sequence";

/// Why a value could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetaError {
    #[error("`{key}` cannot be read: {reason}")]
    Unreadable { key: &'static str, reason: String },
    #[error("the checksum of `{key}` is wrong")]
    Checksum { key: &'static str },
}

/// A value as it is stored: checksum over name and bytes, then the bytes.
pub(super) fn seal_value<T: Serialize>(key: &'static str, value: &T) -> Result<Vec<u8>, codec::CodecError> {
    let mut bytes = codec::encode_after(vec![0; 4], value)?;
    let checksum = checksum(key, &bytes[4..]);
    bytes[..4].copy_from_slice(&checksum);
    Ok(bytes)
}

/// Reads a value and checks it.
pub(super) fn read_value<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &'static str,
) -> Result<Option<T>, MetaError> {
    let unreadable = |reason: String| MetaError::Unreadable { key, reason };
    let Some(stored) = table.get(key).map_err(|error| unreadable(error.to_string()))? else {
        return Ok(None);
    };
    let Some((sum, body)) = stored.value().split_first_chunk::<4>() else {
        return Err(MetaError::Checksum { key });
    };
    if *sum != checksum(key, body) {
        return Err(MetaError::Checksum { key });
    }
    codec::decode(body).map(Some).map_err(|error| unreadable(error.to_string()))
}

fn checksum(key: &str, body: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(body);
    hasher.finalize().to_le_bytes()
}
