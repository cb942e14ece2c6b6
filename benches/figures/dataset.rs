//! Data sets, written as a stream.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

pub const MODEL: &str = "org/model";

/// How long the lines are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Fixed(usize),
    /// Most are short, as the third power of an even distribution.
    UpTo(usize),
}

/// A file of rows.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub path: PathBuf,
    pub bytes: u64,
}

impl Dataset {
    /// Writes a file of `rows` into a folder, unless it is there.
    pub fn write(folder: &Path, rows: u64, length: Length) -> Self {
        let name = match length {
            Length::Fixed(bytes) => format!("{rows}-of-{bytes}.jsonl"),
            Length::UpTo(bytes) => format!("{rows}-up-to-{bytes}.jsonl"),
        };
        let path = folder.join(name);
        if !path.exists() {
            let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).unwrap());
            let row = Row::new();
            for number in 0..rows {
                row.write(&mut file, number, length.of(number)).unwrap();
            }
            file.flush().unwrap();
        }
        let bytes = path.metadata().unwrap().len();
        Self { path, bytes }
    }

    pub fn remove(self) {
        std::fs::remove_file(self.path).unwrap();
    }
}

impl Length {
    fn of(self, number: u64) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::UpTo(most) => {
                // The top bits of a product with the golden ratio are spread evenly (Knuth, 6.4).
                let even = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - EVEN_BITS));
                let cubed = (even.pow(3) * (most - SHORTEST) as u128) >> (3 * EVEN_BITS);
                SHORTEST + usize::try_from(cubed).unwrap()
            }
        }
    }
}

const EVEN_BITS: u32 = 20;
/// What a row takes with next to no text.
const SHORTEST: usize = 250;

/// A row's text, but for its number and its prompt.
struct Row {
    before: String,
    after: String,
    words: String,
}

impl Row {
    fn new() -> Self {
        let row = json!({
            "custom_id": "ID",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": MODEL, "messages": [{"role": "user", "content": "PROMPT"}], "max_tokens": 64},
        });
        let text = row.to_string();
        let (before, after) = text.split_once("PROMPT").unwrap();
        Self {
            before: before.to_owned(),
            after: after.to_owned(),
            words: "the quick brown fox jumps over the lazy dog and says ".repeat(100),
        }
    }

    /// Writes a line of `bytes`.
    fn write(&self, file: &mut impl Write, number: u64, bytes: usize) -> std::io::Result<()> {
        let Self { before, after, words } = self;
        let id = format!("row-{number:010}");
        let frame = before.len() + after.len() + id.len() - "ID".len() + 1;
        let mut prompt = bytes.saturating_sub(frame);
        let replaced = |text: &str| text.replacen("\"ID\"", &format!("\"{id}\""), 1);
        file.write_all(replaced(before).as_bytes())?;
        while prompt > 0 {
            let part = prompt.min(words.len());
            file.write_all(&words.as_bytes()[..part])?;
            prompt -= part;
        }
        file.write_all(replaced(after).as_bytes())?;
        file.write_all(b"\n")
    }
}
