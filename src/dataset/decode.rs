//! From the bytes of an object as it is stored to the text of the data set: pure, in pieces, and in bounded memory.

use std::{fmt, io};

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// Text that is handed on at once, in bytes: a few stored bytes may stand for gigabytes.
const PIECE: usize = 1024 * 1024;

/// The largest window of a zstd frame, as a power of two: 8 MiB, which every decoder should have room for (RFC 8878, section
/// 3.1.1.1.2), and which `zstd` does not exceed up to `-19`.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Of gzip, as a power of two: there is no larger one (RFC 1951, section 2).
const GZIP_WINDOW_LOG: u8 = 15;

/// How a data set is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// As it is.
    None,
    /// One or more gzip members (RFC 1952).
    Gzip,
    /// One or more zstd frames (RFC 8878).
    Zstd,
}

impl Compression {
    /// By the end of the object's name: `.gz`, `.zst`, or anything else.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match name.rsplit_once('.') {
            Some((_, "gz")) => Self::Gzip,
            Some((_, "zst")) => Self::Zstd,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "text",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Stored bytes are no compressed text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not readable as {compression} after {stored} bytes ({text} bytes of text): {reason}")]
pub struct Undecodable {
    /// What its name says it is.
    pub compression: Compression,
    /// How many stored bytes were good.
    pub stored: u64,
    /// How many bytes of text those stood for.
    pub text: u64,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// Reads stored bytes piece by piece: [`feed`](Self::feed) it a chunk, take the text with [`next_text`](Self::next_text) until there is
/// none, and go on with the chunk that follows; [`finish`](Self::finish) at the end.
pub struct Decoder {
    compression: Compression,
    format: Format,
    stored: Bytes,
    stored_bytes: u64,
    text_bytes: u64,
}

enum Format {
    Plain,
    Gzip(Option<Decompress>),
    Zstd(Zstd),
}

struct Zstd {
    /// `None` before the first byte: making one can fail.
    decoder: Option<ZstdDecoder<'static>>,
    within_frame: bool,
    has_more_text: bool,
}

impl Decoder {
    /// For an object from its first byte on.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let format = match compression {
            Compression::None => Format::Plain,
            Compression::Gzip => Format::Gzip(None),
            Compression::Zstd => Format::Zstd(Zstd {
                decoder: None,
                within_frame: false,
                has_more_text: false,
            }),
        };
        Self {
            compression,
            format,
            stored: Bytes::new(),
            stored_bytes: 0,
            text_bytes: 0,
        }
    }

    /// Takes the next stored bytes; all text of those before was taken.
    pub fn feed(&mut self, stored: Bytes) {
        self.stored = stored;
    }

    /// The next piece of text, at most a mebibyte of what was compressed; `None` when more stored bytes are needed.
    ///
    /// # Errors
    ///
    /// [`Undecodable`]; there is nothing more to take then.
    pub fn next_text(&mut self) -> Result<Option<Bytes>, Undecodable> {
        let before = self.stored.len();
        let text = match &mut self.format {
            Format::Plain => Ok(std::mem::take(&mut self.stored)),
            Format::Gzip(member) => gunzip(member, &mut self.stored),
            Format::Zstd(zstd) => zstd.decompress(&mut self.stored),
        };
        self.stored_bytes += (before - self.stored.len()) as u64;
        let text = text.map_err(|reason| self.undecodable(reason))?;
        self.text_bytes += text.len() as u64;
        Ok((!text.is_empty()).then_some(text))
    }

    /// Bytes of text so far.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Is to be called at the end of the object.
    ///
    /// # Errors
    ///
    /// [`Undecodable`]: the end is missing.
    pub fn finish(&self) -> Result<(), Undecodable> {
        let is_cut_off = match &self.format {
            Format::Plain => false,
            Format::Gzip(member) => member.is_some() || self.stored_bytes == 0,
            Format::Zstd(zstd) => zstd.within_frame || self.stored_bytes == 0,
        };
        if is_cut_off {
            return Err(self.undecodable("it is cut off here; upload all of it".to_owned()));
        }
        Ok(())
    }

    fn undecodable(&self, reason: String) -> Undecodable {
        Undecodable {
            compression: self.compression,
            stored: self.stored_bytes,
            text: self.text_bytes,
            reason,
        }
    }
}

/// Some text, unless all stored bytes are used up. `member` is the one that is being read.
fn gunzip(member: &mut Option<Decompress>, stored: &mut Bytes) -> Result<Bytes, String> {
    let mut text = Vec::with_capacity(PIECE);
    loop {
        if member.is_none() {
            // Zeros may fill up what is stored in blocks, as `gzip` has it.
            let padding = stored.iter().take_while(|byte| **byte == 0).count();
            stored.advance(padding);
            if stored.is_empty() {
                break;
            }
        }
        let decompress = member.get_or_insert_with(|| Decompress::new_gzip(GZIP_WINDOW_LOG));
        let (read, written) = (decompress.total_in(), text.len());
        let status = decompress
            .decompress_vec(stored, &mut text, FlushDecompress::None)
            .map_err(|error| damaged(error.message().unwrap_or("the bytes make no sense")))?;
        let read = usize::try_from(decompress.total_in() - read).map_err(|error| error.to_string())?;
        stored.advance(read);
        if status == Status::StreamEnd {
            *member = None;
        } else if text.len() == text.capacity() || (read == 0 && text.len() == written) {
            break;
        }
    }
    Ok(text.into())
}

impl Zstd {
    fn decompress(&mut self, stored: &mut Bytes) -> Result<Bytes, String> {
        let mut text = Vec::with_capacity(PIECE);
        while !stored.is_empty() || self.has_more_text {
            let mut output = OutBuffer::around_pos(&mut text, 0);
            let (read, hint) = {
                let mut input = InBuffer::around(stored);
                let decoder = match &mut self.decoder {
                    Some(decoder) => decoder,
                    none => none.insert(new_zstd().map_err(|error| error.to_string())?),
                };
                let hint = decoder.run(&mut input, &mut output).map_err(|error| explain(&error))?;
                (input.pos(), hint)
            };
            let written = output.pos();
            stored.advance(read);
            self.within_frame = hint != 0;
            self.has_more_text = self.within_frame && written == text.capacity();
            if !text.is_empty() {
                break;
            }
        }
        Ok(text.into())
    }
}

fn new_zstd() -> io::Result<ZstdDecoder<'static>> {
    let mut decoder = ZstdDecoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
    Ok(decoder)
}

fn explain(error: &io::Error) -> String {
    let message = error.to_string();
    // zstd's own words of ZSTD_error_frameParameter_windowTooLarge (1.5, `error_private.c`).
    if message.contains("too much memory") {
        return "its window is larger than 8 MiB; compress it with `zstd -19` or less, and without --long".to_owned();
    }
    damaged(&message)
}

fn damaged(message: &str) -> String {
    format!("{message}; upload it again, or correct the end of its name")
}

impl fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Decoder")
            .field("compression", &self.compression)
            .field("stored_bytes", &self.stored_bytes)
            .field("text_bytes", &self.text_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dataset::testing::{gzip, zstd};

    fn decode(compression: Compression, chunks: &[&[u8]]) -> Result<Vec<u8>, Undecodable> {
        let mut decoder = Decoder::new(compression);
        let mut text = Vec::new();
        for chunk in chunks {
            decoder.feed(Bytes::copy_from_slice(chunk));
            while let Some(piece) = decoder.next_text()? {
                assert!(compression == Compression::None || piece.len() <= PIECE);
                text.extend_from_slice(&piece);
            }
        }
        decoder.finish()?;
        assert_eq!(decoder.text_bytes(), text.len() as u64);
        Ok(text)
    }

    type Compress = fn(&[u8]) -> Vec<u8>;

    const BOTH: [(Compression, Compress); 2] = [(Compression::Gzip, gzip), (Compression::Zstd, zstd)];

    #[test]
    fn the_name_says_how_it_is_stored() {
        for (name, compression) in [
            ("rows.jsonl", Compression::None),
            ("a/rows.jsonl.gz", Compression::Gzip),
            ("rows.zst", Compression::Zstd),
            ("gz", Compression::None),
            ("rows.gz.txt", Compression::None),
        ] {
            assert_eq!(Compression::of_name(name), compression, "{name}");
        }
    }

    #[test]
    fn several_members_or_frames_are_one_file() {
        for (compression, compress) in BOTH {
            let stored = [compress(b"one\n"), compress(b""), compress(b"two\n")].concat();
            assert_eq!(decode(compression, &[&stored]).unwrap(), b"one\ntwo\n", "{compression}");
            assert_eq!(decode(compression, &[&compress(b"")]).unwrap(), b"", "{compression}");
        }
        let padded = [gzip(b"one"), vec![0; 600]].concat();
        assert_eq!(decode(Compression::Gzip, &[&padded]).unwrap(), b"one");
    }

    #[test]
    fn much_text_in_few_bytes_comes_in_pieces() {
        let text = vec![b' '; 10 * PIECE + 7];
        for (compression, compress) in BOTH {
            let stored = compress(&text);
            assert!(stored.len() < PIECE / 50, "{compression}");
            assert!(decode(compression, &[&stored]).unwrap() == text, "{compression}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_or_damaged_says_where() {
        let squares: Vec<_> = (0..5000).map(|number| (number * number).to_string()).collect();
        let text = squares.join("\n");
        for (compression, compress) in BOTH {
            let stored = compress(text.as_bytes());
            for end in [0, 3, stored.len() / 2, stored.len() - 1] {
                let error = decode(compression, &[&stored[..end]]).unwrap_err();
                assert!(error.to_string().contains("it is cut off here"), "{error}");
                assert_eq!(error.stored, end as u64, "{error}");
            }
            let mut damaged = stored.clone();
            let middle = damaged.len() / 2;
            damaged[middle..middle + 8].fill(0x55);
            let error = decode(compression, &[&damaged]).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("not readable as {compression} after")),
                "{error}"
            );
            let plain = decode(compression, &[b"{\"custom_id\":\"a\"}\n"]).unwrap_err();
            assert!(plain.to_string().contains("correct the end of its name"), "{plain}");
        }
    }

    #[test]
    fn a_wrong_checksum_at_the_end_is_seen() {
        for (compression, compress) in BOTH {
            let mut stored = compress(b"some text");
            // The length follows the checksum in gzip, nothing does in zstd.
            let at = stored.len() - if compression == Compression::Gzip { 6 } else { 2 };
            stored[at] ^= 1;
            assert!(decode(compression, &[&stored]).is_err(), "{compression}");
        }
    }

    #[test]
    fn a_large_window_is_refused_with_what_to_do() {
        // A header without content size: 2^(10 + 14) = 16 MiB (RFC 8878, section 3.1.1.1.2), then an empty last block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x01, 0x00, 0x00];
        let error = decode(Compression::Zstd, &[&frame]).unwrap_err();
        assert!(error.reason.starts_with("its window is larger than 8 MiB"), "{error}");
        let allowed = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 0x01, 0x00, 0x00];
        assert_eq!(decode(Compression::Zstd, &[&allowed]).unwrap(), b"");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_chunking_gives_the_same_text(
            text in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..2000),
            size in 1_usize..40,
        ) {
            for (compression, compress) in BOTH {
                let stored = [compress(&text), compress(b"end")].concat();
                let chunks: Vec<_> = stored.chunks(size).collect();
                prop_assert_eq!(decode(compression, &chunks).unwrap(), [&text[..], b"end"].concat());
            }
        }
    }
}
