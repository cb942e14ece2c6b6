//! Who a person is to a cloud, where no key says so: what a cloud gives its pods and CI jobs, and who is logged in here. Pure.
//!
//! Only what the clients of stores (`object_store` 0.14) read counts. They do not read the profiles of `~/.aws`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::storage::{Cloud, Root, StoreUri};

/// The file's path, for every Google client.
const GOOGLE_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Where another one has the key of a service account.
const GOOGLE_KEYS: [&str; 3] = [
    GOOGLE_FILE,
    "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
];
/// What `gcloud auth application-default login` writes into its folder:
/// <https://cloud.google.com/docs/authentication/application-default-credentials>
const GOOGLE_LOGIN: &str = "application_default_credentials.json";
/// The types of such files that the client reads.
const GOOGLE_TYPES: [&str; 2] = ["authorized_user", "service_account"];

/// Names that are an identity together: <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>
const OF_AWS: [&[&str]; 3] = [
    &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"],
    &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
    &[
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ],
];
/// <https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html>
const OF_AZURE: [&[&str]; 1] = [&["AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"]];

/// Whether variables hold an identity that the cloud of this store knows.
#[must_use]
pub fn has_cloud_identity(uri: &StoreUri, vars: &[(String, String)]) -> bool {
    let groups: &[&[&str]] = match uri.root() {
        Root::Bucket(Cloud::S3, _) => &OF_AWS,
        Root::Bucket(Cloud::Azure, _) => &OF_AZURE,
        // The path of a key or of a login is a key among others.
        _ => &[],
    };
    let is_set = |name: &&str| value(vars, name).is_some();
    groups.iter().any(|group| group.iter().all(is_set))
}

/// The variables, and where the login of gcloud is, if there is one and no key. `read` gives what is in a file.
#[must_use]
pub fn with_login(mut vars: Vec<(String, String)>, read: impl Fn(&Path) -> Option<String>) -> Vec<(String, String)> {
    if GOOGLE_KEYS.iter().any(|name| value(&vars, name).is_some()) {
        return vars;
    }
    let login = login_of_gcloud(&vars).filter(|path| read(path).is_some_and(|content| is_login(&content)));
    if let Some(path) = login.and_then(|path| path.into_os_string().into_string().ok()) {
        // Of two of a name, the later one counts.
        vars.push((GOOGLE_FILE.to_owned(), path));
    }
    vars
}

/// Its folder: <https://cloud.google.com/sdk/docs/configurations>
fn login_of_gcloud(vars: &[(String, String)]) -> Option<PathBuf> {
    let folder = match value(vars, "CLOUDSDK_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(value(vars, "HOME")?).join(".config/gcloud"),
    };
    Some(folder.join(GOOGLE_LOGIN))
}

fn is_login(content: &str) -> bool {
    #[derive(Deserialize)]
    struct Login {
        r#type: String,
    }
    let login: Option<Login> = serde_json::from_str(content).ok();
    login.is_some_and(|login| GOOGLE_TYPES.contains(&login.r#type.as_str()))
}

fn value<'a>(vars: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let mut values = vars.iter().filter(|(name, _)| name == wanted);
    let (_, value) = values.next_back()?;
    Some(value.as_str()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        vars.collect()
    }

    #[test]
    fn a_cloud_identity_says_who_asks_its_own_cloud_where_it_is_whole() {
        let role = ("AWS_ROLE_ARN", "arn:aws:iam::1:role/rows");
        let web = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
        let container = (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1/credentials",
        );
        let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token");
        let azure = [
            ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_TENANT_ID", "tenant"),
        ];
        for (uri, set, expected) in [
            ("s3://bucket/", &[web, role][..], true),
            ("s3://bucket/", &[web], false),
            ("s3://bucket/", &[("AWS_WEB_IDENTITY_TOKEN_FILE", ""), role], false),
            ("s3://bucket/", &[container, token], true),
            ("s3://bucket/", &[container], false),
            (
                "s3://bucket/",
                &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2")],
                true,
            ),
            // The client reads no profile.
            (
                "s3://bucket/",
                &[("AWS_PROFILE", "team"), ("AWS_REGION", "eu-west-1")],
                false,
            ),
            ("az://container/", &azure, true),
            ("az://container/", &azure[..2], false),
            ("az://container/", &[web, role], false),
            ("gs://bucket/", &[web, role], false),
        ] {
            let uri = StoreUri::parse_prefix(uri).unwrap();
            assert_eq!(has_cloud_identity(&uri, &vars(set)), expected, "{uri} {set:?}");
        }
    }

    #[test]
    fn the_login_of_gcloud_counts_where_there_is_no_key() {
        let (home, own) = (("HOME", "/home/jane"), ("CLOUDSDK_CONFIG", "/work/gcloud"));
        let in_home = "/home/jane/.config/gcloud/application_default_credentials.json";
        let in_own = "/work/gcloud/application_default_credentials.json";
        let user = r#"{"type": "authorized_user", "refresh_token": "visible"}"#;
        for (set, there, content, expected) in [
            (&[home][..], in_home, user, Some(in_home)),
            (&[home, own], in_own, user, Some(in_own)),
            (&[home, own], in_home, user, None),
            (&[home, ("CLOUDSDK_CONFIG", "")], in_home, user, Some(in_home)),
            (&[home, (GOOGLE_FILE, "")], in_home, user, Some(in_home)),
            (&[home, (GOOGLE_FILE, "/key.json")], in_home, user, Some("/key.json")),
            (&[home, ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}")], in_home, user, None),
            (&[home], in_home, r#"{"type": "external_account"}"#, None),
            (&[home], in_home, "", None),
            (&[], in_home, user, None),
        ] {
            let read = |path: &Path| (path == Path::new(there)).then(|| content.to_owned());
            let found = with_login(vars(set), read);
            assert_eq!(value(&found, GOOGLE_FILE), expected, "{set:?}");
        }
    }
}
