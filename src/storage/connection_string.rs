//! Azure's connection strings, as its portal gives them for copying:
//! <https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string>

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// What a string says of blobs, by the names of single keys.
///
/// # Errors
///
/// What is wrong with it, without its content.
pub(super) fn parts(text: &str) -> Result<Vec<(&'static str, String)>, &'static str> {
    let mut parts = Vec::new();
    let (mut account, mut suffix, mut protocol, mut endpoint) = (None, None, "https", None);
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part
            .split_once('=')
            .ok_or("has a part without `=`: copy it anew, in quotes, as it has semicolons")?;
        match name {
            "AccountName" => account = Some(value.to_owned()),
            "AccountKey" => parts.push(("AZURE_STORAGE_ACCOUNT_KEY", value.to_owned())),
            "SharedAccessSignature" => parts.push(("AZURE_STORAGE_SAS_TOKEN", value.to_owned())),
            "BlobEndpoint" => endpoint = Some(value.trim_end_matches('/').to_owned()),
            "EndpointSuffix" => suffix = Some(value),
            "DefaultEndpointsProtocol" => protocol = value,
            "UseDevelopmentStorage" => {
                return Err("means an emulator on this machine: give BlobEndpoint and the account's key");
            }
            // Those of queues, tables and files.
            _ => {}
        }
    }
    // A string with a signature names no account but in the address.
    let account = account.or_else(|| account_in(endpoint.as_deref()?));
    let of_suffix = || Some(format!("{protocol}://{}.blob.{}", account.as_ref()?, suffix?));
    let endpoint = endpoint.or_else(of_suffix);
    parts.extend(account.map(|account| ("AZURE_STORAGE_ACCOUNT_NAME", account)));
    parts.extend(endpoint.map(|endpoint| ("AZURE_STORAGE_ENDPOINT", endpoint)));
    Ok(parts)
}

/// The account of `https://ACCOUNT.blob.core.windows.net`.
fn account_in(endpoint: &str) -> Option<String> {
    let (_, host) = endpoint.split_once("://")?;
    let (account, _) = host.split_once('.')?;
    Some(account.to_owned())
}

/// Whether a text can be the key of an account.
pub(super) fn is_key(text: &str) -> bool {
    BASE64_STANDARD.decode(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_the_portal_is_its_account_key_and_address() {
        let text = "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=a2V5==;EndpointSuffix=core.windows.net";
        let want = [
            ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5=="),
            ("AZURE_STORAGE_ACCOUNT_NAME", "me"),
            ("AZURE_STORAGE_ENDPOINT", "https://me.blob.core.windows.net"),
        ];
        assert_eq!(parts(text).unwrap(), want.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn an_address_that_is_given_wins_over_the_suffix() {
        let text =
            "AccountName=me;EndpointSuffix=core.windows.net;BlobEndpoint=http://127.0.0.1:10000/me/;QueueEndpoint=x";
        let endpoints: Vec<_> = parts(text).unwrap().into_iter().skip(1).collect();
        assert_eq!(
            endpoints,
            [("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:10000/me".to_owned())]
        );
    }

    #[test]
    fn a_string_with_a_signature_names_the_account_in_its_address() {
        let text = "BlobEndpoint=https://me.blob.core.windows.net/;SharedAccessSignature=sv=2024&sig=x%3D";
        let want = [
            ("AZURE_STORAGE_SAS_TOKEN", "sv=2024&sig=x%3D"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "me"),
            ("AZURE_STORAGE_ENDPOINT", "https://me.blob.core.windows.net"),
        ];
        assert_eq!(parts(text).unwrap(), want.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn what_was_cut_off_is_refused_without_repeating_it() {
        assert!(
            parts("DefaultEndpointsProtocol=https;visible")
                .unwrap_err()
                .contains("without `=`")
        );
        assert!(parts("UseDevelopmentStorage=true").unwrap_err().contains("emulator"));
        assert!(is_key("a2V5") && !is_key("not a key"));
    }
}
