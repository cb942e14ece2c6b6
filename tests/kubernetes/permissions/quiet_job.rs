//! How soon a job gives its servers back where nothing else runs, by the clocks of API server and store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audit::{OPERATOR, times};
use crate::job::Job;
use crate::s3_proxy::{Fault, S3Proxy, Which};
use crate::stages::in_flight;
use crate::tenant::Tenant;

/// What each step may take.
const WITHIN_MS: i64 = 1000;
/// Results are written for so long, so that the word that servers are not needed is told from the last one.
const WRITING: Duration = Duration::from_secs(3);

#[tokio::test]
async fn servers_of_a_quiet_job_go_within_a_second_of_the_word_and_that_within_a_second_of_the_last_row() {
    let (tenant, proxy) = Tenant::behind_proxy("quiet").await;
    proxy.fail(Which::puts().of("/results.jsonl"), Fault::Delay(WRITING));
    let rows = in_flight(&tenant, Job::new(&tenant, "job"), "job").await;
    tenant.release("job", "held").await;
    tenant.complete("job", &rows).await;

    let durable = last_segment(&proxy);
    let feeder = format!("system:serviceaccount:{}:job-feeder", tenant.namespace);
    let deleted = times(OPERATOR, "delete", "deployments", &tenant.namespace)[0].as_millisecond();
    let said = times(&feeder, "patch", "batchinferencejobs", &tenant.namespace);
    let said = said.iter().map(|at| at.as_millisecond());
    let mut said = said.filter(|at| (durable..=deleted).contains(at));
    let said = said.next_back().expect("a word of the feeder");
    let (word, deletion) = (said - durable, deleted - said);
    eprintln!("from the last row to the feeder's word {word} ms, from there to the deletion {deletion} ms");
    assert!((0..=WITHIN_MS).contains(&word), "{word}");
    assert!((0..=WITHIN_MS).contains(&deletion), "{deletion}");
}

/// When the store acknowledged the last segment, in milliseconds since 1970.
fn last_segment(proxy: &S3Proxy) -> i64 {
    let puts = proxy.answered().into_iter();
    let mut puts = puts.filter(|(request, _)| request.method == "PUT" && request.path().contains("/segments/"));
    let (_, at) = puts.next_back().expect("a segment");
    milliseconds(at)
}

fn milliseconds(at: SystemTime) -> i64 {
    let since_1970 = at.duration_since(UNIX_EPOCH).expect("a clock");
    i64::try_from(since_1970.as_millis()).expect("a time")
}
