//! Where data sets are that are only read: on a web server, or at a Hugging Face hub.

use std::fmt;
use std::net::Ipv4Addr;

use reqwest::Url;

use super::network::is_inside_cluster;
use super::uri::{Root, is_name};
use super::uri_error::UriError;

/// A web server: its scheme, host, and port if one is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Web(String);

/// A data set's repository at a hub, at a revision: `ORG/NAME` or `ORG/NAME@REVISION`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hub(String);

/// What a hub takes for the newest commit.
const NEWEST: &str = "main";

impl Web {
    pub(super) fn scheme(&self) -> &'static str {
        if self.0.starts_with("http://") { "http" } else { "https" }
    }

    /// The address of `key`, which is percent-encoded where it was written so.
    pub(super) fn url(&self, key: &str) -> Option<Url> {
        Url::parse(&format!("{self}/{key}")).ok()
    }
}

impl Hub {
    /// The address of the file `key` at a hub, as `hf_hub_url` of huggingface_hub makes it:
    /// <https://huggingface.co/docs/huggingface_hub/package_reference/file_download>
    pub(super) fn url(&self, endpoint: &str, key: &str) -> Option<Url> {
        let (repository, revision) = self.0.split_once('@').unwrap_or((&self.0, NEWEST));
        let endpoint = endpoint.trim_end_matches('/');
        let resolve = format!("{endpoint}/datasets/{repository}/resolve/{revision}");
        let mut url = Url::parse(&resolve).ok()?;
        url.path_segments_mut().ok()?.extend(key.split('/'));
        Some(url)
    }
}

impl fmt::Display for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf://datasets/{}", self.0)
    }
}

/// Takes `https://HOST/PATH` apart, and `http://` of servers inside the cluster: there, few have certificates.
pub(super) fn web(text: &str) -> Result<(Root, &str), UriError> {
    if let Some((uri, _)) = text.split_once(['?', '#']) {
        return Err(UriError::Query { uri: uri.to_owned() });
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
    if let Some((_, host)) = authority.rsplit_once('@') {
        let uri = format!("{scheme}://{host}/{key}");
        return Err(UriError::User { uri });
    }
    let web = Web(format!("{scheme}://{authority}"));
    // The parser would take the first part of the path for a host that is not there.
    let Some(url) = web.url(key).filter(|_| !authority.is_empty()) else {
        let (uri, host) = (text.to_owned(), authority.to_owned());
        return Err(UriError::BadHost { uri, host });
    };
    if scheme == "http" && (!is_inside_cluster(text) || is_link_local(&url)) {
        return Err(UriError::Plain { uri: text.to_owned() });
    }
    Ok((Root::Web(web), key))
}

/// Whether an address is one at which clouds tell machines what only these should know.
fn is_link_local(url: &Url) -> bool {
    let host = url.host_str().and_then(|host| host.parse::<Ipv4Addr>().ok());
    host.is_some_and(|ip| ip.is_link_local())
}

/// Takes `hf://datasets/ORG/NAME@REVISION/FILE` apart. A slash in a revision is written `%2F`, as huggingface_hub has it:
/// <https://huggingface.co/docs/huggingface_hub/guides/hf_file_system>
pub(super) fn hub(text: &str) -> Result<(Root, &str), UriError> {
    let taken = || {
        let rest = text.strip_prefix("hf://datasets/")?;
        let (organisation, rest) = rest.split_once('/')?;
        let (name, key) = rest.split_once('/')?;
        let repository = format!("{organisation}/{name}");
        let (name, revision) = name.split_once('@').unwrap_or((name, NEWEST));
        let named = is_name(organisation) && is_name(name) && is_revision(revision);
        named.then_some((Root::Hub(Hub(repository)), key))
    };
    taken().ok_or_else(|| UriError::NotOfHub { uri: text.to_owned() })
}

fn is_revision(text: &str) -> bool {
    is_name(&text.replace("%2F", "-").replace("%2f", "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreUri;

    fn hub_url(endpoint: &str, text: &str) -> String {
        let uri = StoreUri::parse_object(text).unwrap();
        let Root::Hub(hub) = uri.root() else {
            panic!("{uri:?}");
        };
        hub.url(endpoint, uri.key()).unwrap().to_string()
    }

    #[test]
    fn files_of_a_hub_are_addressed_as_its_own_client_does() {
        let endpoint = "https://huggingface.co";
        assert_eq!(
            hub_url(endpoint, "hf://datasets/org/set/data/rows.jsonl"),
            "https://huggingface.co/datasets/org/set/resolve/main/data/rows.jsonl"
        );
        assert_eq!(
            hub_url(
                "http://hub.svc:8080/hf/",
                "hf://datasets/org/set@refs%2Fpr%2F1/a b?.jsonl"
            ),
            "http://hub.svc:8080/hf/datasets/org/set/resolve/refs%2Fpr%2F1/a%20b%3F.jsonl"
        );
    }

    #[test]
    fn an_address_of_a_web_server_is_taken_as_it_is_written() {
        for (text, url) in [
            ("https://host:8443/a/rows.jsonl", "https://host:8443/a/rows.jsonl"),
            ("https://host/a%20b/r.jsonl", "https://host/a%20b/r.jsonl"),
            ("http://files.data.svc/r.jsonl", "http://files.data.svc/r.jsonl"),
        ] {
            let uri = StoreUri::parse_object(text).unwrap();
            let Root::Web(web) = uri.root() else {
                panic!("{uri:?}");
            };
            assert_eq!(web.url(uri.key()).unwrap().as_str(), url);
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn what_would_show_a_secret_or_be_read_on_the_way_is_refused_without_repeating_it() {
        let message = |text: &str| StoreUri::parse_object(text).unwrap_err().to_string();
        let signed = message("https://host/rows.jsonl?X-Amz-Signature=visible");
        assert!(signed.starts_with("`https://host/rows.jsonl`: a query"), "{signed}");
        let user = message("https://me:visible@host/rows.jsonl");
        assert!(user.contains("HTTP_USERNAME"), "{user}");
        assert!(!signed.contains("visible") && !user.contains("visible"));
        assert!(message("http://example.org/rows.jsonl").contains("write https://"));
        assert!(message("http://169.254.169.254/latest/rows.jsonl").contains("write https://"));
        assert!(message("https:///rows.jsonl").contains("is not the name of a host"));
    }

    #[test]
    fn only_files_of_data_sets_are_named_at_a_hub() {
        for text in [
            "hf://org/model/file",
            "hf://datasets/set/file",
            "hf://datasets/org/set@/file",
            "hf://datasets/o g/set/file",
        ] {
            let error = StoreUri::parse_object(text).unwrap_err();
            assert!(matches!(error, UriError::NotOfHub { .. }), "{error:?}");
        }
        let error = StoreUri::parse_object("hf://datasets/org/set/").unwrap_err();
        assert!(matches!(error, UriError::NoObject { .. }), "{error:?}");
    }
}
