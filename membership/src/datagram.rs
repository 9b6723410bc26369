//! What members send each other: probes, records, summaries. One byte of form and kind, then the body.

use bytes::Bytes;

use crate::{
    codec,
    records::{Record, Summary},
};

/// The largest datagram, in bytes: what a QUIC datagram carries on any path without fragments.
pub const PACKET_BYTES_MAX: usize = 1_100;

/// The largest record in its wire form, in bytes; a test builds it.
pub(crate) const RECORD_BYTES_MAX: usize = 352;

/// The largest SWIM packet, in bytes: what a datagram leaves beside the head and a record.
pub(crate) const SWIM_BYTES_MAX: usize = PACKET_BYTES_MAX - 1 - VIEW_BYTES - 1 - RECORD_BYTES_MAX;

/// Stamps in one summary: as many as fit with every number at its largest.
pub(crate) const SUMMARY_STAMPS_MAX: usize = 38;

/// Records in one datagram that arrives; more than fit when none is shorter than this.
const RECORDS_MAX: usize = 64;

const VIEW_BYTES: usize = size_of::<u32>();

/// The form of the wire, in the high half of the first byte; another form is another program's.
const FORM: u8 = 1 << 4;
const SWIM: u8 = FORM;
const RECORDS: u8 = FORM | 1;
const SUMMARY: u8 = FORM | 2;

/// A datagram, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Datagram {
    /// A packet of SWIM.
    Swim {
        /// The hash of the sender's records.
        view: u32,
        /// The sender's own record, when it thinks that the receiver has not heard of it.
        record: Option<Record>,
        /// The packet.
        packet: Bytes,
    },
    /// Records that may be news.
    Records(Vec<Record>),
    /// What the sender has.
    Summary(Summary),
}

/// Why bytes are no datagram; nothing has been done with them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatagramError {
    #[error("a datagram of {0} bytes; at most {PACKET_BYTES_MAX} are accepted")]
    TooLong(usize),
    #[error("a datagram that ends too early")]
    TooShort,
    #[error("a datagram of the unknown kind {0:#04x}; is the peer of another version?")]
    Kind(u8),
    #[error("a datagram that does not parse: {0}")]
    Body(#[from] bincode::error::DecodeError),
    #[error("a datagram with {0} bytes too many")]
    Trailing(usize),
    #[error("a datagram with metadata beyond the limits")]
    Limits,
}

impl Datagram {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(PACKET_BYTES_MAX);
        match self {
            Self::Swim { view, record, packet } => {
                bytes.push(SWIM);
                bytes.extend_from_slice(&view.to_be_bytes());
                bytes.extend_from_slice(&codec::encode(record));
                bytes.extend_from_slice(packet);
            }
            Self::Records(records) => {
                bytes.push(RECORDS);
                bytes.extend_from_slice(&codec::encode(records));
            }
            Self::Summary(summary) => {
                bytes.push(SUMMARY);
                bytes.extend_from_slice(&codec::encode(summary));
            }
        }
        debug_assert!(bytes.len() <= PACKET_BYTES_MAX, "{} bytes", bytes.len());
        bytes.into()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, DatagramError> {
        if bytes.len() > PACKET_BYTES_MAX {
            return Err(DatagramError::TooLong(bytes.len()));
        }
        match bytes.first().copied().ok_or(DatagramError::TooShort)? {
            SWIM => Self::decode_swim(bytes),
            RECORDS => {
                let records: Vec<Record> = whole(&bytes[1..])?;
                if records.len() > RECORDS_MAX {
                    return Err(DatagramError::Limits);
                }
                records.iter().try_for_each(within_limits)?;
                Ok(Self::Records(records))
            }
            SUMMARY => Ok(Self::Summary(whole(&bytes[1..])?)),
            kind => Err(DatagramError::Kind(kind)),
        }
    }

    fn decode_swim(bytes: &Bytes) -> Result<Self, DatagramError> {
        let (view, rest) = bytes[1..].split_first_chunk().ok_or(DatagramError::TooShort)?;
        let (record, taken) = codec::take::<Option<Record>>(rest)?;
        record.iter().try_for_each(within_limits)?;
        let packet = bytes.slice(1 + VIEW_BYTES + taken..);
        Ok(Self::Swim { view: u32::from_be_bytes(*view), record, packet })
    }

    /// As few datagrams as hold these records.
    pub(crate) fn pack<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Bytes> {
        let head = 2;
        let (mut packets, mut batch, mut size) = (Vec::new(), Vec::new(), head);
        for record in records {
            let length = codec::encode(record).len();
            if size + length > PACKET_BYTES_MAX || batch.len() == RECORDS_MAX {
                packets.push(Self::Records(std::mem::take(&mut batch)).encode());
                size = head;
            }
            size += length;
            batch.push(record.clone());
        }
        if !batch.is_empty() {
            packets.push(Self::Records(batch).encode());
        }
        packets
    }
}

fn whole<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, DatagramError> {
    let (value, taken) = codec::take(bytes)?;
    if taken < bytes.len() {
        return Err(DatagramError::Trailing(bytes.len() - taken));
    }
    Ok(value)
}

fn within_limits(record: &Record) -> Result<(), DatagramError> {
    if record.meta.is_within_limits() { Ok(()) } else { Err(DatagramError::Limits) }
}

#[cfg(test)]
#[path = "datagram_tests.rs"]
mod tests;
