use std::collections::BTreeMap;

use super::*;
use crate::api::status::AdapterStatus;
use crate::results::{ModelRows, Tokens};

fn adapter(name: &str, rows: u64, bad: Option<Bad>) -> Known {
    Known {
        name: name.into(),
        path: name.to_owned(),
        rows,
        revision: None,
        rank: None,
        bad,
    }
}

fn good(name: &str, rows: u64) -> Known {
    adapter(name, rows, None)
}

fn missing(name: &str, rows: u64) -> Known {
    adapter(name, rows, Some(Bad::not_found("no")))
}

#[test]
fn those_that_cannot_be_used_are_named_with_their_rows() {
    assert_eq!(in_words(&[good("a", 1)]), None);
    assert_eq!(
        in_words(&[missing("a", 1)]).as_deref(),
        Some("1 of 1 adapters cannot be used, in 1 row: `a` (1 row): no")
    );
    let adapters = [
        missing("b", 2),
        good("a", 1),
        missing("c", 30),
        missing("d", 4),
        missing("e", 1),
    ];
    assert_eq!(
        in_words(&adapters).as_deref(),
        Some(
            "4 of 5 adapters cannot be used, in 37 rows: `c` (30 rows): no; `d` (4 rows): no; `b` (2 rows): no; and 1 more"
        )
    );
}

#[test]
fn a_job_ends_by_an_adapter_where_its_spec_says_so_or_no_other_row_is_left() {
    use OnAdapterError::{FailJob, FailRows};
    let some = [missing("a", 2), good("b", 3)];
    let all = [missing("a", 2), missing("b", 3)];
    for (adapters, on_error, rows, ends) in [
        (&some[..], FailRows, 5, false),
        (&some, FailJob, 5, true),
        (&all, FailRows, 5, true),
        (&all, FailRows, 6, false),
        (&[good("b", 5)], FailJob, 5, false),
    ] {
        let end = end(adapters, on_error, rows);
        assert_eq!(end.is_some(), ends, "{adapters:?} {on_error:?} {rows}");
        if let Some(end) = end {
            assert_eq!(end.reason, Reason::AdapterNotFound);
            assert!(end.message.contains("`a` (2 rows): no"), "{}", end.message);
        }
    }
    let refused = [adapter("a", 5, Some(Bad::not_loaded("rank")))];
    let end = end(&refused, FailJob, 5).expect("an end");
    assert_eq!(end.reason, Reason::AdapterNotLoaded);
}

#[test]
fn a_server_has_only_so_many_from_its_start_on() {
    use AdapterSource::{Hub, Local, S3};
    let many: Vec<_> = (0..=MOST_AT_START).map(|number| good(&number.to_string(), 1)).collect();
    for (engine, source, adapters, is_refused) in [
        (Engine::LlamaCpp, Local, &many[..], true),
        (Engine::LlamaCpp, Local, &many[1..], false),
        (Engine::VLLM, S3, &many[..], true),
        (Engine::VLLM, Hub, &many[..], false),
        (Engine::LoRAX, S3, &many[..], false),
    ] {
        let end = too_many(engine, source, adapters);
        assert_eq!(end.is_some(), is_refused, "{engine} {source}");
    }
}

#[test]
fn the_status_lists_the_bad_and_those_with_most_rows_and_counts_what_is_finished() {
    let mut adapters: Vec<_> = (0..150).map(|rows| good(&format!("org/{rows}"), rows)).collect();
    adapters[149].rank = Some(16);
    adapters[7].bad = Some(Bad::not_found("no"));
    let mut status = told(&adapters);
    assert_eq!((status.count, status.max_rank), (149, Some(64)));
    assert_eq!(status.most_used.len(), 100);
    let names: Vec<_> = status.most_used.iter().map(|adapter| adapter.name.as_str()).collect();
    assert_eq!(names[..3], ["org/7", "org/149", "org/148"]);
    assert_eq!(status.most_used[0].error.as_deref(), Some("no"));
    assert_eq!(Bad::told(&status.most_used[0]), adapters[7].bad);
    assert_eq!(Bad::told(&status.most_used[1]), None);
    let before = status.clone();
    let counted = ModelRows {
        name: "org/149".into(),
        rows: 100,
        failed: 1,
        usage: Tokens {
            prompt_tokens: 7,
            completion_tokens: 3,
        },
    };
    count(&mut status, &BTreeMap::from([(counted.name.clone(), counted)]));
    let expected = AdapterStatus {
        completed: 100,
        failed: 1,
        prompt_tokens: 7,
        completion_tokens: 3,
        ..before.most_used[1].clone()
    };
    assert_eq!(status.most_used[1], expected);
    assert_eq!(status.without_progress(), before);
}

#[test]
fn of_two_adapters_that_lorax_would_keep_in_one_place_the_second_is_refused() {
    let at = |path: &str| Known {
        path: path.to_owned(),
        ..good(path, 1)
    };
    let paths = [
        "s3://a/loras/sql",
        "s3://a/loras/chat",
        "s3://b/loras/sql",
        "s3://a/loras--chat",
        "s3://a/loras/sql",
    ];
    let mut adapters = paths.map(at);
    refuse_taken_places(&mut adapters);
    let are_bad = adapters.each_ref().map(|adapter| adapter.bad.is_some());
    assert_eq!(are_bad, [false, false, true, true, false]);
    let bad = adapters[2].bad.as_ref().expect("it cannot be used");
    assert!(bad.message.contains("s3://a/loras/sql"), "{}", bad.message);
}

#[test]
fn a_token_is_shown_to_nobody() {
    let variable = |value: &str| [(ADAPTER_API_TOKEN_ENV.to_owned(), value.to_owned())];
    let token = ApiToken::find(variable("visible\n")).expect("a token");
    assert_eq!(token.as_str(), "visible");
    assert!(!format!("{token:?}").contains("visible"));
    assert!(ApiToken::find(variable(" \n")).is_none());
    assert!(ApiToken::find([]).is_none());
}
