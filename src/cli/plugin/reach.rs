//! Whether a store can be asked from this machine, or only from the cluster: it must know who asks, and it must be found.

use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::identity::has_cloud_identity;
use crate::cli::environment::environment;
use crate::storage::{Credentials, Side, StoreUri, is_inside_cluster};

/// Resolvers ask again after five seconds (`resolv.conf(5)`).
const FOUND_WITHIN: Duration = Duration::from_secs(6);

/// Why a store is not asked from this machine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfReach {
    /// A person wants it so.
    #[error("as --via-cluster asks")]
    Wish,
    /// A claim can be mounted by pods only.
    #[error("as it is on a claim")]
    Claim,
    /// The Secret with the keys cannot be read here.
    #[error("as the Secret of its store cannot be read here")]
    NoSecret,
    /// No key, and no identity of a cloud. A pod may have one.
    #[error("as {} says who asks (which {advice} would)", nobody(.secret.as_deref()))]
    Nobody {
        /// The Secret that was read, if there is one.
        secret: Option<String>,
        /// Names of keys.
        advice: &'static str,
    },
    /// The address leads nowhere from here.
    #[error("as {address} is not found from here")]
    NotFound {
        /// That of the store.
        address: String,
    },
}

fn nobody(secret: Option<&str>) -> String {
    match secret {
        Some(secret) => format!("neither the environment nor the Secret {secret}"),
        None => "nothing in the environment".to_owned(),
    }
}

/// Whether something here says who asks: a key, or an identity that a cloud gives its pods and CI jobs in their environment.
#[must_use]
pub fn is_somebody(credentials: &Credentials, uri: &StoreUri) -> bool {
    credentials.identify(uri) || has_cloud_identity(uri, &environment().collect::<Vec<_>>())
}

/// Whether the store of a URI can be asked from here with these keys, for which a Secret may have been read.
///
/// # Errors
///
/// [`OutOfReach`].
pub async fn check_reach(
    side: Side,
    credentials: &Credentials,
    uri: &StoreUri,
    secret: Option<&str>,
) -> Result<(), OutOfReach> {
    if !is_somebody(credentials, uri) {
        return Err(OutOfReach::Nobody {
            secret: secret.map(str::to_owned),
            advice: Credentials::advice(uri),
        });
    }
    // The address of a Secret may be a name that only the cluster knows; that of the environment is taken at its word.
    match foreign_address(side, credentials, uri, environment()) {
        Some(address) if is_inside_cluster(&address) && !resolves(&address).await => {
            Err(OutOfReach::NotFound { address })
        }
        Some(_) | None => Ok(()),
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

    #[tokio::test]
    async fn why_a_store_is_not_asked_from_here_names_what_is_missing() {
        let place = vars(&[("AWS_ENDPOINT_URL", "https://s3.example")]);
        let credentials = Credentials::of_person_at(Side::Output, place, []);
        let told = async |secret| {
            let checked = check_reach(Side::Output, &credentials, &uri(), secret).await;
            checked.unwrap_err().to_string()
        };
        assert_eq!(
            told(Some("store-keys")).await,
            "as neither the environment nor the Secret store-keys says who asks (which AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY would)"
        );
        assert!(
            told(None)
                .await
                .starts_with("as nothing in the environment says who asks")
        );
        let inside = vars(&[
            ("AWS_ENDPOINT_URL", "http://store.no-such-namespace.svc:9000"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
        ]);
        let inside = Credentials::of_secret(Side::Output, inside, []);
        let address = "http://store.no-such-namespace.svc:9000".to_owned();
        assert_eq!(
            check_reach(Side::Output, &inside, &uri(), Some("store-keys")).await,
            Err(OutOfReach::NotFound { address })
        );
    }
}
