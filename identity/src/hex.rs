//! Lower-case hexadecimal, the written form of every id and digest.

use std::fmt;

/// Why a text is not the hexadecimal form of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// The text has another length than the id.
    #[error("expected {expected} hexadecimal digits, found {found} characters; copy the whole id")]
    Length {
        /// Digits that the id has.
        expected: usize,
        /// Characters that the text has.
        found: usize,
    },
    /// The text has a character that is no hexadecimal digit.
    #[error("`{character}` at position {position} is not a hexadecimal digit (0-9, a-f)")]
    Digit {
        /// The offending character.
        character: char,
        /// Its place in the text, from 1.
        position: usize,
    },
}

pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let length = text.chars().count();
    if length != 2 * N {
        return Err(HexError::Length { expected: 2 * N, found: length });
    }
    let mut bytes = [0u8; N];
    for (place, character) in text.chars().enumerate() {
        let digit = character.to_digit(16).ok_or(HexError::Digit { character, position: place + 1 })?;
        let nibble = u8::try_from(digit).expect("a hexadecimal digit is below 16");
        bytes[place / 2] = bytes[place / 2] << 4 | nibble;
    }
    Ok(bytes)
}

pub(crate) fn write(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Gives a newtype over bytes its text form, and serde by text or by bytes.
macro_rules! hex_id {
    ($name:ident, $bytes:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::hex::write(&self.0, f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::HexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                crate::hex::parse::<$bytes>(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; $bytes]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

pub(crate) use hex_id;
