//! What comes by standard input. Not every connection to a pod can say where it ends, so the words say how much it is.

use std::io::{self, Read};

use anyhow::{Context, bail};
use bytes::Bytes;

use crate::results::Checksum;

/// So many bytes.
///
/// # Errors
///
/// Fewer come.
pub fn read(bytes: usize) -> anyhow::Result<Bytes> {
    let mut read = vec![0; bytes];
    let all = io::stdin().lock().read_exact(&mut read);
    all.with_context(|| format!("standard input ended before {bytes} bytes"))?;
    Ok(read.into())
}

/// So many bytes with this SHA-256.
///
/// # Errors
///
/// Fewer come, or others.
pub fn read_checked(bytes: usize, sha256: &str) -> anyhow::Result<Bytes> {
    let read = read(bytes)?;
    if Checksum::of(&read).to_string() != sha256 {
        bail!("what came by standard input is not what was sent");
    }
    Ok(read)
}
