//! The proxy between this machine and the API server. Pure.
//!
//! As kubectl has it (<https://pkg.go.dev/golang.org/x/net/http/httpproxy>): that of the cluster in the kubeconfig, else that of the
//! environment, which lets pass what `NO_PROXY` names, and this machine itself. The client's own choice compares `NO_PROXY` with the address
//! of the proxy.

use hyper::Uri;
use kube::config::Kubeconfig;

use crate::storage::{NoProxy, is_this_machine};

/// A proxy that cannot be used. What is wrong is not repeated: a password may be in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// No URL.
    #[error("it is no URL")]
    NoUrl,
    /// Of another kind.
    #[error("it begins with none of http://, https:// and socks5://")]
    OtherScheme,
}

/// The proxy that a kubeconfig names for the cluster of a context, or of its current one.
#[must_use]
pub fn of_kubeconfig(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let mut contexts = kubeconfig.contexts.iter();
    let context = contexts.find(|named| named.name == context)?.context.as_ref()?;
    let mut clusters = kubeconfig.clusters.iter();
    let cluster = clusters.find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|url| !url.is_empty())
}

/// The proxy to a server: that of its kubeconfig, else out of environment variables.
///
/// # Errors
///
/// [`ProxyError`].
pub fn find(
    of_kubeconfig: Option<String>,
    server: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, ProxyError> {
    let proxy = of_kubeconfig.or_else(|| of_environment(server, variable));
    proxy.map(|proxy| parse(&proxy)).transpose()
}

fn of_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let either = |upper: &str, lower: &str| {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        set(upper).or_else(|| set(lower))
    };
    let proxy = match server.scheme_str() {
        Some("http") => either("HTTP_PROXY", "http_proxy"),
        _ => either("HTTPS_PROXY", "https_proxy"),
    }?;
    let excluded = NoProxy::parse(&either("NO_PROXY", "no_proxy").unwrap_or_default());
    let is_here = server.host().is_some_and(is_this_machine);
    (!is_here && !excluded.has(server)).then_some(proxy)
}

/// One without a scheme is HTTP.
fn parse(text: &str) -> Result<Uri, ProxyError> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let uri: Uri = whole.parse().map_err(|_| ProxyError::NoUrl)?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5") => Ok(uri),
        _ => Err(ProxyError::OtherScheme),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(server: &str, vars: &[(&str, &str)]) -> Option<String> {
        let variable = |wanted: &str| {
            let found = vars.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        of_environment(&server.parse().unwrap(), variable)
    }

    #[test]
    fn no_proxy_is_compared_with_the_servers_address() {
        let server = "https://api.example.com:6443";
        for (server, excluded, expected) in [
            (server, "", true),
            (server, "proxy", true),
            (server, "example.com", false),
            (server, "api.example.com:6443", false),
            (server, "api.example.com:443", true),
            ("https://[fd00::1]:8443", "[fd00::1]:8443", false),
            ("https://10.1.2.3:6443", "10.0.0.0/8", false),
            ("https://127.0.0.1:6443", "", false),
            ("https://localhost:6443", "", false),
            ("https://[::1]:6443", "", false),
        ] {
            let found = of(server, &[("HTTPS_PROXY", "http://proxy:3128"), ("no_proxy", excluded)]);
            assert_eq!(found.is_some(), expected, "{server} {excluded}");
        }
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let vars = [("https_proxy", "secure"), ("HTTP_PROXY", "plain"), ("HTTPS_PROXY", "")];
        assert_eq!(of("https://api.example.com", &vars).as_deref(), Some("secure"));
        assert_eq!(of("http://api.example.com", &vars).as_deref(), Some("plain"));
        assert_eq!(of("https://api.example.com", &[]), None);
    }

    #[test]
    fn a_proxy_is_http_unless_it_says_so() {
        for (text, expected) in [
            ("proxy:3128", Ok("http://proxy:3128/")),
            ("http://jane:secret@proxy:3128", Ok("http://jane:secret@proxy:3128/")),
            ("socks5://proxy", Ok("socks5://proxy/")),
            ("ftp://proxy", Err(ProxyError::OtherScheme)),
            ("http://a b", Err(ProxyError::NoUrl)),
        ] {
            let parsed = parse(text).map(|uri| uri.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_cluster_has_a_proxy_of_its_own() {
        let kubeconfig = Kubeconfig::from_yaml(
            "current-context: a\n\
             contexts:\n- {name: a, context: {cluster: there, user: u}}\n- {name: b, context: {cluster: here, user: u}}\n\
             clusters:\n- {name: there, cluster: {server: 'https://there', proxy-url: 'http://proxy:3128'}}\n\
             - {name: here, cluster: {server: 'https://here', proxy-url: ''}}\n",
        )
        .unwrap();
        assert_eq!(of_kubeconfig(&kubeconfig, None).as_deref(), Some("http://proxy:3128"));
        assert_eq!(of_kubeconfig(&kubeconfig, Some("b")), None);
        assert_eq!(of_kubeconfig(&kubeconfig, Some("c")), None);
    }
}
