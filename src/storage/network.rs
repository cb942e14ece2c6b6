//! How stores are talked to: patience, proxies, and what is inside the cluster.

use std::net::IpAddr;
use std::time::Duration;

use hyper::Uri;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::no_proxy::NoProxy;

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
    // The client reads `NO_PROXY` by itself, but knows no ports in it.
    if is_inside_cluster(endpoint) || Proxies::of_environment().exclude(endpoint) {
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
    no: NoProxy,
}

impl Proxies {
    fn of_environment() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// A variable that is empty is none: pods and shells take one away by that.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&str; 2]| {
            let mut values = names.into_iter().filter_map(&variable);
            values.find(|value| !value.is_empty())
        };
        let of_scheme = |names| {
            first(names)
                .or_else(|| first(["ALL_PROXY", "all_proxy"]))
                .unwrap_or_default()
        };
        Self {
            http: of_scheme(["HTTP_PROXY", "http_proxy"]),
            https: of_scheme(["HTTPS_PROXY", "https_proxy"]),
            no: NoProxy::parse(&first(["NO_PROXY", "no_proxy"]).unwrap_or_default()),
        }
    }

    /// Whether a server is to be asked without one.
    fn exclude(&self, url: &str) -> bool {
        url.parse().is_ok_and(|uri: Uri| self.no.has(&uri))
    }

    /// The one for a server outside the cluster.
    fn for_url(&self, url: &reqwest::Url) -> Option<String> {
        if is_inside_cluster(url.as_str()) || self.exclude(url.as_str()) {
            return None;
        }
        let proxy = match url.scheme() {
            "http" => &self.http,
            _ => &self.https,
        };
        Some(proxy.clone()).filter(|proxy| !proxy.is_empty())
    }

    /// Decides anew at each address: a hub inside the cluster may send us on to the outside. reqwest heeds no `NO_PROXY` with that.
    fn into_proxy(self) -> reqwest::Proxy {
        reqwest::Proxy::custom(move |url| self.for_url(url))
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
                no: NoProxy::parse(no),
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
    fn an_empty_variable_hides_no_other() {
        let https = |vars: &[(&str, &str)]| {
            let found = |wanted: &str| vars.iter().find(|(name, _)| *name == wanted);
            let proxies = Proxies::of(|name| found(name).map(|(_, value)| (*value).to_owned()));
            proxies.for_url(&"https://hub.example".parse().unwrap())
        };
        for (vars, expected) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", ""), ("ALL_PROXY", "http://all")], Some("http://all")),
            (&[("https_proxy", ""), ("all_proxy", "http://all")], Some("http://all")),
            (
                &[("HTTPS_PROXY", ""), ("https_proxy", "http://lower")],
                Some("http://lower"),
            ),
            (
                &[("HTTPS_PROXY", "http://upper"), ("ALL_PROXY", "http://all")],
                Some("http://upper"),
            ),
            (
                &[("ALL_PROXY", ""), ("all_proxy", "http://lower")],
                Some("http://lower"),
            ),
            (&[("HTTP_PROXY", "http://plain"), ("HTTPS_PROXY", "")], None),
            (
                &[
                    ("ALL_PROXY", "http://all"),
                    ("NO_PROXY", ""),
                    ("no_proxy", "hub.example:443"),
                ],
                None,
            ),
            (
                &[("ALL_PROXY", "http://all"), ("NO_PROXY", "hub.example:8443")],
                Some("http://all"),
            ),
        ] {
            assert_eq!(https(vars).as_deref(), expected, "{vars:?}");
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
