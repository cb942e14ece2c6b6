use super::*;

fn output(vars: &[(&str, &str)]) -> Credentials {
    let vars = vars.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    Credentials::from_env(Side::Output, vars)
}

fn of_person(vars: &[(&str, &str)]) -> Credentials {
    let vars = vars.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    Credentials::of_person(Side::Output, vars)
}

fn refusal(kind: &'static Kind, vars: &[(&str, &str)]) -> String {
    match output(vars).keys(kind) {
        Ok(_) => panic!("{vars:?} are taken"),
        Err(error) => error.to_string(),
    }
}

fn hint(kind: &'static Kind, vars: &[(&str, &str)]) -> String {
    output(vars).keys(kind).unwrap().hint().to_string()
}

#[test]
fn a_secret_of_one_side_hides_the_other_and_the_process() {
    let keys = output(&[
        ("OUTPUT_AWS_ACCESS_KEY_ID", "id\n"),
        ("OUTPUT_AWS_SECRET_ACCESS_KEY", "secret"),
        ("DATASET_AWS_SESSION_TOKEN", "theirs"),
        ("AWS_SESSION_TOKEN", "ours"),
    ])
    .keys(&S3)
    .unwrap();
    let values: Vec<_> = keys.iter().collect();
    assert_eq!(
        values,
        [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")]
    );
}

/// Where the hub is, whoever installed the operator says for everybody; a Secret may know another one.
#[test]
fn the_hub_of_the_installation_counts_beside_a_token() {
    let endpoint = |vars: &[(&str, &str)]| output(vars).keys(&HUB).unwrap().endpoint().map(str::to_owned);
    let (token, installed) = (("OUTPUT_HF_TOKEN", "token"), ("HF_ENDPOINT", "https://hub.example"));
    let ours = ("OUTPUT_HF_ENDPOINT", "https://other.example");
    assert_eq!(endpoint(&[token, installed]).as_deref(), Some("https://hub.example"));
    assert_eq!(
        endpoint(&[token, installed, ours]).as_deref(),
        Some("https://other.example")
    );
    let keys = output(&[token, installed, ("HF_TOKEN", "of the process")])
        .keys(&HUB)
        .unwrap();
    assert_eq!(keys.get("HF_TOKEN"), Some("token"));
}

#[test]
fn the_process_identity_serves_what_a_secret_says_of_the_place() {
    let keys = output(&[
        ("OUTPUT_AWS_ENDPOINT_URL", "https://s3.example.org"),
        ("AWS_ENDPOINT_URL", "https://other.example.org"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ACCESS_KEY_ID", ""),
    ])
    .keys(&S3)
    .unwrap();
    assert_eq!(keys.endpoint(), Some("https://s3.example.org"));
    assert_eq!(keys.iter().count(), 2);
    assert!(keys.hint().contains("own identity"));
    let keys = output(&[
        ("OUTPUT_AZURE_STORAGE_ACCOUNT", "me"),
        ("AZURE_CLIENT_ID", "id"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
    ])
    .keys(&AZURE)
    .unwrap();
    assert_eq!(keys.get("AZURE_STORAGE_ACCOUNT_NAME"), Some("me"));
    assert_eq!(keys.get("AZURE_FEDERATED_TOKEN_FILE"), Some("/token"));
}

#[test]
fn each_store_has_its_own_keys_and_no_others() {
    let all = output(&[
        ("OUTPUT_AWS_REGION", "eu-west-1"),
        ("OUTPUT_GOOGLE_SERVICE_ACCOUNT_KEY", "{}"),
        ("OUTPUT_AZURE_STORAGE_KEY", "a2V5"),
        ("OUTPUT_HTTP_BEARER_TOKEN", "token"),
        ("OUTPUT_HTTP_PROXY", "http://proxy"),
        ("OUTPUT_HUGGING_FACE_HUB_TOKEN", "hub"),
        ("HTTP_PROXY", "http://proxy"),
    ]);
    for (kind, want) in [
        (&S3, ("AWS_REGION", "eu-west-1")),
        (&GOOGLE, ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}")),
        (&AZURE, ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")),
        (&WEB, ("HTTP_BEARER_TOKEN", "token")),
        (&HUB, ("HF_TOKEN", "hub")),
    ] {
        let keys = all.keys(kind).unwrap();
        assert_eq!(keys.iter().collect::<Vec<_>>(), [want]);
    }
}

#[test]
fn the_special_endpoint_wins() {
    let keys = output(&[
        ("OUTPUT_AWS_ENDPOINT_URL", "http://a:1"),
        ("OUTPUT_AWS_ENDPOINT_URL_S3", "http://b:2"),
    ])
    .keys(&S3);
    assert_eq!(keys.unwrap().endpoint(), Some("http://b:2"));
}

#[test]
fn half_a_key_and_a_bad_endpoint_are_refused_by_name() {
    const SECRET: &str = "the Secret of spec.output.credentialsSecretRef has";
    type Case = (&'static Kind, &'static [(&'static str, &'static str)], &'static str);
    let cases: [Case; 8] = [
        (
            &S3,
            &[("OUTPUT_AWS_ACCESS_KEY_ID", "id")],
            "AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY: add it",
        ),
        (
            &S3,
            &[("OUTPUT_AWS_ENDPOINT_URL", "seaweedfs:8333")],
            "AWS_ENDPOINT_URL that is not an http:// or https:// URL",
        ),
        (
            &AZURE,
            &[("OUTPUT_AZURE_CLIENT_SECRET", "x"), ("OUTPUT_AZURE_CLIENT_ID", "id")],
            "AZURE_CLIENT_SECRET but no AZURE_TENANT_ID: add it",
        ),
        (
            &GOOGLE,
            &[("OUTPUT_STORAGE_EMULATOR_HOST", "fake:4443")],
            "STORAGE_EMULATOR_HOST that is not an http:// or https:// URL",
        ),
        (
            &WEB,
            &[("OUTPUT_HTTP_USERNAME", "me")],
            "HTTP_USERNAME but no HTTP_PASSWORD: add it",
        ),
        (
            &HUB,
            &[("OUTPUT_HF_ENDPOINT", "hub")],
            "HF_ENDPOINT that is not an http:// or https:// URL",
        ),
        (
            &HUB,
            &[("OUTPUT_HF_ENDPOINT", "https://user:secret@hub.example")],
            "HF_ENDPOINT with a user or password in it, which messages would show: write the address without",
        ),
        (
            &HUB,
            &[("OUTPUT_HF_ENDPOINT", "https://secret@hub.example/mirror")],
            "HF_ENDPOINT with a user or password in it, which messages would show: write the address without",
        ),
    ];
    for (kind, vars, want) in cases {
        assert_eq!(refusal(kind, vars), format!("{SECRET} {want}"));
    }
}

#[test]
fn a_refusal_of_a_store_names_the_keys_that_were_given() {
    let given = [
        ("OUTPUT_AWS_ACCESS_KEY_ID", "id"),
        ("OUTPUT_AWS_SECRET_ACCESS_KEY", "x"),
        ("OUTPUT_AZURE_STORAGE_KEY", "a2V5"),
        ("OUTPUT_GOOGLE_APPLICATION_CREDENTIALS_JSON", "{}"),
        ("OUTPUT_HTTP_BEARER_TOKEN", "token"),
        ("OUTPUT_HF_TOKEN", "token"),
    ];
    for (kind, names) in [
        (&S3, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (&AZURE, "AZURE_STORAGE_KEY"),
        (&GOOGLE, "GOOGLE_APPLICATION_CREDENTIALS_JSON"),
        (&WEB, "HTTP_BEARER_TOKEN"),
        (&HUB, "HF_TOKEN"),
    ] {
        let want = format!("check {names} in the Secret of spec.output.credentialsSecretRef, and ");
        assert!(hint(kind, &given).starts_with(&want), "{}", hint(kind, &given));
    }
    for kind in [&S3, &GOOGLE, &AZURE] {
        let hint = hint(kind, &[]);
        assert!(hint.contains("so the feeder's own identity was used"), "{hint}");
    }
    assert_eq!(
        hint(&HUB, &[]),
        "no HF_TOKEN was given by spec.output.credentialsSecretRef: name a Secret with HF_TOKEN there"
    );
}

#[test]
fn the_default_store_says_where_it_is_and_is_called_by_its_name() {
    let of = |vars: &[(&str, &str)]| {
        let vars = vars.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Credentials::of_default_store(Side::Output, vars.collect::<Vec<_>>())
    };
    let place = ("OUTPUT_uri", "s3://bucket/prefix/");
    let key = ("OUTPUT_AWS_ACCESS_KEY_ID", "id");
    let secret = ("OUTPUT_AWS_SECRET_ACCESS_KEY", "secret");
    let (credentials, uri) = of(&[place, key, secret]).unwrap();
    assert_eq!(uri, place.1);
    let keys = credentials.keys(&S3).unwrap();
    assert!(keys.of_secret());
    let want = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the Secret batch-inference-store, and ";
    assert!(keys.hint().starts_with(want), "{}", keys.hint());
    let (credentials, _) = of(&[place]).unwrap();
    let hint = credentials.keys(&S3).unwrap().hint();
    let want = "no AWS_ACCESS_KEY_ID was given by the Secret batch-inference-store, so the feeder's own identity was used: \
                add AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to it, or allow its service account";
    assert_eq!(&*hint, want);
    let (credentials, _) = of(&[place, key]).unwrap();
    let half = credentials.keys(&S3).err().unwrap().to_string();
    let want = "the Secret batch-inference-store has AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY: add it";
    assert_eq!(half, want);
    let missing = of(&[key, secret]).unwrap_err().to_string();
    assert!(
        missing.starts_with("the Secret batch-inference-store has no uri: add it, as s3://"),
        "{missing}"
    );
}

#[test]
fn where_to_set_a_region_depends_on_who_gave_the_keys() {
    let redirect = object_store::Error::Generic {
        store: "S3",
        source: "Received redirect without LOCATION".into(),
    };
    let remedy = |credentials: Credentials| credentials.keys(&S3).unwrap().hints().region(&redirect).unwrap();
    let id = ("OUTPUT_AWS_ACCESS_KEY_ID", "id");
    let secret = ("OUTPUT_AWS_SECRET_ACCESS_KEY", "secret");
    let region = ("OUTPUT_AWS_REGION", "us-east-1");
    let (of_default_store, _) =
        Credentials::of_default_store(Side::Output, owned(&[("OUTPUT_uri", "s3://b/")])).unwrap();
    for (credentials, want) in [
        (
            output(&[id, secret]),
            "set AWS_REGION in the Secret of spec.output.credentialsSecretRef",
        ),
        (
            output(&[region]),
            "set AWS_REGION in the Secret of spec.output.credentialsSecretRef",
        ),
        (
            output(&[]),
            "name a Secret with AWS_REGION in spec.output.credentialsSecretRef",
        ),
        (of_default_store, "set AWS_REGION in the Secret batch-inference-store"),
        (of_person(&[]), "set AWS_REGION in the environment"),
    ] {
        let told = remedy(credentials);
        assert_eq!(told.strip_prefix("its bucket is in another region: "), Some(want));
    }
}

#[test]
fn a_person_is_told_which_variable_to_set() {
    let hint = |vars: &[(&str, &str)]| of_person(vars).keys(&S3).unwrap().hint().to_string();
    assert!(hint(&[]).starts_with("set AWS_ACCESS_KEY_ID"));
    let process = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    assert!(hint(&process).starts_with("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"));
    let prefixed = [
        ("OUTPUT_AWS_ACCESS_KEY_ID", "id"),
        ("OUTPUT_AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    assert!(hint(&prefixed).starts_with("check OUTPUT_AWS_ACCESS_KEY_ID"));
    let half = of_person(&process[..1]).keys(&S3).err().unwrap();
    assert_eq!(
        half.to_string(),
        "the environment has AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY: add it"
    );
}

#[test]
fn debug_shows_no_value() {
    let credentials = output(&[
        ("OUTPUT_AWS_ACCESS_KEY_ID", "visible-id"),
        ("OUTPUT_AWS_SECRET_ACCESS_KEY", "visible-secret"),
    ]);
    let debug = format!("{credentials:?}");
    assert!(debug.contains("AWS_SECRET_ACCESS_KEY"), "{debug}");
    assert!(!debug.contains("visible"), "{debug}");
}

fn owned<'a>(vars: &'a [(&str, &str)]) -> impl Iterator<Item = (String, String)> + 'a {
    vars.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

#[test]
fn a_secret_that_a_person_has_read_takes_only_the_address_from_the_environment() {
    let secret = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", "http://seaweedfs:8333"),
    ];
    let environment = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:8333"),
        ("AWS_SESSION_TOKEN", "another identity's"),
    ];
    let credentials = Credentials::of_secret(Side::Output, owned(&secret), owned(&environment));
    let keys = credentials.keys(&S3).unwrap();
    assert_eq!(keys.endpoint(), Some("http://127.0.0.1:8333"));
    assert_eq!(
        (keys.get("AWS_ACCESS_KEY_ID"), keys.get("AWS_SESSION_TOKEN")),
        (Some("id"), None)
    );
    assert!(
        keys.hint()
            .contains("in the Secret of spec.output.credentialsSecretRef")
    );
}

#[test]
fn beneath_own_keys_a_secret_says_where_the_store_is() {
    let owned = |vars: &[(&str, &str)]| -> Vec<(String, String)> {
        vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    };
    let secret = [
        ("AWS_ACCESS_KEY_ID", "theirs"),
        ("AWS_SECRET_ACCESS_KEY", "theirs"),
        ("AWS_SESSION_TOKEN", "theirs"),
        ("AWS_ENDPOINT_URL", "https://s3.example"),
        ("AWS_REGION", "eu-west-1"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "theirs"),
        ("AZURE_STORAGE_CONNECTION_STRING", "theirs"),
    ];
    let of_person_at = |own: &[(&str, &str)]| Credentials::of_person_at(Side::Output, owned(&secret), owned(own));
    let id = ("AWS_ACCESS_KEY_ID", "id");
    let key = ("AWS_SECRET_ACCESS_KEY", "key");
    for (own, endpoint, region) in [
        (vec![id, key], "https://s3.example", "eu-west-1"),
        (
            vec![id, key, ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:8333")],
            "http://127.0.0.1:8333",
            "eu-west-1",
        ),
        (
            vec![
                ("OUTPUT_AWS_ACCESS_KEY_ID", "id"),
                ("OUTPUT_AWS_SECRET_ACCESS_KEY", "key"),
            ],
            "https://s3.example",
            "eu-west-1",
        ),
    ] {
        let keys = of_person_at(&own).keys(&S3).unwrap();
        assert_eq!(
            (keys.endpoint(), keys.get("AWS_REGION")),
            (Some(endpoint), Some(region)),
            "{own:?}"
        );
        assert_eq!(
            (keys.get("AWS_ACCESS_KEY_ID"), keys.get("AWS_SESSION_TOKEN")),
            (Some("id"), None)
        );
    }
    let keys = of_person_at(&[id, key, ("AWS_DEFAULT_REGION", "us-west-2")])
        .keys(&S3)
        .unwrap();
    assert_eq!(keys.get("AWS_REGION"), None);
    let keys = of_person_at(&[("AZURE_STORAGE_KEY", "key")]).keys(&AZURE).unwrap();
    let connection = keys.get("AZURE_STORAGE_CONNECTION_STRING");
    assert_eq!(
        (keys.get("AZURE_STORAGE_ACCOUNT_NAME"), connection),
        (Some("theirs"), None)
    );
    let keys = of_person_at(&[("AZURE_STORAGE_CONNECTION_STRING", "own")])
        .keys(&AZURE)
        .unwrap();
    assert_eq!(keys.get("AZURE_STORAGE_ACCOUNT_NAME"), None);
}

#[test]
fn keys_identify_only_whom_their_own_store_knows() {
    let credentials = of_person(&[("AWS_ACCESS_KEY_ID", "id"), ("OUTPUT_AZURE_STORAGE_KEY", "key")]);
    for (uri, expected) in [
        ("s3://bucket/run/", true),
        ("az://container/run/", true),
        ("gs://bucket/run/", false),
        ("pvc://claim/run/", false),
    ] {
        let uri = StoreUri::parse_prefix(uri).unwrap();
        assert_eq!(credentials.identify(&uri), expected, "{uri}");
    }
    let address_only = of_person(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:8333")]);
    assert!(!address_only.identify(&StoreUri::parse_prefix("s3://bucket/run/").unwrap()));
}

#[test]
fn a_store_that_is_open_to_everybody_needs_no_identity() {
    for (uri, vars, expected) in [
        ("s3://bucket/", ("AWS_SKIP_SIGNATURE", "true"), true),
        ("s3://bucket/", ("AWS_SKIP_SIGNATURE", "False"), false),
        ("gs://bucket/", ("AWS_SKIP_SIGNATURE", "true"), false),
        ("gs://bucket/", ("STORAGE_EMULATOR_HOST", "http://127.0.0.1:4443"), true),
        ("az://container/", ("AZURE_SKIP_SIGNATURE", "true"), true),
    ] {
        let identify = of_person(&[vars]).identify(&StoreUri::parse_prefix(uri).unwrap());
        assert_eq!(identify, expected, "{uri} {vars:?}");
    }
}

#[test]
fn the_address_of_a_store_is_that_of_its_own_kind() {
    let credentials = of_person(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:8333")]);
    for (uri, expected) in [
        ("s3://bucket/run/", Some("http://127.0.0.1:8333")),
        ("gs://bucket/run/", None),
        ("pvc://claim/run/", None),
    ] {
        let uri = StoreUri::parse_prefix(uri).unwrap();
        assert_eq!(credentials.address(&uri).as_deref(), expected, "{uri}");
    }
}
