use kube::core::response::StatusDetails;

use super::*;

const ASKED: Asked<'_> = Asked {
    server: "https://api:6443",
    verb: "get",
    resource: "batchinferencejobs",
    namespace: Some("team"),
};

fn status(code: u16, reason: &str, kind: &str) -> Status {
    Status {
        details: Some(StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: kind.to_owned(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        }),
        ..Status::failure("its words", reason).with_code(code)
    }
}

#[test]
fn every_answer_says_what_to_do() {
    for (code, reason, kind, expected) in [
        (401, "Unauthorized", "", "log in again"),
        (
            403,
            "Forbidden",
            "",
            "you may not get batchinferencejobs in namespace `team`",
        ),
        (404, "Failed to parse error data", "", "install the operator's chart"),
        (404, "NotFound", "namespaces", "there is no namespace `team`: create it"),
        (409, "AlreadyExists", "", "choose another name"),
        (409, "Conflict", "", "try again (its words)"),
        (422, "Invalid", "", "refuses to get batchinferencejobs: its words"),
        (500, "InternalError", "", "https://api:6443 failed: its words"),
    ] {
        let error = kube::Error::Api(status(code, reason, kind).boxed());
        let said = ASKED.refused(&error).to_string();
        assert!(said.contains(expected), "{code} {reason}: {said}");
    }
}

#[test]
fn a_right_for_all_namespaces_is_asked_for_as_such() {
    let asked = Asked {
        namespace: None,
        ..ASKED
    };
    let error = kube::Error::Api(status(403, "Forbidden", "").boxed());
    assert!(asked.refused(&error).to_string().contains("in all namespaces"));
}

#[test]
fn a_quota_and_a_policy_are_no_missing_right() {
    for words in [
        "pods \"x\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5, limited: pods=5",
        "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
        "admission webhook \"policy.example\" denied the request: no",
    ] {
        let status = Status::failure(words, "Forbidden").with_code(403);
        let refusal = ASKED.refused(&kube::Error::Api(status.boxed()));
        assert!(
            matches!(&refusal, Refusal::Invalid { why, .. } if why == words),
            "{refusal}"
        );
    }
}

#[test]
fn a_name_that_makes_no_request_is_told_as_one() {
    let error = kube::Error::BuildRequest(kube::core::request::Error::Validation("a name cannot be empty".into()));
    let said = ASKED.refused(&error).to_string();
    assert!(
        said.contains("a name cannot be empty) is no name in Kubernetes"),
        "{said}"
    );
}

#[test]
fn a_server_that_does_not_answer_is_told_with_the_last_cause() {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let error = kube::Error::Service(Box::new(std::io::Error::other(refused)));
    let said = ASKED.refused(&error).to_string();
    assert!(said.contains("does not answer (connection refused)"), "{said}");
}

#[test]
fn a_watch_ends_by_what_does_not_pass() {
    let started = |code| watcher::Error::WatchStartFailed(kube::Error::Api(status(code, "X", "").boxed()));
    for (code, passes) in [
        (401, false),
        (403, false),
        (404, false),
        (410, true),
        (429, true),
        (500, true),
    ] {
        assert_eq!(ASKED.refused_watch(&started(code)).is_none(), passes, "{code}");
    }
    assert_eq!(ASKED.refused_watch(&watcher::Error::NoResourceVersion), None);
}

#[test]
fn a_job_that_is_elsewhere_is_told_with_its_namespace() {
    let said = |elsewhere: Option<&[&str]>| {
        Refusal::NoSuchJob {
            job: "x".into(),
            namespace: "team".into(),
            elsewhere: elsewhere.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        }
        .to_string()
    };
    assert!(said(None).ends_with("`team`: see `kubectl bij list`, or choose another -n NAMESPACE"));
    assert!(said(Some(&[])).contains("or any other"));
    assert!(said(Some(&["other"])).ends_with("add -n other"));
    assert!(said(Some(&["a", "b"])).contains("in a, b"));
}
