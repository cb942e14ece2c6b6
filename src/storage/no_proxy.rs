//! `NO_PROXY`: the servers that no proxy is asked for. Pure.
//!
//! As Go's programs read it (<https://pkg.go.dev/golang.org/x/net/http/httpproxy>), kubectl for one: names with all below them, addresses,
//! networks, `*` for everything, each with a port (`host:8443`, `[::1]:8443`) or without.

use std::net::{IpAddr, Ipv6Addr};

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// Servers that are asked directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Excluded>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Excluded {
    /// A name, an address without brackets, or a network.
    host: String,
    /// Every one, without.
    port: Option<u16>,
}

impl NoProxy {
    /// Reads the variable's value, which has commas between its entries.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        Self(entries.map(Excluded::parse).collect())
    }

    /// Whether this server is one of them.
    #[must_use]
    pub fn has(&self, server: &Uri) -> bool {
        let port = port(server);
        let entries = self.0.iter();
        let entries = entries.filter(|entry| entry.port.is_none_or(|only| Some(only) == port));
        let hosts: Vec<_> = entries.map(|entry| entry.host.as_str()).collect();
        let every = Matcher::builder().all("http://proxy").no(hosts.join(",")).build();
        every.intercept(server).is_none()
    }
}

impl Excluded {
    fn parse(entry: &str) -> Self {
        let (host, port) = match entry.rsplit_once(':') {
            // What follows the last colon of an IPv6 address is no port.
            Some((host, port)) if !is_bare_ipv6(entry) => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => (entry, None),
            },
            _ => (entry, None),
        };
        let host = host.trim_matches(['[', ']']);
        Self {
            // To the matcher, only the dot means all below a domain.
            host: host
                .strip_prefix('*')
                .filter(|rest| !rest.is_empty())
                .unwrap_or(host)
                .to_owned(),
            port,
        }
    }
}

/// An address, or a network of them, without brackets.
fn is_bare_ipv6(entry: &str) -> bool {
    let address = entry.split_once('/').map_or(entry, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

fn port(server: &Uri) -> Option<u16> {
    server.port_u16().or_else(|| match server.scheme_str()? {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })
}

/// Whether a host is this machine, which no proxy could find.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_with_a_port_or_without() {
        let server = "https://api.example.com:6443";
        for (server, excluded, expected) in [
            (server, "", false),
            (server, "example.org", false),
            (server, "ample.com", false),
            (server, "example.com", true),
            (server, ".example.com", true),
            (server, "localhost, *.example.com,", true),
            (server, "*", true),
            (server, "api.example.com:6443", true),
            (server, "example.com:6443", true),
            (server, "*.example.com:6443", true),
            (server, "api.example.com:443", false),
            ("https://api.example.com", "api.example.com:443", true),
            ("http://api.example.com", "api.example.com:443", false),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", true),
            ("https://10.1.2.3:6443", "10.1.2.3:443", false),
            ("https://10.1.2.3:6443", "10.0.0.0/8", true),
            ("https://192.0.2.1", "10.0.0.0/8", false),
            ("https://[fd00::1]:8443", "fd00::1", true),
            ("https://[fd00::1]:8443", "[fd00::1]", true),
            ("https://[fd00::1]:8443", "[fd00::1]:8443", true),
            ("https://[fd00::1]:8443", "[fd00::1]:443", false),
            ("https://[fd00::1]:8443", "fd00::/8", true),
            ("https://[::1]:8443", "::1", true),
        ] {
            let has = NoProxy::parse(excluded).has(&server.parse().unwrap());
            assert_eq!(has, expected, "{server} {excluded}");
        }
    }

    #[test]
    fn this_machine_has_several_names() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("10.0.0.1", false),
            ("example.com", false),
        ] {
            assert_eq!(is_this_machine(host), expected, "{host}");
        }
    }
}
