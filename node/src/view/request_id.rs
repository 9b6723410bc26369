//! The id of a write: sent twice, it is still one write.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many hexadecimal digits an id has at most: 128 bits.
const DIGITS_MAX: usize = 32;

/// The id of a write, chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RequestId(pub u128);

/// The text is not a request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a request id; write 1 to {DIGITS_MAX} hexadecimal digits")]
pub struct RequestIdError(String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        let wrong = || RequestIdError(text.chars().take(2 * DIGITS_MAX).collect());
        if text.len() > DIGITS_MAX || !text.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| wrong())
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for RequestId {
    type Error = RequestIdError;

    fn try_from(text: String) -> Result<Self, RequestIdError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_others_are_refused() {
        let id = RequestId(0x1f);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("1F".parse(), Ok(id));
        for wrong in ["", "+1", "xyz", &"0".repeat(33)] {
            assert!(wrong.parse::<RequestId>().is_err(), "{wrong}");
        }
    }
}
