//! The one place that knows how values become bytes: bincode with variable-length integers, bounded.

use bincode::{
    config::{Configuration, Limit, LittleEndian, Varint},
    error::DecodeError,
};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes that a packet may take in memory. More than its bytes on the wire: bincode counts a number at its full width.
const DECODED_BYTES_MAX: usize = 16 * 1_024;

const FORM: Configuration<LittleEndian, Varint, Limit<DECODED_BYTES_MAX>> =
    bincode::config::standard().with_limit::<DECODED_BYTES_MAX>();

/// The bytes of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, FORM).expect("wire types have no form that bincode lacks, and a Vec has room")
}

/// The value at the beginning of `bytes`, and how many bytes it took.
pub(crate) fn take<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    bincode::serde::decode_from_slice(bytes, FORM)
}
