use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// Tells whether a block is the one that was inspected: XXH3 with 128 bits, shown as 32 lower-case hexadecimal digits. It guards
/// against files that were changed or damaged, and costs a twentieth of SHA-256. Whoever makes another block of the same
/// checksum on purpose deceives only their own job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlockChecksum(u128);

/// A text that is not 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the checksum of a block has 32 lower-case hexadecimal digits")]
pub struct NotAChecksum;

impl BlockChecksum {
    /// The checksum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(bytes))
    }
}

impl From<u128> for BlockChecksum {
    fn from(checksum: u128) -> Self {
        Self(checksum)
    }
}

impl fmt::Display for BlockChecksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for BlockChecksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for BlockChecksum {
    type Err = NotAChecksum;

    fn from_str(text: &str) -> Result<Self, NotAChecksum> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.as_bytes().iter().all(is_digit) {
            return Err(NotAChecksum);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotAChecksum)
    }
}

impl TryFrom<String> for BlockChecksum {
    type Error = NotAChecksum;

    fn try_from(text: String) -> Result<Self, NotAChecksum> {
        text.parse()
    }
}

impl From<BlockChecksum> for String {
    fn from(checksum: BlockChecksum) -> Self {
        checksum.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_xxh3_and_reads_back() {
        // As `xxhsum -H2` says it of an empty file (xxHash 0.8).
        let empty = BlockChecksum::of(b"");
        assert_eq!(empty.to_string(), "99aa06d3014798d86001c324468d497f");
        assert_eq!(empty.to_string().parse(), Ok(empty));
        let small = BlockChecksum(7);
        assert_eq!(small.to_string().parse(), Ok(small));
        for text in [
            "",
            "7",
            "+9aa06d3014798d86001c324468d497f",
            "99AA06D3014798D86001C324468D497F",
        ] {
            assert_eq!(text.parse::<BlockChecksum>(), Err(NotAChecksum), "{text}");
        }
    }
}
