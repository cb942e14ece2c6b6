//! `spec.endpoint`: the client that knows its key, and whether anybody is there.

use std::convert::Infallible;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::time::{sleep, timeout};

use crate::api::BatchInferenceJob;
use crate::api::endpoint::EndpointSpec;
use crate::api::names::ENDPOINT_API_KEY_ENV;
use crate::api::reason::Reason;
use crate::api::wait::Wait;
use crate::engine::{EndpointUrl, StopReason};
use crate::storage::is_inside_cluster;

use super::report::{End, Place};
use super::reporter::Reporter;
use super::trouble::{Stop, chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A little less than the shortest time that servers keep an idle connection: uvicorn and cpp-httplib 5 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// An answer takes minutes, and what is on the way to an endpoint forgets connections on which nothing moves.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often it is looked whether the endpoint is there, while it is.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The same while it is not.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Somebody who is there says so within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// The client by which a job's servers are reached: their engines asked, or an endpoint's rows sent. `environment` has the endpoint's
/// key, which the client sends with each request.
///
/// # Errors
///
/// [`Stop`]: the key cannot be one, or there is no certificate to trust anybody by.
pub fn server_client(
    job: &BatchInferenceJob,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<reqwest::Client, Stop> {
    let client = match &job.spec.endpoint {
        // Pods are inside the cluster, where a proxy for the way out cannot reach them.
        None => reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1),
        Some(endpoint) => {
            let headers = headers(endpoint, environment).map_err(Stop::Ended)?;
            endpoint_client(endpoint).default_headers(headers)
        }
    };
    client
        .build()
        .map_err(|error| Stop::Restart(format!("no client to reach servers with: {}", chain(&error))))
}

fn endpoint_client(endpoint: &EndpointSpec) -> reqwest::ClientBuilder {
    let client = reqwest::Client::builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_keepalive(KEEPALIVE)
        // Rows, and the key, go where the job says and nowhere else.
        .redirect(reqwest::redirect::Policy::none())
        // The dispatch decides what is sent again.
        .retry(reqwest::retry::never());
    if is_inside_cluster(&endpoint.url) {
        return client.no_proxy();
    }
    client
}

/// The key as each request carries it; nothing where the job names none.
fn headers(endpoint: &EndpointSpec, environment: impl IntoIterator<Item = (String, String)>) -> Result<HeaderMap, End> {
    let mut headers = HeaderMap::new();
    let Some(reference) = &endpoint.api_key_secret_ref else {
        return Ok(headers);
    };
    let no_key = |problem: &str| {
        let message = format!(
            "key {} of Secret {}, which spec.endpoint.apiKeySecretRef names, {problem}: correct it and create the job again",
            reference.key, reference.name
        );
        End::new(Reason::EndpointAccessDenied, message)
    };
    let key = environment
        .into_iter()
        .find_map(|(name, value)| (name == ENDPOINT_API_KEY_ENV).then_some(value));
    // A Secret that was made from a file often ends with a line break.
    let key = key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| no_key("is empty"))?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))
        .map_err(|_| no_key("has characters that no HTTP header can have"))?;
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    Ok(headers)
}

/// The end of a job whose requests the endpoint refuses.
#[must_use]
pub fn access_denied(url: &EndpointUrl, why: StopReason) -> End {
    let StopReason::AccessDenied { status } = why;
    let message = format!(
        "{url} refuses requests with status {status}: correct the key in the Secret of spec.endpoint.apiKeySecretRef, or what it may \
         use, and create the job again; it goes on from the rows that are finished"
    );
    End::new(Reason::EndpointAccessDenied, message)
}

/// Says, for as long as rows are sent, when nobody is at the endpoint. Whatever it answers, it is there: what it thinks of rows, only
/// rows tell.
pub async fn follow_endpoint(
    client: &reqwest::Client,
    endpoint: Option<&EndpointUrl>,
    reporter: &Reporter,
) -> Infallible {
    let Some(url) = endpoint else {
        return std::future::pending().await;
    };
    loop {
        let pause = match look(client, url).await {
            Ok(()) => {
                reporter.update(|report| _ = report.waits.remove(&Place::Endpoint));
                LOOK_EVERY
            }
            Err(problem) => {
                tracing::warn!(%url, %problem, "the endpoint cannot be reached");
                let wait = Wait::new(
                    Reason::EndpointUnreachable,
                    format!("{url} cannot be reached: {problem}"),
                );
                reporter.update(|report| _ = report.waits.insert(Place::Endpoint, wait));
                LOOK_AGAIN
            }
        };
        sleep(pause).await;
    }
}

async fn look(client: &reqwest::Client, url: &EndpointUrl) -> Result<(), String> {
    let answer = timeout(ANSWERS_WITHIN, client.get(url.models()).send()).await;
    match answer {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(chain(&error.without_url())),
        Err(_) => Err(format!("no answer within {} s", ANSWERS_WITHIN.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(with_key: bool) -> EndpointSpec {
        let mut endpoint = json!({"url": "https://llm.example.com/v1", "model": "m"});
        if with_key {
            endpoint["apiKeySecretRef"] = json!({"name": "llm", "key": "api-key"});
        }
        serde_json::from_value(endpoint).expect("an endpoint")
    }

    fn headers_with(key: &str, endpoint: &EndpointSpec) -> Result<HeaderMap, End> {
        headers(endpoint, [(ENDPOINT_API_KEY_ENV.to_owned(), key.to_owned())])
    }

    #[test]
    fn the_key_goes_out_as_a_bearer_and_is_shown_to_nobody() {
        let sent = headers_with("visible\n", &endpoint(true)).expect("headers");
        assert_eq!(sent[AUTHORIZATION], "Bearer visible");
        assert!(!format!("{sent:?}").contains("visible"), "{sent:?}");
        assert!(headers_with("visible", &endpoint(false)).expect("headers").is_empty());
    }

    #[test]
    fn what_cannot_be_a_key_ends_the_job_by_the_name_of_its_secret() {
        for (key, problem) in [("", "is empty"), (" \n", "is empty"), ("visi\nble", "has characters")] {
            let end = headers_with(key, &endpoint(true)).expect_err("no key");
            assert_eq!(end.reason, Reason::EndpointAccessDenied);
            assert!(end.message.contains("key api-key of Secret llm"), "{}", end.message);
            assert!(end.message.contains(problem), "{}", end.message);
            assert!(!end.message.contains("visi"), "{}", end.message);
        }
        let end = headers(&endpoint(true), []).expect_err("no key");
        assert!(end.message.contains("is empty"), "{}", end.message);
    }
}
