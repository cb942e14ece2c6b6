//! What each kind of store calls its keys. The names are those of its own SDKs and tools, so that a Secret that serves them serves
//! us.

use crate::storage::uri::{Cloud, Root, StoreUri};

/// The keys of one kind of store.
#[derive(Debug)]
pub struct Kind {
    /// What its keys begin with, or are.
    pub names: &'static [&'static str],
    /// Other names for keys, and the names that the code knows.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Any of these says who asks.
    pub identities: &'static [&'static str],
    /// Any of these says that nobody need say who asks, unless it is `false`.
    pub nobody: &'static [&'static str],
    /// The first is of no use without the second.
    pub needs: &'static [(&'static str, &'static str)],
    /// Those that hold an address.
    pub urls: &'static [&'static str],
    /// Those that say where a bucket is. Of each group, who gives one gives all.
    pub places: &'static [&'static [&'static str]],
    /// The one that says in which region a bucket is.
    pub region: Option<&'static str>,
    /// The one without which the store says that it does not have what is not for all.
    pub shown_to: Option<&'static str>,
    /// Those of the process that count beside an identity of the Secret, too: whoever installed the operator says where the store is.
    pub of_installation: &'static [&'static str],
    /// What to put into a Secret that says nothing of an identity; its first word is a key.
    pub advice: &'static str,
    /// What else may be wrong when the store refuses an identity.
    pub besides: &'static str,
    /// Whether a pod can have an identity without a Secret.
    pub of_pod: bool,
}

/// S3: <https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html>
pub static S3: Kind = Kind {
    names: &["AWS_"],
    aliases: &[],
    identities: &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    nobody: &["AWS_SKIP_SIGNATURE"],
    needs: &[
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
    ],
    urls: &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    places: &[
        &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
        &["AWS_REGION", "AWS_DEFAULT_REGION"],
    ],
    region: Some("AWS_REGION"),
    shown_to: None,
    of_installation: &[],
    advice: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    besides: "what that key may do",
    of_pod: true,
};

/// Google Cloud Storage. There is no common name for the content of a key file; `GOOGLE_SERVICE_ACCOUNT_KEY` is what `object_store`
/// and Delta Lake have. `STORAGE_EMULATOR_HOST` is every Google client's.
pub static GOOGLE: Kind = Kind {
    names: &["GOOGLE_", "STORAGE_EMULATOR_HOST"],
    aliases: &[("GOOGLE_APPLICATION_CREDENTIALS_JSON", "GOOGLE_SERVICE_ACCOUNT_KEY")],
    identities: &[
        "GOOGLE_APPLICATION_CREDENTIALS_JSON",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ],
    nobody: &["GOOGLE_SKIP_SIGNATURE", "STORAGE_EMULATOR_HOST"],
    needs: &[],
    urls: &["GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"],
    places: &[&["GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"]],
    region: None,
    shown_to: None,
    of_installation: &[],
    advice: "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    besides: "what that service account may do",
    of_pod: true,
};

/// Azure Blob Storage: the names of the Azure SDKs' `EnvironmentCredential` and those of the `az` tool:
/// <https://learn.microsoft.com/en-us/cli/azure/storage/blob>
pub static AZURE: Kind = Kind {
    names: &["AZURE_"],
    aliases: &[
        ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
    ],
    identities: &[
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_CLIENT_SECRET",
    ],
    nobody: &["AZURE_SKIP_SIGNATURE", "AZURE_STORAGE_USE_EMULATOR"],
    needs: &[
        ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID"),
        ("AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"),
    ],
    urls: &["AZURE_STORAGE_ENDPOINT"],
    // A connection string has both of the others.
    places: &[&[
        "AZURE_STORAGE_ENDPOINT",
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT",
        "AZURE_STORAGE_CONNECTION_STRING",
    ]],
    region: None,
    shown_to: None,
    of_installation: &[],
    advice: "AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_CONNECTION_STRING, or AZURE_CLIENT_ID with \
             AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
    besides: "the account, and what that identity may do",
    of_pod: true,
};

/// Web servers. `HTTP_` alone would take `HTTP_PROXY` for a key.
pub static WEB: Kind = Kind {
    names: &["HTTP_BEARER_TOKEN", "HTTP_USERNAME", "HTTP_PASSWORD"],
    aliases: &[],
    identities: &["HTTP_BEARER_TOKEN", "HTTP_USERNAME", "HTTP_PASSWORD"],
    nobody: &[],
    needs: &[("HTTP_USERNAME", "HTTP_PASSWORD"), ("HTTP_PASSWORD", "HTTP_USERNAME")],
    urls: &[],
    places: &[],
    region: None,
    shown_to: None,
    of_installation: &[],
    advice: "HTTP_BEARER_TOKEN, or HTTP_USERNAME and HTTP_PASSWORD",
    besides: "what it may read",
    of_pod: false,
};

/// Hugging Face hubs: <https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>
pub static HUB: Kind = Kind {
    names: &["HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN"],
    aliases: &[("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN")],
    identities: &["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"],
    nobody: &[],
    needs: &[],
    urls: &["HF_ENDPOINT"],
    places: &[],
    region: None,
    shown_to: Some("HF_TOKEN"),
    of_installation: &["HF_ENDPOINT"],
    advice: "HF_TOKEN",
    besides: "the name of the data set, and whether the token's owner has accepted its conditions",
    of_pod: false,
};

impl Kind {
    /// Every kind.
    pub const ALL: [&'static Self; 5] = [&S3, &GOOGLE, &AZURE, &WEB, &HUB];

    /// The kind of the store that a URI is of; a claim and a folder need no keys.
    pub fn of(uri: &StoreUri) -> Option<&'static Self> {
        match uri.root() {
            Root::Bucket(Cloud::S3, _) => Some(&S3),
            Root::Bucket(Cloud::Google, _) => Some(&GOOGLE),
            Root::Bucket(Cloud::Azure, _) => Some(&AZURE),
            Root::Web(_) => Some(&WEB),
            Root::Hub(_) => Some(&HUB),
            Root::Claim(_) | Root::ConfigMap(_) | Root::Folder(_) => None,
        }
    }

    /// Whether a variable is one of its keys.
    pub fn knows(&self, name: &str) -> bool {
        self.names.iter().any(|known| match known.strip_suffix('_') {
            Some(_) => name.starts_with(known),
            None => name == *known,
        })
    }
}
