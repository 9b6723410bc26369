//! The one place where this crate turns values into bytes and back.
//!
//! The form is bincode with its standard configuration. A decoded value may not be larger than a limit, and every byte
//! must have been used: trailing bytes are an error, not a comment.

use serde::{Serialize, de::DeserializeOwned};

/// Bytes of one encoded value, at most; also the memory that decoding one may claim.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Bytes of an encoded state, at most: what the limits of its parts add up to, and room.
pub(crate) const STATE_BYTES_MAX: usize = 256 << 20;

/// Why a value could not be encoded or decoded. No state has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// The value does not encode, or is above the limit.
    #[error("a value could not be encoded: {0}")]
    Encode(String),
    /// The bytes are not an encoded value of the expected type.
    #[error("{bytes} bytes could not be decoded: {reason}")]
    Decode {
        /// How many bytes there were.
        bytes: usize,
        /// What the decoder said.
        reason: String,
    },
}

/// The bytes of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_after(Vec::new(), value)
}

/// The bytes of a value, appended to a prefix.
pub(crate) fn encode_after<T: Serialize>(prefix: Vec<u8>, value: &T) -> Result<Vec<u8>, CodecError> {
    encode_within::<_, MESSAGE_BYTES_MAX>(prefix, value)
}

/// The value of exactly these bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode_within::<_, MESSAGE_BYTES_MAX>(bytes)
}

/// The same for a value of another size.
pub(crate) fn encode_within<T: Serialize, const BYTES_MAX: usize>(
    mut prefix: Vec<u8>,
    value: &T,
) -> Result<Vec<u8>, CodecError> {
    write(&mut prefix, value)?;
    if prefix.len() > BYTES_MAX {
        return Err(CodecError::Encode(format!("{} bytes are above the limit of {BYTES_MAX}", prefix.len())));
    }
    Ok(prefix)
}

/// The same for a value of another size.
pub(crate) fn decode_within<T: DeserializeOwned, const BYTES_MAX: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    let failed = |reason: String| CodecError::Decode { bytes: bytes.len(), reason };
    let config = bincode::config::standard().with_limit::<BYTES_MAX>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config).map_err(|error| failed(error.to_string()))?;
    if used != bytes.len() {
        return Err(failed(format!("{} bytes are left over", bytes.len() - used)));
    }
    Ok(value)
}

/// Writes the bytes of a value, however many they are.
pub(crate) fn write<T: Serialize>(to: &mut impl std::io::Write, value: &T) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, to, bincode::config::standard())
        .map(drop)
        .map_err(|error| CodecError::Encode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // G15: arbitrary bytes never panic the decoder, whatever they claim about lengths.
        #[test]
        fn any_bytes_are_refused_or_decoded(bytes: Vec<u8>) {
            let _ = decode::<Vec<String>>(&bytes);
            let _ = decode::<crate::command::Stamped>(&bytes);
        }

        #[test]
        fn a_value_is_read_back(value: (u128, String, Vec<u64>)) {
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(decode::<(u128, String, Vec<u64>)>(&bytes).unwrap(), value);
        }
    }

    #[test]
    fn left_over_bytes_are_an_error() {
        let mut bytes = encode(&7u32).unwrap();
        bytes.push(0);
        assert!(decode::<u32>(&bytes).unwrap_err().to_string().contains("1 bytes are left over"));
    }
}
