//! What a row asks of the server, in its body's `metadata.fake`: an object of strings.
//!
//! | key | what the server does |
//! | --- | --- |
//! | `status` | answers with this status, and an error body in the program's form |
//! | `times` | does so only the first N times that it receives the row, then answers as usual |
//! | `retry_after` | sends the header `Retry-After` with the status |
//! | `raw_body` | answers with exactly these bytes |
//! | `raw_body_base64` | the same, for bytes that are no text |
//! | `truncated` | `true`: answers with half of the body, as if that were all |
//! | `latency_ms` | takes so long; nothing is sent before, not even a header |
//! | `tokens_per_second` | meanwhile the metrics tell that so many tokens are made, without an end |
//! | `body_ms` | sends the headers at once, and the body in pieces over this time |
//! | `hold` | answers only when `POST /control/release/NAME` or `/control/release-all` was called |
//! | `close` | `true`: drops the connection in the middle of a body without a known length |
//! | `cut` | `fin` or `reset`: ends the connection so in the middle of a body whose length was told |
//! | `crash` | `true`: resets all connections, and nobody listens for a while (`FAKE_CRASH_SECONDS`) |
//!
//! `times` holds for `status`, `raw_body...`, `truncated`, `close`, `cut` and `crash`.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// How a connection ends in the middle of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Fin,
    Reset,
}

/// A row's wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub status: Option<StatusCode>,
    pub times: Option<u64>,
    pub retry_after: Option<HeaderValue>,
    pub raw_body: Option<Bytes>,
    pub truncated: bool,
    pub latency: Option<Duration>,
    pub tokens_per_second: Option<u64>,
    pub body: Option<Duration>,
    pub hold: Option<String>,
    pub close: bool,
    pub cut: Option<Cut>,
    pub crash: bool,
}

impl Script {
    /// Reads a request's wishes; an unknown key or a bad value is refused, so that a mistyped test fails.
    pub fn of(request: &Value) -> Result<Self, String> {
        let mut script = Self::default();
        let Some(wishes) = request.pointer("/metadata/fake") else {
            return Ok(script);
        };
        let wishes = wishes.as_object().ok_or("metadata.fake is not an object")?;
        for (key, value) in wishes {
            let value = value
                .as_str()
                .ok_or_else(|| format!("metadata.fake.{key} is not a string"))?;
            script.take(key, value)?;
        }
        Ok(script)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "status" => self.status = Some(parse(key, value)?),
            "times" => self.times = Some(parse(key, value)?),
            "retry_after" => self.retry_after = Some(parse(key, value)?),
            "raw_body" => self.raw_body = Some(value.to_owned().into()),
            "raw_body_base64" => self.raw_body = Some(decode(key, value)?),
            "truncated" => self.truncated = parse(key, value)?,
            "latency_ms" => self.latency = Some(Duration::from_millis(parse(key, value)?)),
            "tokens_per_second" => self.tokens_per_second = Some(parse(key, value)?),
            "body_ms" => self.body = Some(Duration::from_millis(parse(key, value)?)),
            "hold" => self.hold = Some(value.to_owned()),
            "close" => self.close = parse(key, value)?,
            "cut" => self.cut = Some(read_cut(key, value)?),
            "crash" => self.crash = parse(key, value)?,
            _ => return Err(format!("metadata.fake.{key} is not known")),
        }
        Ok(())
    }

    /// Whether the wishes for a bad answer hold for the Nth time that the row is received.
    pub fn applies(&self, received: u64) -> bool {
        self.times.is_none_or(|times| received <= times)
    }
}

fn parse<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| bad(key, value))
}

fn decode(key: &str, value: &str) -> Result<Bytes, String> {
    let bytes = BASE64_STANDARD.decode(value).map_err(|_| bad(key, value))?;
    Ok(bytes.into())
}

fn read_cut(key: &str, value: &str) -> Result<Cut, String> {
    match value {
        "fin" => Ok(Cut::Fin),
        "reset" => Ok(Cut::Reset),
        _ => Err(bad(key, value)),
    }
}

fn bad(key: &str, value: &str) -> String {
    format!("metadata.fake.{key} has the value {value:?}")
}
