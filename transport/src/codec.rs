//! Values to bytes and back: the only place that knows the wire encoding, so that it can be exchanged.

use serde::{Serialize, de::DeserializeOwned};

/// The longest frame on any stream, in bytes; a kind of stream may allow less.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<FRAME_BYTES_MAX>,
> = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();

/// Why a value did not become bytes. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The value is longer than a frame may be.
    #[error("the message takes {bytes} bytes, a frame holds at most {FRAME_BYTES_MAX}; send it in parts")]
    TooLong {
        /// Length of the encoded value.
        bytes: usize,
    },
    /// The type of the value has no wire form.
    #[error("the message has no wire form: {0}")]
    Unsupported(String),
}

/// Why bytes are not the value that was expected. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end early, exceed the limit or have a form that the type does not have.
    #[error("the message cannot be read: {0}; the sender runs another version or the bytes are damaged")]
    Malformed(String),
    /// The value ends before the bytes do.
    #[error("{bytes} bytes follow the message; the sender runs another version or the bytes are damaged")]
    Trailing {
        /// How many bytes are left over.
        bytes: usize,
    },
}

/// The bytes of a value.
///
/// # Errors
/// The value is above [`FRAME_BYTES_MAX`] or its type has no wire form.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let bytes = bincode::serde::encode_to_vec(value, CONFIG).map_err(|e| EncodeError::Unsupported(e.to_string()))?;
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(EncodeError::TooLong { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// The value of these bytes, all of them.
///
/// # Errors
/// The bytes are not exactly one value of the type, or claim more memory than [`FRAME_BYTES_MAX`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    match bytes.len() - used {
        0 => Ok(value),
        bytes => Err(DecodeError::Trailing { bytes }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Sample {
        Empty,
        Text(String),
        Parts { numbers: Vec<u64>, maybe: Option<[u8; 16]> },
    }

    fn sample() -> impl Strategy<Value = Sample> {
        prop_oneof![
            Just(Sample::Empty),
            ".*".prop_map(Sample::Text),
            (any::<Vec<u64>>(), any::<Option<[u8; 16]>>())
                .prop_map(|(numbers, maybe)| Sample::Parts { numbers, maybe }),
        ]
    }

    proptest! {
        #[test]
        fn values_are_read_back(value in sample()) {
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(decode::<Sample>(&bytes), Ok(value));
        }

        // G15: any input within the limit costs bounded memory and never panics.
        #[test]
        fn g15_garbage_never_panics(bytes: Vec<u8>) {
            let _ = decode::<Sample>(&bytes);
            let _ = decode::<Vec<Vec<String>>>(&bytes);
        }

        #[test]
        fn g15_a_cut_message_is_refused(value in sample(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&value).unwrap();
            let cut = cut.index(bytes.len());
            prop_assert!(decode::<Sample>(&bytes[..cut]).is_err());
        }

        #[test]
        fn bytes_after_the_message_are_refused(value in sample(), extra in 1usize..9) {
            let mut bytes = encode(&value).unwrap();
            bytes.resize(bytes.len() + extra, 0);
            prop_assert_eq!(decode::<Sample>(&bytes), Err(DecodeError::Trailing { bytes: extra }));
        }
    }

    /// G15: a length of terabytes is refused before memory is reserved for it.
    #[test]
    fn g15_a_huge_claimed_length_reserves_nothing() {
        let claim = [0xfd, 0, 0, 0, 0, 0, 1, 0, 0]; // varint: 2^40 elements follow
        assert!(matches!(decode::<Vec<u8>>(&claim), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn a_message_above_the_limit_is_not_sent() {
        let value = vec![0u8; FRAME_BYTES_MAX + 1];
        assert!(encode(&value).is_err());
    }
}
