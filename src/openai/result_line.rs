use bytes::Bytes;

use super::{
    CustomId, INVALID_ROW, LineNumber, ResponseBody, Usage,
    json::{describe, for_each_member},
};

/// A line of `results.jsonl` or `errors.jsonl`, read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResultLine {
    /// Which row it is of.
    pub name: RowName,
    /// Whether it is an answer of success: a status of 200 to 299, and no error.
    pub succeeded: bool,
    /// What the answer cost; zero without one.
    pub usage: Usage,
}

/// What tells which row a line is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowName {
    /// The request's own name.
    CustomId(CustomId),
    /// The line of the data set, of a row that is no good request: its `custom_id` may be missing, or another row's.
    InvalidLine(LineNumber),
}

/// A line is none that a job writes.
#[derive(Debug, thiserror::Error)]
pub enum ResultLineError {
    /// Other bytes than text.
    #[error("byte {position} of it is not UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        position: usize,
    },
    /// Not one JSON object.
    #[error("it is not a JSON object ({0})")]
    NotAnObject(#[from] serde_json::Error),
    /// A field is not there.
    #[error("it has no {field}")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field is twice there, so that readers may disagree.
    #[error("{field} stands twice in it")]
    Doubled {
        /// Its name.
        field: &'static str,
    },
    /// A field is something else.
    #[error("its {field} is {found}")]
    Wrong {
        /// Its name.
        field: &'static str,
        /// In words.
        found: String,
    },
}

type Value<'a> = Option<&'a str>;

impl ResultLine {
    /// Reads one line without its line break. Fields that it does not know are passed over.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the line.
    pub fn parse(line: &Bytes) -> Result<Self, ResultLineError> {
        let text = str::from_utf8(line).map_err(|error| ResultLineError::NotUtf8 {
            position: error.valid_up_to() + 1,
        })?;
        let [custom_id, response, error] = members(text, ["custom_id", "response", "error"])?;
        let custom_id = required("custom_id", custom_id)?;
        let response = required("response", response)?;
        let (status, usage) = match response {
            "null" => (None, Usage::default()),
            response => read_response(line, response)?,
        };
        let error = required("error", error)?;
        let succeeded = error == "null" && status.is_some_and(|status| (200..300).contains(&status));
        let name = match invalid_line(error)? {
            Some(line) => {
                check_unsent(custom_id, response)?;
                RowName::InvalidLine(line)
            }
            None => RowName::CustomId(parse_custom_id(custom_id)?),
        };
        Ok(Self { name, succeeded, usage })
    }
}

fn read_response(line: &Bytes, response: &str) -> Result<(Option<u16>, Usage), ResultLineError> {
    let [status, body] = members(response, ["status_code", "body"])?;
    let status = required("status_code", status)?;
    let code = status.parse().map_err(|_| wrong("status_code", status))?;
    let body = required("body", body)?;
    let usage = ResponseBody::new(line.slice_ref(body.as_bytes())).usage();
    Ok((Some(code), usage))
}

/// The line that an error names, as only the error of a row that is no good request does.
fn invalid_line(error: &str) -> Result<Option<LineNumber>, ResultLineError> {
    if !error.starts_with('{') {
        return Ok(None);
    }
    let [line, code] = members(error, ["line", "code"])?;
    let Some(line) = line else { return Ok(None) };
    let code = required("code", code)?;
    if serde_json::from_str::<String>(code).ok().as_deref() != Some(INVALID_ROW) {
        return Err(wrong("code", code));
    }
    let number = line.parse().map_err(|_| wrong("line", line))?;
    Ok(Some(LineNumber(number)))
}

/// A row that is no good request has no answer, and perhaps an id.
fn check_unsent(custom_id: &str, response: &str) -> Result<(), ResultLineError> {
    if response != "null" {
        return Err(wrong("response", response));
    }
    match custom_id {
        "null" => Ok(()),
        id => parse_custom_id(id).map(drop),
    }
}

/// The values of some members of an object, each at most once there.
fn members<'a, const N: usize>(json: &'a str, names: [&'static str; N]) -> Result<[Value<'a>; N], ResultLineError> {
    let mut values = [None; N];
    let mut doubled = None;
    for_each_member(json, |key, value| {
        let Some(place) = names.iter().position(|name| *name == key) else {
            return;
        };
        if values[place].replace(value.get()).is_some() {
            doubled = Some(names[place]);
        }
    })?;
    match doubled {
        Some(field) => Err(ResultLineError::Doubled { field }),
        None => Ok(values),
    }
}

fn required<'a>(field: &'static str, value: Value<'a>) -> Result<&'a str, ResultLineError> {
    value.ok_or(ResultLineError::Missing { field })
}

fn parse_custom_id(value: &str) -> Result<CustomId, ResultLineError> {
    serde_json::from_str(value).map_err(|_| wrong("custom_id", value))
}

fn wrong(field: &'static str, value: &str) -> ResultLineError {
    ResultLineError::Wrong {
        field,
        found: describe(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::{Outcome, ResultRow};

    fn parse(line: &str) -> Result<ResultLine, ResultLineError> {
        ResultLine::parse(&Bytes::copy_from_slice(line.as_bytes()))
    }

    fn written(outcome: Outcome<'_>) -> ResultLine {
        let custom_id = CustomId::try_from("a \"1\"".to_owned()).unwrap();
        let mut line = Vec::new();
        let row = ResultRow {
            id: "x",
            custom_id: Some(&custom_id),
            outcome,
        };
        row.write_to(&mut line);
        let read = ResultLine::parse(&line.into()).unwrap();
        assert_eq!(read.name, RowName::CustomId(custom_id));
        read
    }

    fn answered(status_code: u16, body: &'static str) -> ResultLine {
        let body = ResponseBody::new(Bytes::from_static(body.as_bytes()));
        written(Outcome::Answered {
            status_code,
            request_id: "r",
            body: &body,
        })
    }

    #[test]
    fn what_is_written_reads_back_with_its_tokens() {
        let body = r#" {"usage": {"prompt_tokens": 7, "completion_tokens": 5}} "#;
        let done = answered(200, body);
        assert!(done.succeeded);
        assert_eq!((done.usage.prompt_tokens, done.usage.completion_tokens), (7, 5));
        let failed = answered(400, body);
        assert!(!failed.succeeded);
        assert_eq!(failed.usage, done.usage);
        assert!(!answered(200, "<html>").succeeded);
        let unanswered = written(Outcome::Unanswered {
            code: "c",
            message: "m",
        });
        assert!(!unanswered.succeeded);
        assert_eq!(unanswered.usage, Usage::default());
    }

    #[test]
    fn an_invalid_row_is_named_by_its_line() {
        for custom_id in [None, Some(CustomId::try_from("a".to_owned()).unwrap())] {
            let mut line = Vec::new();
            let row = ResultRow {
                id: "x",
                custom_id: custom_id.as_ref(),
                outcome: Outcome::Invalid {
                    line: LineNumber(7),
                    message: "m",
                },
            };
            row.write_to(&mut line);
            let read = ResultLine::parse(&line.into()).unwrap();
            assert_eq!(
                (read.name, read.succeeded),
                (RowName::InvalidLine(LineNumber(7)), false)
            );
        }
    }

    #[test]
    fn each_refusal_says_what_is_wrong() {
        for (line, expected) in [
            ("", "it is not a JSON object"),
            (r#"{"custom_id":"a","resp"#, "it is not a JSON object"),
            ("[]", "it is not a JSON object"),
            (r#"{"response":null,"error":null}"#, "it has no custom_id"),
            (r#"{"custom_id":"a","error":null}"#, "it has no response"),
            (
                r#"{"custom_id":17,"response":null,"error":null}"#,
                "its custom_id is the number 17",
            ),
            (r#"{"custom_id":"a","custom_id":"b"}"#, "custom_id stands twice in it"),
            (
                r#"{"custom_id":null,"response":null,"error":{"code":"c"}}"#,
                "its custom_id is null",
            ),
            (
                r#"{"custom_id":null,"response":null,"error":{"code":"invalid_row","line":"7"}}"#,
                r#"its line is the string "7""#,
            ),
            (
                r#"{"custom_id":null,"response":null,"error":{"line":7}}"#,
                "it has no code",
            ),
            (
                r#"{"custom_id":null,"response":null,"error":{"code":"c","line":7}}"#,
                r#"its code is the string "c""#,
            ),
            (
                r#"{"custom_id":7,"response":null,"error":{"code":"invalid_row","line":7}}"#,
                "its custom_id is the number 7",
            ),
            (
                r#"{"custom_id":"a","response":{"status_code":200,"body":{}},"error":{"code":"invalid_row","line":7}}"#,
                "its response is an object",
            ),
            (
                r#"{"custom_id":"a","response":{"status_code":"200","body":{}},"error":null}"#,
                r#"its status_code is the string "200""#,
            ),
        ] {
            let message = parse(line).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        let error = ResultLine::parse(&Bytes::from_static(b"{\xff")).unwrap_err();
        assert_eq!(error.to_string(), "byte 2 of it is not UTF-8");
    }
}
