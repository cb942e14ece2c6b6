//! The part of `docs/troubleshooting.md` that tests write: a section for each reason, in the order of `src/api/reason.rs`, with what
//! `kubectl describe` prints of a job that waits or ended for it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::reason::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::commands::root;
use crate::tenant::{PATIENCE, Tenant, condition};
use crate::until::until;

/// What is written here begins after this line.
const BEGIN: &str = "<!-- begin: written by tests/kubernetes/troubleshooting/page.rs -->\n";
const END: &str = "<!-- end -->\n";
/// The scheduler tells of every node, and other tests bring nodes and take them away.
const TOLD_DIFFERENTLY_EACH_TIME: &[Reason] = &[Reason::Unschedulable];

/// Tests of one process write one after the other.
static WRITING: Mutex<()> = Mutex::new(());

/// Waits until a job says this, and compares it with the page; with `WRITE_TROUBLESHOOTING=1` the page's section is written instead.
pub async fn shows(tenant: &Tenant, job: &str, condition: ConditionType, reason: Reason, what: &str) -> Condition {
    let told = tenant.until_reason(job, condition, reason.as_str()).await;
    let printed = section(tenant, reason, what, &told);
    if std::env::var_os("WRITE_TROUBLESHOOTING").is_some() {
        write_section(reason, &printed);
        return told;
    }
    let page = read();
    let shown = page.sections.get(&reason);
    let shown =
        shown.unwrap_or_else(|| panic!("docs/troubleshooting.md has no section {}:\n{printed}", reason.as_str()));
    assert_eq!(comparable(reason, shown), comparable(reason, &printed));
    told
}

/// What the condition says, as `kubectl describe` prints it.
fn section(tenant: &Tenant, reason: Reason, what: &str, told: &Condition) -> String {
    // The namespace is the test's.
    let message = in_one_line(&told.message)
        .replace(&tenant.namespace, "my-namespace")
        .replace("tests/my-namespace", "my-bucket");
    let mut section = format!("\n### {}\n\n{what}\n\n", reason.as_str());
    for (field, value) in [
        ("Message", message.as_str()),
        ("Reason", reason.as_str()),
        ("Status", &told.status),
        ("Type", &told.type_),
    ] {
        writeln!(section, "    {field}: {}{value}", " ".repeat(8 - field.len())).expect("a string");
    }
    section
}

/// That `kubectl describe` prints a condition so. What a message counts goes on while it is looked at.
pub async fn is_described(tenant: &Tenant, job: &str, kind: ConditionType) {
    until("kubectl describe prints the condition", PATIENCE, async || {
        let told = condition(&tenant.job(job).await, kind)?.clone();
        let described = tenant.kubectl(&["describe", "batchinferencejob", job]).await.ok()?;
        let has_reason = described.contains(&format!("Reason:                {}", told.reason));
        let has_message = in_one_line(&described).contains(&in_one_line(&told.message));
        (has_reason && has_message).then_some(())
    })
    .await;
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Page {
    before: String,
    sections: BTreeMap<Reason, String>,
    after: String,
}

fn path() -> PathBuf {
    root().join("docs/troubleshooting.md")
}

fn read() -> Page {
    let page = std::fs::read_to_string(path()).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("the beginning of what is made here");
    let (shown, after) = rest.split_once(END).expect("the end of what is made here");
    let sections = shown.split("\n### ").skip(1).map(|section| {
        let name = section.lines().next().unwrap_or_default();
        let reason = Reason::parse(name).unwrap_or_else(|| panic!("{name} is no reason"));
        (reason, format!("\n### {section}"))
    });
    Page {
        before: before.to_owned(),
        sections: sections.collect(),
        after: after.to_owned(),
    }
}

fn write_section(reason: Reason, section: &str) {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut page = read();
    page.sections.insert(reason, section.to_owned());
    let sections: String = page.sections.into_values().collect();
    let Page { before, after, .. } = page;
    std::fs::write(path(), format!("{before}{BEGIN}{sections}{END}{after}")).expect("a page that is written");
}

/// What is the same each time: words with a digit are times, counts, and names of pods and objects.
fn comparable(reason: Reason, section: &str) -> String {
    let section = section.replace(" once", " 1 times");
    let lines = section.lines().map(|line| match line.strip_prefix("    Message:") {
        Some(_) if TOLD_DIFFERENTLY_EACH_TIME.contains(&reason) => String::new(),
        Some(message) => message
            .split_whitespace()
            .map(without_numbers)
            .collect::<Vec<_>>()
            .join(" "),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn without_numbers(word: &str) -> &str {
    if word.contains(|c: char| c.is_ascii_digit()) {
        "N"
    } else {
        word
    }
}

#[test]
fn only_numbers_and_generated_names_may_differ() {
    let section = |message: &str| {
        comparable(
            Reason::ServerHung,
            &format!("\n### A\n\n    Message:  {message}\n    Reason:   A\n"),
        )
    };
    assert_eq!(
        section("pod job-server-64594c9f64-5kksd ended once"),
        section("pod job-server-7d-1 ended 2 times")
    );
    assert_ne!(section("pod a ended"), section("pod a is gone"));
}
