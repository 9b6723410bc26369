//! The id of a cluster: minted once, at its only bootstrap (G9).

use crate::hex::hex_id;

/// 128 random bits that name a cluster for ever; two clusters never share one and never merge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId([u8; 16]);

hex_id!(ClusterId, 16);

impl ClusterId {
    /// The id made of these bytes, which the caller took from a source of random bits.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_is_no_digit_is_pointed_at() {
        let error = "0123456789abcdef0123456789abcdeg".parse::<ClusterId>().unwrap_err();
        assert_eq!(error.to_string(), "`g` at position 32 is not a hexadecimal digit (0-9, a-f)");
    }

    #[test]
    fn bytes_come_back() {
        let id = ClusterId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse::<ClusterId>().unwrap().as_bytes(), &[7; 16]);
    }
}
