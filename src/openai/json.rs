//! Looking at JSON text in place: members as slices of the text, what kind a value is, how deep it goes.

use std::fmt;

use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Characters of a text that a message shows.
const SHOWN: usize = 100;

/// Calls `on_member` with each member of the object `json`, in order, doubled keys too. The key has its escapes
/// resolved; the value is a slice of `json`, without the space around it.
///
/// # Errors
///
/// `json` is not one JSON object (RFC 8259). Members before the fault were already passed on.
pub(super) fn for_each_member<'a>(
    json: &'a str,
    on_member: impl FnMut(String, &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Members(on_member))?;
    deserializer.end()
}

struct Members<F>(F);

impl<'de, F: FnMut(String, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key()? {
            (self.0)(key, members.next_value()?);
        }
        Ok(())
    }
}

/// The byte offset of `part` in `whole`, of which it is a slice.
pub(crate) fn offset_in(whole: &str, part: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// How many arrays and objects are open at once at the deepest place of valid JSON.
pub(super) fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => _ = bytes.next(),
            b'"' => return,
            _ => {}
        }
    }
}

/// What a JSON value is, in words for a message: `the number 17`, `null`, `an array`.
pub(super) fn describe(value: &str) -> String {
    match value.trim_start().as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        Some(b'"') => format!("the string {}", shortened(value)),
        Some(b'-' | b'0'..=b'9') => format!("the number {}", shortened(value)),
        _ => shortened(value),
    }
}

/// A text fit for a message: its first 100 characters. Control characters, which would break the message's line or command the
/// terminal that shows it, are replaced.
pub(crate) fn shortened(text: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut short: String = text.chars().take(SHOWN).map(shown).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_slices_of_the_text_and_keys_are_unescaped() {
        let json = r#" { "a" : 1.0 , "mod\u0065l":"x", "a":[ 1 ]} "#;
        let mut seen = Vec::new();
        for_each_member(json, |key, value| {
            seen.push((key, offset_in(json, value.get()), value.get()));
        })
        .unwrap();
        let expected = [("a", 9, "1.0"), ("model", 28, "\"x\""), ("a", 37, "[ 1 ]")];
        assert_eq!(seen, expected.map(|(key, at, value)| (key.to_owned(), at, value)));
    }

    #[test]
    fn depth_does_not_count_brackets_in_strings() {
        assert_eq!(depth(br#"{"a\"[[[":"[[\\","b":[{}]}"#), 3);
        assert_eq!(depth(b"17"), 0);
    }

    #[test]
    fn a_message_keeps_its_line_whatever_it_quotes() {
        assert_eq!(shortened("a\nb\u{1b}[31m\u{9b}"), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
        assert_eq!(shortened(&"é".repeat(100)), "é".repeat(100));
        assert_eq!(shortened(&"é".repeat(101)), "é".repeat(100) + "...");
    }
}
