//! A walk over JSON text that looks at each byte once. It says where members are and that all of it is JSON (RFC 8259), or
//! says nothing: what is wrong is for `serde_json` to find and put in words.

/// Walks over a JSON text from its front. Every step returns `None` where the text is not what was asked for, is not JSON, or
/// is more than it can tell; the walk is over then.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A string of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct JsonString<'a> {
    /// With its quotes.
    pub(super) quoted: &'a str,
    has_escapes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Container {
    Array,
    Object,
}

/// Arrays and objects that are open, innermost last: one bit for each.
#[derive(Debug)]
struct Open {
    limit: u32,
    levels: u32,
    objects: u128,
}

impl<'a> Scanner<'a> {
    /// The most levels of arrays and objects that [`value`](Self::value) can keep apart.
    pub(super) const MAX_LEVELS: u32 = u128::BITS;

    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// How much of the text is behind, in bytes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Passes over white space; true at the end of the text.
    pub(super) fn at_end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Passes over one object, and calls `on_member` with each key, before its value, which it has to pass over. A key with
    /// escapes ends the walk.
    pub(super) fn object(&mut self, mut on_member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.byte(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            return self.byte(b'}');
        }
        loop {
            let key = self.key()?.plain()?;
            on_member(self, key)?;
            self.space();
            match self.next()? {
                b',' => self.space(),
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Passes over one string.
    pub(super) fn string(&mut self) -> Option<JsonString<'a>> {
        let (start, mut has_escapes) = (self.at, false);
        self.byte(b'"')?;
        loop {
            self.at += plain_length(self.text.as_bytes().get(self.at..)?);
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return None,
            }
            has_escapes = true;
        }
        Some(JsonString {
            quoted: self.text.get(start..self.at)?,
            has_escapes,
        })
    }

    /// Passes over any value with at most `levels` of arrays and objects in it, and gives its text.
    pub(super) fn value(&mut self, levels: u32) -> Option<&'a str> {
        let start = self.at;
        let mut open = Open::new(levels.min(Self::MAX_LEVELS));
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' => {
                    open.push(Container::Object)?;
                    self.at += 1;
                    self.space();
                    if self.peek()? != b'}' {
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    open.push(Container::Array)?;
                    self.at += 1;
                    self.space();
                    if self.peek()? != b']' {
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => return None,
            }
            if self.close(&mut open)? {
                return self.text.get(start..self.at);
            }
        }
    }

    /// After a value: closes what ends here, and goes to the next value. True when there is none, as nothing is open.
    fn close(&mut self, open: &mut Open) -> Option<bool> {
        while let Some(container) = open.innermost() {
            self.space();
            match (self.next()?, container) {
                (b'}', Container::Object) | (b']', Container::Array) => open.pop(),
                (b',', Container::Object) => {
                    self.space();
                    self.key()?;
                    return Some(false);
                }
                (b',', Container::Array) => {
                    self.space();
                    return Some(false);
                }
                _ => return None,
            }
        }
        Some(true)
    }

    /// A key, the colon, and the space before the value.
    fn key(&mut self) -> Option<JsonString<'a>> {
        let key = self.string()?;
        self.space();
        self.byte(b':')?;
        self.space();
        Some(key)
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => _ = self.digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        (digits > 0).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word.as_bytes()).then_some(())
    }

    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn byte(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }
}

impl<'a> JsonString<'a> {
    /// The text, when it stands there as it is.
    pub(super) fn plain(self) -> Option<&'a str> {
        (!self.has_escapes).then(|| &self.quoted[1..self.quoted.len() - 1])
    }

    /// The text with its escapes resolved; `None` when it has half of a surrogate pair.
    pub(super) fn unescaped(self) -> Option<String> {
        match self.plain() {
            Some(text) => Some(text.to_owned()),
            None => serde_json::from_str(self.quoted).ok(),
        }
    }
}

impl Open {
    fn new(limit: u32) -> Self {
        Self {
            limit,
            levels: 0,
            objects: 0,
        }
    }

    fn push(&mut self, container: Container) -> Option<()> {
        if self.levels == self.limit {
            return None;
        }
        self.levels += 1;
        self.objects = (self.objects << 1) | u128::from(container == Container::Object);
        Some(())
    }

    fn pop(&mut self) {
        self.levels -= 1;
        self.objects >>= 1;
    }

    fn innermost(&self) -> Option<Container> {
        let is_object = self.objects & 1 == 1;
        (self.levels > 0).then_some(if is_object { Container::Object } else { Container::Array })
    }
}

/// How many bytes there are before the first that is not an ordinary one of a string: a quote, a backslash, a control character.
/// Eight at a time (<https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord>): of the bytes marked, the
/// lowest is right, and those above it may not be.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marked =
            (control | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')))) & HIGH;
        if marked != 0 {
            return number * 8 + marked.trailing_zeros() as usize / 8;
        }
    }
    let is_ordinary = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | 0..0x20);
    words.len() * 8 + rest.iter().take_while(is_ordinary).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    /// Whether the whole text is one JSON value.
    fn accepts(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.space();
        scanner.value(128).is_some() && scanner.at_end()
    }

    #[test]
    fn what_it_accepts_is_json_and_the_other_way_round() {
        for text in [
            "{}",
            "[]",
            r"[1,-0,0.5,1e5,-1.25E-10,12345678901234567890]",
            r#"{"a":[{}, [] ,{"b":null}]}"#,
            "true",
            r#""\u00e9\n\"\\\/\b\f\r\t""#,
            r#""\ud800""#,
            " \t\r\n[ true , false ] ",
            r#"{"":""}"#,
            "\"\u{7f}\u{e9}\u{1f600}\"",
        ] {
            assert!(accepts(text), "{text}");
            assert!(serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "{",
            "[",
            "[1",
            "[1,",
            "[,1]",
            "[1,]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "{1:2}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "tru",
            "nul",
            "truefalse",
            "[1}",
            r#"{"a":1]"#,
            "[]]",
            "{}{}",
            "\"a",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\u{1}\"",
            "\"\t\"",
            "NaN",
            "[1 2]",
            "'a'",
            "\u{feff}1",
            "\u{a0}1",
            "[[]",
            "{\"a\":{}",
        ] {
            assert!(!accepts(text), "{text}");
            assert!(serde_json::from_str::<IgnoredAny>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn levels_are_bounded() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for levels in [0, 1, 5, 127, 128] {
            let limit = u32::try_from(levels).unwrap();
            assert_eq!(Scanner::new(&nested(levels + 1)).value(limit), None, "{levels}");
            if levels > 0 {
                assert!(Scanner::new(&nested(levels)).value(limit).is_some(), "{levels}");
            }
        }
        assert_eq!(Scanner::new(&nested(100_000)).value(u32::MAX), None);
    }

    #[test]
    fn the_first_byte_that_is_not_ordinary_is_found_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 1, 0x1f] {
            for before in 0..40 {
                for after in [0, 1, 7, 30] {
                    let mut text = "\u{e9}a \u{7f}#![]".repeat(5).into_bytes();
                    text.truncate(before);
                    text.push(special);
                    text.resize(text.len() + after, b'"');
                    assert_eq!(plain_length(&text), before, "{special}");
                }
            }
        }
        assert_eq!(plain_length("\u{e9}\u{ff}\u{20}\u{7f}".repeat(9).as_bytes()), 54);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn it_agrees_with_serde_json_on_any_text(
            tokens in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"\\n\"", "\\", "\\u00e9", "0", "1", "-", ".", "e", "+", "true", "null",
                " ", "\t", "\r", "a", "\u{e9}", "\u{1}", "\"a\":1", "[1,2]", "{}", "1.5e3",
            ]), 0..12),
        ) {
            let text = tokens.concat();
            prop_assert_eq!(accepts(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn a_byte_changed_anywhere_is_judged_as_serde_json_does(at in 0_usize..120, byte in 0_u8..128) {
            let mut text = br#"{"a":[1,-2.5e10,"x\u00e9\n",{"b":null,"c":[true,false,{}]}], "d" : "some text that is longer than eight" }"#.to_vec();
            let at = at % text.len();
            text[at] = byte;
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(accepts(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
        }
    }
}
