//! Whether a store can be asked from this machine, or only from the cluster: it must know who asks, and it must be found.

use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::cli::environment::environment;
use crate::storage::{Cloud, Credentials, Root, Side, StoreUri, is_inside_cluster};

/// Resolvers ask again after five seconds (`resolv.conf(5)`).
const FOUND_WITHIN: Duration = Duration::from_secs(6);

/// Whether something here says who asks: a key, or an identity that a cloud gives its pods and CI jobs in their environment.
#[must_use]
pub fn is_somebody(credentials: &Credentials, uri: &StoreUri) -> bool {
    credentials.identify(uri) || has_web_identity(uri, environment())
}

/// <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>,
/// <https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html>
fn has_web_identity(uri: &StoreUri, vars: impl IntoIterator<Item = (String, String)>) -> bool {
    let names: &[&str] = match uri.root() {
        Root::Bucket(Cloud::S3, _) => &[
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ],
        Root::Bucket(Cloud::Azure, _) => &["AZURE_FEDERATED_TOKEN_FILE"],
        _ => &[],
    };
    let mut vars = vars.into_iter();
    vars.any(|(name, value)| names.contains(&name.as_str()) && !value.is_empty())
}

/// Whether the store is found. The address of a Secret may be a name that only the cluster knows; that of the environment is taken at its
/// word.
pub async fn is_found(side: Side, credentials: &Credentials, uri: &StoreUri) -> bool {
    match foreign_address(side, credentials, uri, environment()) {
        Some(address) if is_inside_cluster(&address) => resolves(&address).await,
        Some(_) | None => true,
    }
}

/// The address that the Secret gives, where the environment gives none.
fn foreign_address(
    side: Side,
    credentials: &Credentials,
    uri: &StoreUri,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Option<String> {
    if Credentials::of_person(side, vars).address(uri).is_some() {
        return None;
    }
    credentials.address(uri)
}

/// Services may have names here, too: by a VPN, or where this machine is a pod.
async fn resolves(address: &str) -> bool {
    let Some(host) = host_and_port(address) else {
        return true;
    };
    let found = timeout(FOUND_WITHIN, lookup_host(host)).await;
    found.is_ok_and(|found| found.is_ok())
}

fn host_and_port(address: &str) -> Option<(String, u16)> {
    let url = reqwest::Url::parse(address).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        vars.collect()
    }

    fn uri() -> StoreUri {
        StoreUri::parse_prefix("s3://bucket/run/").unwrap()
    }

    #[test]
    fn the_address_of_a_secret_counts_where_the_environment_has_none() {
        let (theirs, mine) = ("http://store.team.svc:9000", "http://127.0.0.1:9000");
        let secret = vars(&[("AWS_ENDPOINT_URL", theirs)]);
        for (own, expected) in [
            (vec![], Some(theirs)),
            (vec![("AWS_ACCESS_KEY_ID", "id")], Some(theirs)),
            (vec![("AWS_ENDPOINT_URL", mine)], None),
            (vec![("OUTPUT_AWS_ENDPOINT_URL_S3", mine)], None),
        ] {
            let credentials = Credentials::of_secret(Side::Output, secret.clone(), vars(&own));
            let address = foreign_address(Side::Output, &credentials, &uri(), vars(&own));
            assert_eq!(address.as_deref(), expected, "{own:?}");
        }
        let cloud = Credentials::of_secret(Side::Output, vars(&[("AWS_ACCESS_KEY_ID", "id")]), []);
        assert_eq!(foreign_address(Side::Output, &cloud, &uri(), []), None);
    }

    #[tokio::test]
    async fn a_name_of_the_cluster_is_not_found_here_and_loopback_is() {
        for (address, expected) in [
            ("http://store.no-such-namespace.invalid:9000", false),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
            ("no address", true),
        ] {
            assert_eq!(resolves(address).await, expected, "{address}");
        }
    }

    #[test]
    fn a_web_identity_says_who_asks_its_own_cloud() {
        let has = |uri: &str, name: &str, value: &str| {
            has_web_identity(&StoreUri::parse_prefix(uri).unwrap(), vars(&[(name, value)]))
        };
        assert!(has("s3://bucket/", "AWS_WEB_IDENTITY_TOKEN_FILE", "/token"));
        assert!(has("az://container/", "AZURE_FEDERATED_TOKEN_FILE", "/token"));
        assert!(!has("az://container/", "AWS_WEB_IDENTITY_TOKEN_FILE", "/token"));
        assert!(!has("s3://bucket/", "AWS_WEB_IDENTITY_TOKEN_FILE", ""));
        assert!(!has("s3://bucket/", "AWS_REGION", "eu-west-1"));
    }
}
