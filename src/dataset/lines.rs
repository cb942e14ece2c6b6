//! Splits a stream of bytes into lines. In JSON a raw line break can only stand between tokens, and in JSON Lines only
//! between rows, so quotes do not matter here.

use bytes::{Bytes, BytesMut};

use crate::openai::LineNumber;

/// The longest row, in bytes without its line break (a line feed, or a carriage return and a line feed).
pub const MAX_ROW_BYTES: usize = 16 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Its place among the lines.
    pub number: LineNumber,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// All its bytes, with the line break where there is one.
    pub raw: Bytes,
}

/// A line longer than the limit. Its bytes were let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {number} has {length} bytes")]
pub struct LineTooLong {
    /// Its place among the lines.
    pub number: LineNumber,
    /// In bytes, without the line break.
    pub length: u64,
}

impl Line {
    /// The line without its line break (a line feed, or a carriage return and a line feed) and, at the start of a
    /// file, without a UTF-8 byte order mark.
    #[must_use]
    pub fn content(&self) -> Bytes {
        self.raw.slice_ref(self.text())
    }

    fn text(&self) -> &[u8] {
        let mut content: &[u8] = &self.raw;
        content = content.strip_suffix(b"\n").unwrap_or(content);
        content = content.strip_suffix(b"\r").unwrap_or(content);
        if self.offset == 0 {
            content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
        }
        content
    }

    /// Whether there is nothing but white space on the line, so that it is no row.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.text().iter().all(u8::is_ascii_whitespace)
    }
}

/// Splits chunks into lines; holds at most one unfinished line.
#[derive(Debug)]
pub struct LineSplitter {
    limit: usize,
    number: LineNumber,
    offset: u64,
    /// How much of the line has come.
    length: u64,
    /// Whether that ends in a carriage return, which is the line break's if a line feed comes next.
    ends_in_return: bool,
    /// What has come of the line, as long as that is within the limit.
    unfinished: BytesMut,
}

impl LineSplitter {
    /// Splits a file from its start; `limit` bounds a line, in bytes without its line break.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::starting_at(LineNumber::FIRST, 0, limit)
    }

    /// Splits from a line within a file, which begins `offset` bytes into it.
    #[must_use]
    pub fn starting_at(number: LineNumber, offset: u64, limit: usize) -> Self {
        Self {
            limit,
            number,
            offset,
            length: 0,
            ends_in_return: false,
            unfinished: BytesMut::new(),
        }
    }

    /// Takes the next line off the front of `chunk`. `None` means that the chunk is used up: go on with the one that
    /// follows it in the file, or with [`finish`](Self::finish).
    pub fn next_in(&mut self, chunk: &mut Bytes) -> Option<Result<Line, LineTooLong>> {
        let Some(line_feed) = memchr::memchr(b'\n', chunk) else {
            self.keep(&std::mem::take(chunk));
            return None;
        };
        let end = chunk.split_to(line_feed + 1);
        self.count(&end[..line_feed]);
        if self.is_too_long() {
            return Some(self.complete_too_long(1));
        }
        Some(Ok(self.complete(end)))
    }

    /// The last line, when the file does not end in a line feed.
    #[must_use]
    pub fn finish(mut self) -> Option<Result<Line, LineTooLong>> {
        if self.length == 0 {
            return None;
        }
        if self.is_too_long() {
            return Some(self.complete_too_long(0));
        }
        Some(Ok(self.complete(Bytes::new())))
    }

    /// What has come of the line, without its line break.
    fn content_length(&self) -> u64 {
        self.length - u64::from(self.ends_in_return)
    }

    fn is_too_long(&self) -> bool {
        self.content_length() > self.limit as u64
    }

    fn count(&mut self, part: &[u8]) {
        self.length += part.len() as u64;
        if let Some(last) = part.last() {
            self.ends_in_return = *last == b'\r';
        }
    }

    fn keep(&mut self, part: &[u8]) {
        self.count(part);
        if !self.is_too_long() {
            self.unfinished.extend_from_slice(part);
        }
    }

    fn complete(&mut self, end: Bytes) -> Line {
        let raw = if self.unfinished.is_empty() {
            end
        } else {
            self.unfinished.extend_from_slice(&end);
            self.unfinished.split().freeze()
        };
        let line = Line {
            number: self.number,
            offset: self.offset,
            raw,
        };
        self.go_to_next_line(line.raw.len() as u64);
        line
    }

    fn complete_too_long(&mut self, line_feed: u64) -> Result<Line, LineTooLong> {
        let (number, length) = (self.number, self.content_length());
        self.unfinished = BytesMut::new();
        self.go_to_next_line(self.length + line_feed);
        Err(LineTooLong { number, length })
    }

    fn go_to_next_line(&mut self, raw_length: u64) {
        self.number = self.number.next();
        self.offset += raw_length;
        self.length = 0;
        self.ends_in_return = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], limit: usize) -> Vec<Result<Line, LineTooLong>> {
        let mut splitter = LineSplitter::new(limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut chunk = Bytes::copy_from_slice(chunk);
            lines.extend(std::iter::from_fn(|| splitter.next_in(&mut chunk)));
            assert!(chunk.is_empty());
        }
        lines.extend(splitter.finish());
        lines
    }

    fn contents(file: &[u8]) -> Vec<(u64, u64, Bytes)> {
        let lines = split(&[file], MAX_ROW_BYTES);
        lines
            .into_iter()
            .flatten()
            .map(|line| (line.number.0, line.offset, line.content()))
            .collect()
    }

    fn expected(lines: &[(u64, u64, &'static str)]) -> Vec<(u64, u64, Bytes)> {
        lines
            .iter()
            .map(|(number, offset, content)| (*number, *offset, Bytes::from_static(content.as_bytes())))
            .collect()
    }

    #[test]
    fn lines_end_in_a_line_feed_and_perhaps_a_carriage_return() {
        assert_eq!(
            contents(b"a\r\nb\n\r\nc\rd"),
            expected(&[(1, 0, "a"), (2, 3, "b"), (3, 5, ""), (4, 7, "c\rd")])
        );
        assert_eq!(contents(b"a\r\r\n"), expected(&[(1, 0, "a\r")]));
        assert_eq!(contents(b""), expected(&[]));
        assert_eq!(contents(b"\n"), expected(&[(1, 0, "")]));
    }

    #[test]
    fn only_the_first_line_loses_one_byte_order_mark() {
        let mark = "\u{feff}";
        assert_eq!(
            contents(format!("{mark}{mark}a\n{mark}b").as_bytes()),
            expected(&[(1, 0, "\u{feff}a"), (2, 8, "\u{feff}b")])
        );
    }

    #[test]
    fn white_space_alone_is_blank() {
        let blank = |file: &[u8]| split(&[file], MAX_ROW_BYTES)[0].as_ref().unwrap().is_blank();
        assert!(blank(b" \t\r\n") && blank(b"\xef\xbb\xbf\n") && blank(b"\n"));
        assert!(!blank(b" {}\n") && !blank("\u{a0}\n".as_bytes()));
    }

    #[test]
    fn a_line_over_the_limit_is_let_go_and_the_next_one_is_whole() {
        let lines = split(&[b"12", b"34", b"5678\n1234\n", b"12345"], 4);
        assert_eq!(
            lines[0],
            Err(LineTooLong {
                number: LineNumber(1),
                length: 8
            })
        );
        let second = lines[1].as_ref().unwrap();
        assert_eq!(
            (second.number, second.offset, &second.raw[..]),
            (LineNumber(2), 9, &b"1234\n"[..])
        );
        assert_eq!(
            lines[2],
            Err(LineTooLong {
                number: LineNumber(3),
                length: 5
            })
        );
    }

    #[test]
    fn the_limit_is_of_a_line_without_its_line_break() {
        for line_break in ["\n", "\r\n", ""] {
            for (length, fits) in [(MAX_ROW_BYTES, true), (MAX_ROW_BYTES + 1, false)] {
                let file = "x".repeat(length) + line_break;
                let lines = split(&[file.as_bytes()], MAX_ROW_BYTES);
                let lengths: Vec<_> = lines
                    .into_iter()
                    .map(|line| line.map(|line| line.content().len()).map_err(|line| line.length))
                    .collect();
                let expected = if fits { Ok(length) } else { Err(length as u64) };
                assert_eq!(lengths, [expected], "{length} bytes and {line_break:?}");
            }
        }
    }

    #[test]
    fn a_carriage_return_within_a_line_counts() {
        let file: [&[u8]; 3] = [b"123\r", b"\r", b"\n1234\r\n"];
        let lines = split(&file, 3);
        let too_long = |number, length| {
            let number = LineNumber(number);
            Err(LineTooLong { number, length })
        };
        assert_eq!(lines, [too_long(1, 4), too_long(2, 4)]);
    }

    #[test]
    fn a_line_over_the_limit_is_not_held() {
        let mut splitter = LineSplitter::new(4);
        for _ in 0..1000 {
            assert_eq!(splitter.next_in(&mut Bytes::from_static(b"123")), None);
            assert!(splitter.unfinished.capacity() < 1024);
        }
    }

    #[test]
    fn lines_within_one_chunk_are_not_copied() {
        let mut chunk = Bytes::from(b"first\nsecond\n".to_vec());
        let address = chunk.as_ptr();
        let line = LineSplitter::new(99).next_in(&mut chunk).unwrap().unwrap();
        assert_eq!(line.content().as_ptr(), address);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(
            file in prop::collection::vec(prop::sample::select(b"\n\n\r\xef\xbb\xbfab ".to_vec()), 0..60),
            cuts in prop::collection::vec(0_usize..60, 0..12),
            limit in 1_usize..12,
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(file.len())).collect();
            cuts.extend([0, file.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|pair| &file[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&chunks, limit), split(&[&file], limit));
        }

        #[test]
        fn the_lines_together_are_the_file(
            file in prop::collection::vec(prop::sample::select(b"\n\rab".to_vec()), 0..60),
        ) {
            let lines: Vec<_> = split(&[&file], MAX_ROW_BYTES).into_iter().flatten().collect();
            for (line, number) in lines.iter().zip(1..) {
                prop_assert_eq!(line.number, LineNumber(number));
                prop_assert!(file[usize::try_from(line.offset).unwrap()..].starts_with(&line.raw));
            }
            let joined: Vec<_> = lines.iter().flat_map(|line| line.raw.to_vec()).collect();
            prop_assert_eq!(joined, file);
        }
    }
}
