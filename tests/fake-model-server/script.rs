//! What a row asks of the server, in its body's `metadata.fake`: an object of strings.
//!
//! | key | what the server does |
//! | --- | --- |
//! | `status` | answers with this status, and an error body in the program's form |
//! | `times` | does so only the first N times that it receives the row, then answers as usual |
//! | `retry_after` | sends the header `Retry-After` with the status |
//! | `raw_body` | answers with exactly these bytes |
//! | `latency_ms` | takes so long |
//! | `hold` | answers only when `POST /control/release/NAME` or `/control/release-all` was called |
//! | `close` | `true`: drops the connection in the middle of the body |

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use serde_json::Value;

/// A row's wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub status: Option<StatusCode>,
    pub times: Option<u64>,
    pub retry_after: Option<HeaderValue>,
    pub raw_body: Option<String>,
    pub latency: Option<Duration>,
    pub hold: Option<String>,
    pub close: bool,
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
            "raw_body" => self.raw_body = Some(value.to_owned()),
            "latency_ms" => self.latency = Some(Duration::from_millis(parse(key, value)?)),
            "hold" => self.hold = Some(value.to_owned()),
            "close" => self.close = parse(key, value)?,
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
    value
        .parse()
        .map_err(|_| format!("metadata.fake.{key} has the value {value:?}"))
}
