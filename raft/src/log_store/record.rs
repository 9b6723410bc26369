//! How an entry is stored: `checksum (4) | link (32) | entry`.
//!
//! The link is SHA-256 over the link before and the encoded entry, which contains the log id: an entry that was
//! exchanged, reordered or taken from another log does not fit, even when its own checksum does.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::state::LogId;

const CHECKSUM_BYTES: usize = 4;
const LINK_BYTES: usize = 32;

/// Bytes in front of the encoded entry.
pub(super) const HEADER_BYTES: usize = CHECKSUM_BYTES + LINK_BYTES;

/// One link of the chain through the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link(pub [u8; LINK_BYTES]);

impl Link {
    /// Before the first entry of all.
    pub(super) const START: Self = Self([0; LINK_BYTES]);

    fn after(self, body: &[u8]) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(&self.0);
        hash.update(body);
        Self::from_hash(hash)
    }

    /// Where the chain begins anew when everything up to an entry, which this node never had, came in a snapshot.
    pub(super) fn rebased(at: LogId) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(b"rebased");
        hash.update(&at.term.to_le_bytes());
        hash.update(&at.index.to_le_bytes());
        Self::from_hash(hash)
    }

    fn from_hash(hash: Context) -> Self {
        let mut link = [0; LINK_BYTES];
        link.copy_from_slice(hash.finish().as_ref());
        Self(link)
    }
}

/// Why a stored entry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("entry {0} is cut short")]
    Short(u64),
    #[error("the checksum of entry {0} is wrong")]
    Checksum(u64),
    #[error("entry {0} does not follow from the entry before it")]
    Link(u64),
}

/// Fills in the header of a record whose first [`HEADER_BYTES`] are free, and returns its link.
pub(super) fn seal(index: u64, previous: Link, record: &mut [u8]) -> Link {
    let (header, body) = record.split_at_mut(HEADER_BYTES);
    let link = previous.after(body);
    header[CHECKSUM_BYTES..].copy_from_slice(&link.0);
    let sum = checksum(index, &record[CHECKSUM_BYTES..]);
    record[..CHECKSUM_BYTES].copy_from_slice(&sum);
    link
}

/// The link and the encoded entry of a record, its checksum verified.
pub(super) fn unseal(index: u64, record: &[u8]) -> Result<(Link, &[u8]), RecordError> {
    let (sum, rest) = record.split_first_chunk::<CHECKSUM_BYTES>().ok_or(RecordError::Short(index))?;
    let (link, body) = rest.split_first_chunk::<LINK_BYTES>().ok_or(RecordError::Short(index))?;
    if *sum != checksum(index, rest) {
        return Err(RecordError::Checksum(index));
    }
    Ok((Link(*link), body))
}

/// The same, and the link must follow from the one before.
pub(super) fn unseal_after(index: u64, previous: Link, record: &[u8]) -> Result<(Link, &[u8]), RecordError> {
    let (link, body) = unseal(index, record)?;
    if previous.after(body) != link {
        return Err(RecordError::Link(index));
    }
    Ok((link, body))
}

fn checksum(index: u64, rest: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&index.to_le_bytes());
    hasher.update(rest);
    hasher.finalize().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(index: u64, previous: Link, body: &[u8]) -> (Vec<u8>, Link) {
        let mut record = vec![0; HEADER_BYTES];
        record.extend_from_slice(body);
        let link = seal(index, previous, &mut record);
        (record, link)
    }

    proptest! {
        // G7: one flipped bit anywhere in a record is noticed.
        #[test]
        fn a_flipped_bit_is_noticed(body: Vec<u8>, at: proptest::sample::Index, bit in 0u8..8) {
            let (mut record, _) = sealed(7, Link::START, &body);
            prop_assert!(unseal_after(7, Link::START, &record).is_ok());
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            prop_assert!(unseal_after(7, Link::START, &record).is_err());
        }

        // G7: a torn record is noticed.
        #[test]
        fn a_cut_record_is_noticed(body: Vec<u8>, at: proptest::sample::Index) {
            let (record, _) = sealed(7, Link::START, &body);
            let cut = &record[..at.index(record.len())];
            prop_assert!(unseal_after(7, Link::START, cut).is_err());
        }
    }

    // G7: a record that is intact but belongs elsewhere is noticed.
    #[test]
    fn records_cannot_change_places() {
        let (first, link) = sealed(1, Link::START, b"first");
        let (second, _) = sealed(2, link, b"second");
        assert_eq!(unseal_after(2, Link::START, &second), Err(RecordError::Link(2)));
        assert_eq!(unseal_after(2, link, &first), Err(RecordError::Checksum(2)));
        assert!(unseal_after(2, link, &second).is_ok());
    }
}
