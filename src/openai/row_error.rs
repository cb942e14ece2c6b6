use super::Endpoint;

/// Why a line is not a request row. Each message says what is wrong and what to write instead; who shows it adds the
/// line number.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message above each variant says it better")]
pub enum RowError {
    #[error("byte {position} of the line is not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// From 1.
        position: usize,
    },
    #[error("not JSON: {reason} at column {column}")]
    NotJson {
        reason: String,
        /// In bytes, from 1.
        column: usize,
    },
    #[error("the JSON is not finished at the end of the line; write each row on one line")]
    Unfinished,
    #[error("the line is {found}; write one JSON object on each line")]
    NotAnObject { found: String },
    #[error("nested deeper than {limit} levels of arrays and objects; flatten it")]
    TooDeep { limit: u32 },
    #[error("more than {limit} fields; a row needs only custom_id, method, url and body")]
    TooManyFields { limit: usize },
    #[error("{field} is missing; add {}", .field.example())]
    Missing { field: Field },
    #[error("the field `{field}` stands twice; keep one of them")]
    Duplicate { field: String },
    #[error("custom_id is {found}; {}", custom_id_advice(.found))]
    CustomIdNotString { found: String },
    #[error("custom_id is empty; write a text that no other row has")]
    CustomIdEmpty,
    #[error("method is {found}; write \"POST\"")]
    Method { found: String },
    #[error("url is {found}; write one of {}", endpoints())]
    Url { found: String },
    #[error("body is {found}; write the request as an object: {{\"messages\": [...]}}")]
    BodyNotObject { found: String },
    #[error("body.model stands twice; keep one of them")]
    DuplicateModel,
    #[error("body.model is {found}; write a string, or leave it out for the base model")]
    ModelNotString { found: String },
    #[error("body.stream is {found}; set it to false or leave it out: a row has one answer")]
    Stream { found: String },
}

/// A field that every row has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// `custom_id`
    CustomId,
    /// `method`
    Method,
    /// `url`
    Url,
    /// `body`
    Body,
}

impl Field {
    fn example(self) -> &'static str {
        match self {
            Self::CustomId => r#"a text that no other row has: "custom_id": "row-1""#,
            Self::Method => r#""method": "POST""#,
            Self::Url => r#""url": "/v1/chat/completions""#,
            Self::Body => r#"the request: "body": {"messages": [...]}"#,
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::CustomId => "custom_id",
            Self::Method => "method",
            Self::Url => "url",
            Self::Body => "body",
        })
    }
}

impl RowError {
    /// A fault that `serde_json` found in a text that begins `offset` bytes into the line.
    pub(super) fn from_json(error: &serde_json::Error, offset: usize) -> Self {
        if error.is_eof() {
            return Self::Unfinished;
        }
        let message = error.to_string();
        // The place in `serde_json`'s own words counts lines within the row, of which there is one.
        let reason = message.split(" at line ").next().unwrap_or_default().to_owned();
        Self::NotJson {
            reason,
            column: offset + error.column(),
        }
    }
}

fn custom_id_advice(found: &str) -> String {
    match found.strip_prefix("the number ") {
        Some(number) => format!("write it as a string: \"{number}\""),
        None => "write a string that no other row has".to_owned(),
    }
}

fn endpoints() -> String {
    Endpoint::ALL.map(Endpoint::path).join(", ")
}
