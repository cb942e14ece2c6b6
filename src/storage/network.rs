//! How stores are talked to: patience, proxies, and what is inside the cluster.

use std::net::IpAddr;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

/// Long enough for a store to fail over and to be asked politely after a 503, short enough that a
/// real outage is told to the job's owner while he watches.
pub(super) const RETRY_FOR: Duration = Duration::from_secs(30);
/// With the backoff below, more than fit into [`RETRY_FOR`]: time is the bound that counts.
pub(super) const RETRIES: usize = 20;
pub(super) const FIRST_BACKOFF: Duration = Duration::from_millis(100);
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// A request without a byte of answer for this long has failed. It bounds silence, not transfers, so a
/// slow link may still take hours for a data set.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// `NO_PROXY` for everything: names and both kinds of addresses.
const EVERY_HOST: &str = "*,0.0.0.0/0,::/0";

/// Tries again for [`RETRY_FOR`] what a store answers with a failure that may pass.
pub(super) fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_BACKOFF,
            max_backoff: LONGEST_BACKOFF,
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    }
}

/// For a store at `endpoint`, or at its cloud.
pub(super) fn client_options(endpoint: Option<&str>) -> ClientOptions {
    let mut options = ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
        .with_connect_timeout(CONNECT);
    let Some(endpoint) = endpoint else {
        return options;
    };
    options = options.with_allow_http(endpoint.starts_with("http://"));
    if is_inside_cluster(endpoint) {
        // The client has no "no proxy" switch, but a proxy that is excluded everywhere keeps it from
        // taking one from the environment.
        options = options.with_proxy_url(endpoint).with_proxy_excludes(EVERY_HOST);
    }
    options
}

/// Whether a proxy for the way out of the cluster could not find this address.
#[must_use]
pub fn is_inside_cluster(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_unique_local() || ip.is_loopback(),
        Err(_) => {
            let suffix = host.rsplit_once('.').map(|(_, suffix)| suffix);
            suffix.is_none_or(|suffix| matches!(suffix, "svc" | "local" | "localhost"))
        }
    }
}

/// Proxies on the way out of the cluster, and the hosts that need none, as curl takes them from variables.
#[derive(Default)]
struct Proxies {
    http: String,
    https: String,
    no: String,
}

impl Proxies {
    fn of_environment() -> Self {
        let first = |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok());
        let of_scheme = |names| {
            first(names)
                .or_else(|| first(["ALL_PROXY", "all_proxy"]))
                .unwrap_or_default()
        };
        Self {
            http: of_scheme(["HTTP_PROXY", "http_proxy"]),
            https: of_scheme(["HTTPS_PROXY", "https_proxy"]),
            no: first(["NO_PROXY", "no_proxy"]).unwrap_or_default(),
        }
    }

    /// Decides anew at each address: a hub inside the cluster may send us on to the outside. reqwest heeds no `NO_PROXY` with that.
    fn into_proxy(self) -> reqwest::Proxy {
        let Self { http, https, no } = self;
        let matcher = Matcher::builder()
            .http(http.clone())
            .https(https.clone())
            .no(no)
            .build();
        reqwest::Proxy::custom(move |url| {
            let uri = url.as_str().parse().ok()?;
            if is_inside_cluster(url.as_str()) || matcher.intercept(&uri).is_none() {
                return None;
            }
            let proxy = if url.scheme() == "https" { &https } else { &http };
            Some(proxy.clone())
        })
    }
}

/// A client for the server at `url`, and for those that it sends us on to; from https:// on to https:// only.
///
/// # Errors
///
/// There is no certificate to trust anybody by.
pub(super) fn web_client(url: &reqwest::Url) -> reqwest::Result<reqwest::Client> {
    client_through(Proxies::of_environment(), url)
}

fn client_through(proxies: Proxies, url: &reqwest::Url) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .https_only(url.scheme() == "https")
        .proxy(proxies.into_proxy())
        .retry(reqwest::retry::never())
        .build()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;
    use crate::storage::loopback::serve;

    /// Says what it is asked for, as a proxy.
    async fn proxy() -> String {
        let router = Router::new().fallback(|request: Request| async move { format!("through {}", request.uri()) });
        format!("http://{}", serve(router).await)
    }

    #[tokio::test]
    async fn only_what_is_outside_goes_through_a_proxy_wherever_a_server_sends_us_on_to() {
        let http = proxy().await;
        let router = Router::new()
            .route("/out", get(|| async { Redirect::temporary("http://hub.invalid/file") }))
            .route("/in", get(|| async { "directly" }));
        let inside = format!("http://{}", serve(router).await);
        for (path, no, answer) in [
            ("/in", "", Some("directly")),
            ("/out", "", Some("through http://hub.invalid/file")),
            // There is no such host.
            ("/out", "invalid", None),
        ] {
            let url: reqwest::Url = format!("{inside}{path}").parse().unwrap();
            let proxies = Proxies {
                http: http.clone(),
                no: no.to_owned(),
                ..Proxies::default()
            };
            let client = client_through(proxies, &url).unwrap();
            let answered = match client.get(url).send().await {
                Ok(response) => Some(response.text().await.unwrap()),
                Err(_) => None,
            };
            assert_eq!(answered.as_deref(), answer, "{path} {no}");
        }
    }

    #[test]
    fn services_and_private_addresses_are_inside_the_cluster() {
        for inside in [
            "http://seaweedfs:8333",
            "http://minio.storage.svc:9000",
            "https://minio.storage.svc.cluster.local",
            "http://10.0.0.7:8333",
            "http://127.0.0.1:8333",
            "http://[fd00::1]:8333",
        ] {
            assert!(is_inside_cluster(inside), "{inside}");
        }
        for outside in ["https://s3.eu-west-1.amazonaws.com", "https://192.0.2.1"] {
            assert!(!is_inside_cluster(outside), "{outside}");
        }
    }
}
