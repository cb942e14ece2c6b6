//! `Azurite` as an Azure Blob Storage on this machine's loopback.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use batch_inference_operator::storage::{Credentials, Side};
use sha2::{Digest, Sha256};

use crate::emulator::{Emulator, client};
use crate::ports::free_ports;

pub const CONTAINER: &str = "test-container";
const ACCOUNT: &str = "testaccount";
const KEY: &[u8] = b"the key of an account has 64 bytes, and this one has fewer";

pub struct Azurite {
    _emulator: Emulator,
    endpoint: String,
}

impl Azurite {
    /// Starts a server with [`CONTAINER`] in it.
    pub async fn start() -> Self {
        let [port] = free_ports();
        let data = tempfile::tempdir().unwrap();
        let key = BASE64_STANDARD.encode(KEY);
        let accounts = format!("{ACCOUNT}:{key}");
        let location = data.path().join("blobs");
        let arguments = [
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            &port.to_string(),
            "--location",
            location.to_str().unwrap(),
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ];
        let mut emulator = Emulator::start("azurite", &[("AZURITE_ACCOUNTS", &accounts)], arguments, data);
        let endpoint = format!("http://127.0.0.1:{port}/{ACCOUNT}");
        let client = client();
        emulator.ready(|| create_container(&client, &endpoint)).await;
        Self {
            _emulator: emulator,
            endpoint,
        }
    }

    /// The account and its key as a Secret has them.
    pub fn credentials(&self, side: Side) -> Credentials {
        self.credentials_with(side, &BASE64_STANDARD.encode(KEY))
    }

    /// The same with another key.
    pub fn credentials_with(&self, side: Side, key: &str) -> Credentials {
        let vars = [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", key),
            ("AZURE_STORAGE_ENDPOINT", &self.endpoint),
        ];
        Credentials::from_env(side, prefixed(side, &vars))
    }

    /// A token for [`CONTAINER`] with these permissions, in the order that Azure wants them in:
    /// <https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas>
    pub fn token(&self, side: Side, permissions: &str) -> Credentials {
        const EXPIRY: &str = "2099-01-01T00:00:00Z";
        const VERSION: &str = "2023-11-03";
        // Permissions, start, expiry, resource, identifier, address, protocol, version, kind, snapshot, encryption, and five headers.
        let signed =
            format!("{permissions}\n\n{EXPIRY}\n/blob/{ACCOUNT}/{CONTAINER}\n\n\n\n{VERSION}\nc\n\n\n\n\n\n\n");
        let signature = BASE64_STANDARD.encode(hmac_sha256(KEY, signed.as_bytes()));
        let mut url = reqwest::Url::parse(&self.endpoint).unwrap();
        url.query_pairs_mut().extend_pairs([
            ("sv", VERSION),
            ("sr", "c"),
            ("sp", permissions),
            ("se", EXPIRY),
            ("sig", signature.as_str()),
        ]);
        let vars = [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_SAS_TOKEN", url.query().unwrap()),
            ("AZURE_STORAGE_ENDPOINT", &self.endpoint),
        ];
        Credentials::from_env(side, prefixed(side, &vars))
    }

    /// All of it as the portal gives it for copying.
    pub fn connection_string(&self, side: Side) -> Credentials {
        let text = format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={};BlobEndpoint={};",
            BASE64_STANDARD.encode(KEY),
            self.endpoint
        );
        Credentials::from_env(side, prefixed(side, &[("AZURE_STORAGE_CONNECTION_STRING", &text)]))
    }
}

pub fn prefixed(side: Side, vars: &[(&str, &str)]) -> Vec<(String, String)> {
    let prefix = side.env_prefix();
    let vars = vars
        .iter()
        .map(|(name, value)| (format!("{prefix}{name}"), (*value).to_owned()));
    vars.collect()
}

/// Signed by the key: <https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-with-shared-key>
fn create_container(client: &reqwest::Client, endpoint: &str) -> reqwest::RequestBuilder {
    const VERSION: &str = "2023-11-03";
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let signed = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{VERSION}\n\
         /{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    );
    let signature = BASE64_STANDARD.encode(hmac_sha256(KEY, signed.as_bytes()));
    client
        .put(format!("{endpoint}/{CONTAINER}?restype=container"))
        .header("x-ms-date", date)
        .header("x-ms-version", VERSION)
        .header("content-length", 0)
        .header("authorization", format!("SharedKey {ACCOUNT}:{signature}"))
}

/// RFC 2104, for keys of at most 64 bytes.
fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}
