//! Lines of `results.jsonl` and `errors.jsonl` as they are, byte for byte: programs of users read them.

use bytes::Bytes;

use super::{CustomId, LineNumber, Outcome, ResponseBody, ResultLine, ResultRow, RowName, Usage};

const RESULTS: &str = include_str!("golden/results.jsonl");
const ERRORS: &str = include_str!("golden/errors.jsonl");

fn written(rows: &[(u64, Option<&str>, Outcome<'_>)]) -> String {
    let mut lines = Vec::new();
    for (number, custom_id, outcome) in rows {
        let custom_id = custom_id.map(|id| CustomId::try_from(id.to_owned()).unwrap());
        let row = ResultRow {
            id: &format!("batch_req_5d0f6a2c9b1e_{number}"),
            custom_id: custom_id.as_ref(),
            outcome: *outcome,
        };
        row.write_to(&mut lines);
        lines.push(b'\n');
    }
    String::from_utf8(lines).unwrap()
}

fn body(text: &'static str) -> ResponseBody {
    ResponseBody::new(Bytes::from_static(text.as_bytes()))
}

fn answered<'a>(status_code: u16, request_id: &'a str, body: &'a ResponseBody) -> Outcome<'a> {
    Outcome::Answered {
        status_code,
        request_id,
        body,
    }
}

#[test]
fn the_golden_lines_are_written_byte_for_byte() {
    let good = body(
        r#"{"choices":[{"message":{"content":"a\nb \u00e9"}}],"usage":{"prompt_tokens":9,"completion_tokens":4},"n": 1.0}"#,
    );
    let results = [(0, Some("row \"1\""), answered(200, "req_5d0f6a2c9b1e_1_0", &good))];
    assert_eq!(written(&results), RESULTS);

    let (refusal, page) = (body(r#"{"error":{"message":"too long"}}"#), body("<html>\n"));
    let late = Outcome::Unanswered {
        code: "request_timed_out",
        message: "no answer within 1800 s",
    };
    let invalid = Outcome::Invalid {
        line: LineNumber(7),
        message: "not JSON",
    };
    let errors = [
        (1, Some("refused"), answered(400, "req_5d0f6a2c9b1e_1_1", &refusal)),
        (2, Some("page"), answered(200, "req_5d0f6a2c9b1e_1_2", &page)),
        (3, Some("late"), late),
        (4, None, invalid),
    ];
    assert_eq!(written(&errors), ERRORS);
}

#[test]
fn the_golden_lines_are_read() {
    let read = |lines: &'static str| -> Vec<_> {
        let lines = lines.lines().map(|line| Bytes::from_static(line.as_bytes()));
        lines.map(|line| ResultLine::parse(&line).unwrap()).collect()
    };
    let named = |id: &str| RowName::CustomId(CustomId::try_from(id.to_owned()).unwrap());
    let [result] = &read(RESULTS)[..] else { panic!() };
    assert_eq!((&result.name, result.succeeded), (&named("row \"1\""), true));
    let usage = Usage {
        prompt_tokens: 9,
        completion_tokens: 4,
    };
    assert_eq!(result.usage, usage);
    let errors = read(ERRORS);
    assert!(errors.iter().all(|line| !line.succeeded));
    let found: Vec<_> = errors.into_iter().map(|line| line.name).collect();
    let invalid = RowName::InvalidLine(LineNumber(7));
    assert_eq!(found, [named("refused"), named("page"), named("late"), invalid]);
}
