//! The clients of clouds, from their keys.

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};

use super::connection_string;
use super::credentials::{CredentialsError, Keys};
use super::network::{client_options, retry};

/// S3 servers that are not Amazon's rarely care for the region, and signing needs one.
const REGION_OF_ENDPOINTS: &str = "us-east-1";

/// No bucket can be opened with these keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum CloudError {
    /// They cannot work.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// They contradict each other.
    #[error(transparent)]
    Settings(#[from] object_store::Error),
}

/// A bucket of an S3.
pub(super) fn s3(bucket: &str, keys: &Keys) -> Result<AmazonS3, CloudError> {
    let endpoint = keys.endpoint();
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client_options(endpoint))
        .with_retry(retry())
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if endpoint.is_some() {
        builder = builder.with_region(REGION_OF_ENDPOINTS);
    }
    for (name, value) in keys.iter() {
        // As `AmazonS3Builder::from_env` reads them; a Secret may hold other keys too.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder.with_bucket_name(bucket).build()?)
}

/// Where the content of a key file of Google's is.
const GOOGLE_KEY: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";
/// The path of that file, for every Google client.
const GOOGLE_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// As every Google client has it, for which emulators ask nobody who he is.
const GOOGLE_EMULATOR: &str = "STORAGE_EMULATOR_HOST";

/// A bucket of Google Cloud Storage.
pub(super) fn google(bucket: &str, mut keys: Keys) -> Result<GoogleCloudStorage, CloudError> {
    take_google_key(&mut keys)?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(client_options(keys.endpoint()))
        .with_retry(retry());
    if let Some(endpoint) = keys.endpoint() {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    if keys.get(GOOGLE_EMULATOR).is_some() && keys.get(GOOGLE_KEY).is_none() {
        builder = builder.with_bearer_token("none");
    }
    for (name, value) in keys.iter() {
        // As `GoogleCloudStorageBuilder::from_env` reads them. The address is set already, without a slash at its end.
        match name.to_ascii_lowercase().parse() {
            Ok(GoogleConfigKey::BaseUrl) | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    Ok(builder.with_bucket_name(bucket).build()?)
}

/// Takes the content of a key file wherever it is put, and says what is wrong with one that the client cannot use. Of the kinds of
/// files that Google has, `object_store` 0.14 reads those of service accounts from memory.
fn take_google_key(keys: &mut Keys) -> Result<(), CredentialsError> {
    if let Some(file) = keys.get(GOOGLE_FILE).map(str::to_owned) {
        if file.starts_with('{') {
            keys.fill(GOOGLE_KEY, &file);
            keys.remove(GOOGLE_FILE);
        } else if keys.of_secret() {
            return Err(keys.bad_value(
                GOOGLE_FILE,
                "is a path, and a Secret brings no file to the feeder: put what the file holds under \
                 GOOGLE_APPLICATION_CREDENTIALS_JSON",
            ));
        }
    }
    let Some(key) = keys.get(GOOGLE_KEY) else {
        return Ok(());
    };
    let file: serde_json::Value = serde_json::from_str(key).unwrap_or_default();
    let kind = file["type"].as_str().unwrap_or("unknown");
    let complete = ["client_email", "private_key", "private_key_id"];
    if kind == "service_account" && complete.iter().all(|field| file[field].is_string()) {
        return Ok(());
    }
    Err(keys.bad_value(
        "GOOGLE_APPLICATION_CREDENTIALS_JSON (or GOOGLE_SERVICE_ACCOUNT_KEY)",
        format!(
            "is no key file of a service account, but of type `{kind}`: create a key (JSON) for a service account, or give \
             none and use workload identity (spec.feeder.serviceAccountName)"
        ),
    ))
}

const AZURE_CONNECTION: &str = "AZURE_STORAGE_CONNECTION_STRING";
const AZURE_ACCOUNT: &str = "AZURE_STORAGE_ACCOUNT_NAME";
const AZURE_KEY: &str = "AZURE_STORAGE_ACCOUNT_KEY";

/// A container of Azure Blob Storage.
pub(super) fn azure(container: &str, mut keys: Keys) -> Result<MicrosoftAzure, CloudError> {
    if let Some(text) = keys.get(AZURE_CONNECTION) {
        let parts = connection_string::parts(text).map_err(|what| keys.bad_value(AZURE_CONNECTION, what))?;
        for (name, value) in parts {
            keys.fill(name, &value);
        }
    }
    if keys.get(AZURE_ACCOUNT).is_none() {
        return Err(keys
            .missing(AZURE_ACCOUNT, "as az://CONTAINER does not say whose container it is")
            .into());
    }
    if keys.get(AZURE_KEY).is_some_and(|key| !connection_string::is_key(key)) {
        return Err(keys
            .bad_value(AZURE_KEY, "is not base64, as all of Azure's are: copy it anew")
            .into());
    }
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(client_options(keys.endpoint()))
        .with_retry(retry());
    for (name, value) in keys.iter() {
        // As `MicrosoftAzureBuilder::from_env` reads them. Workload identity names the authority with a slash at its end, and
        // `object_store` 0.14 adds another: https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html
        match name.to_ascii_lowercase().parse() {
            Ok(key @ AzureConfigKey::AuthorityHost) => builder = builder.with_config(key, value.trim_end_matches('/')),
            Ok(key) => builder = builder.with_config(key, value),
            Err(_) => {}
        }
    }
    Ok(builder.with_container_name(container).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::credentials::{AZURE, GOOGLE, S3};
    use crate::storage::{Credentials, Side};

    fn keys(kind: &'static crate::storage::credentials::Kind, vars: &[(&str, &str)]) -> Keys {
        let vars = vars
            .iter()
            .map(|(name, value)| (format!("OUTPUT_{name}"), (*value).to_owned()));
        Credentials::from_env(Side::Output, vars).keys(kind).unwrap()
    }

    fn refused_by_google(vars: &[(&str, &str)]) -> String {
        google("bucket", keys(&GOOGLE, vars)).unwrap_err().to_string()
    }

    fn refused_by_azure(vars: &[(&str, &str)]) -> String {
        azure("container", keys(&AZURE, vars)).unwrap_err().to_string()
    }

    #[test]
    fn a_key_of_google_that_is_no_service_accounts_is_refused_without_its_content() {
        let path = refused_by_google(&[("GOOGLE_APPLICATION_CREDENTIALS", "/secrets/visible.json")]);
        assert!(path.contains("GOOGLE_APPLICATION_CREDENTIALS that is a path"), "{path}");
        for (content, kind) in [
            (
                r#"{"type": "external_account", "audience": "visible"}"#,
                "external_account",
            ),
            ("visible", "unknown"),
            (
                r#"{"type": "service_account", "client_email": "visible"}"#,
                "service_account",
            ),
        ] {
            for name in ["GOOGLE_APPLICATION_CREDENTIALS_JSON", "GOOGLE_SERVICE_ACCOUNT_KEY"] {
                let error = refused_by_google(&[(name, content)]);
                assert!(error.contains(&format!("of type `{kind}`")), "{error}");
                assert!(!error.contains("visible"), "{error}");
            }
        }
    }

    #[test]
    fn a_key_of_google_is_found_also_where_its_path_is_expected() {
        let file = r#"{"type": "service_account", "client_email": "a", "private_key": "b", "private_key_id": "c"}"#;
        for name in ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS_JSON"] {
            let mut keys = keys(&GOOGLE, &[(name, file)]);
            take_google_key(&mut keys).unwrap();
            assert_eq!(keys.iter().collect::<Vec<_>>(), [(GOOGLE_KEY, file)]);
        }
    }

    #[tokio::test]
    async fn buckets_open_with_the_identity_of_the_pod() {
        google("bucket", keys(&GOOGLE, &[])).unwrap();
        azure("container", keys(&AZURE, &[("AZURE_STORAGE_ACCOUNT_NAME", "me")])).unwrap();
    }

    /// What a pod's service account gives, and no Secret.
    fn of_pod(kind: &'static crate::storage::credentials::Kind, vars: &[(&str, &str)]) -> Keys {
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Credentials::from_env(Side::Output, vars).keys(kind).unwrap()
    }

    #[test]
    fn the_role_of_a_service_account_on_eks_is_taken() {
        // As the webhook of IRSA sets them: https://github.com/aws/amazon-eks-pod-identity-webhook
        let irsa = of_pod(
            &S3,
            &[
                ("AWS_ROLE_ARN", "arn:aws:iam::1:role/rows"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks/token"),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_DEFAULT_REGION", "eu-west-1"),
                ("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
            ],
        );
        let opened = format!("{:?}", s3("bucket", &irsa).unwrap());
        for part in [
            "WebIdentityProvider",
            "arn:aws:iam::1:role/rows",
            "/var/run/secrets/eks/token",
            "https://sts.eu-west-1.amazonaws.com",
        ] {
            assert!(opened.contains(part), "{part}: {opened}");
        }
    }

    #[test]
    fn the_workload_identity_of_aks_is_taken() {
        // As its webhook sets them, the slash with them.
        let identity = of_pod(
            &AZURE,
            &[
                ("AZURE_STORAGE_ACCOUNT_NAME", "me"),
                ("AZURE_CLIENT_ID", "client"),
                ("AZURE_TENANT_ID", "tenant"),
                ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/token"),
                ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
            ],
        );
        let opened = format!("{:?}", azure("container", identity).unwrap());
        for part in [
            "WorkloadIdentityOAuthProvider",
            "https://login.microsoftonline.com/tenant/oauth2/v2.0/token",
            "/var/run/secrets/azure/tokens/token",
        ] {
            assert!(opened.contains(part), "{part}: {opened}");
        }
    }

    #[tokio::test]
    async fn a_pod_on_gke_asks_the_metadata_service() {
        let opened = format!("{:?}", google("bucket", of_pod(&GOOGLE, &[])).unwrap());
        assert!(opened.contains("InstanceCredentialProvider"), "{opened}");
    }

    #[test]
    fn a_container_without_an_account_cannot_be_found() {
        let error = refused_by_azure(&[("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")]);
        assert!(error.contains("has no AZURE_STORAGE_ACCOUNT_NAME: add it"), "{error}");
        let error = refused_by_azure(&[]);
        let want = "nothing says AZURE_STORAGE_ACCOUNT_NAME: name a Secret with it in spec.output.credentialsSecretRef, as az://";
        assert!(error.starts_with(want), "{error}");
        let text = "BlobEndpoint=https://me.blob.core.windows.net/;SharedAccessSignature=sv=2024&sig=x%3D";
        azure("container", keys(&AZURE, &[(AZURE_CONNECTION, text)])).unwrap();
    }

    #[test]
    fn what_is_cut_off_or_mixed_up_is_refused_by_name_and_not_repeated() {
        let account = ("AZURE_STORAGE_ACCOUNT_NAME", "me");
        let key = refused_by_azure(&[account, ("AZURE_STORAGE_KEY", "visible!")]);
        assert!(key.contains("AZURE_STORAGE_ACCOUNT_KEY that is not base64"), "{key}");
        let string = refused_by_azure(&[(AZURE_CONNECTION, "visible")]);
        assert!(
            string.contains("AZURE_STORAGE_CONNECTION_STRING that has a part"),
            "{string}"
        );
        assert!(!key.contains("visible") && !string.contains("visible"));
    }
}
