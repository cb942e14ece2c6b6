use super::*;

#[test]
fn objects_are_taken_apart_and_written_back_as_they_were() {
    for text in [
        "s3://bucket/a/rows.jsonl",
        "gs://bucket/a/rows.jsonl",
        "az://container/rows.jsonl",
        "https://host:8443/a/rows.jsonl.gz",
        "http://files.data.svc/rows.jsonl",
        "hf://datasets/org/set/data/rows.jsonl",
        "hf://datasets/org/set@refs%2Fpr%2F1/rows.jsonl",
        "pvc://data/rows.jsonl",
    ] {
        assert_eq!(StoreUri::parse_object(text).unwrap().to_string(), text);
    }
    let uri = StoreUri::parse_object("s3://bucket/a b/r#1.jsonl").unwrap();
    assert_eq!(uri.root(), &Root::Bucket(Cloud::S3, "bucket".into()));
    assert_eq!(uri.key(), "a b/r#1.jsonl");
}

#[test]
fn an_output_gets_its_missing_slash() {
    let written = |text| StoreUri::parse_prefix(text).unwrap().to_string();
    assert_eq!(written("s3://bucket/run"), "s3://bucket/run/");
    assert_eq!(written("s3://bucket/run/"), "s3://bucket/run/");
    assert_eq!(written("s3://bucket"), "s3://bucket/");
    assert_eq!(written("gs://bucket/run"), "gs://bucket/run/");
    assert_eq!(written("az://container"), "az://container/");
    assert_eq!(written("pvc://claim/"), "pvc://claim/");
}

#[test]
fn joined_keys_stand_under_the_prefix() {
    let joined = |text| {
        let prefix = StoreUri::parse_prefix(text).unwrap();
        prefix.join("job.json").to_string()
    };
    assert_eq!(joined("s3://bucket/run"), "s3://bucket/run/job.json");
    assert_eq!(joined("s3://bucket"), "s3://bucket/job.json");
}

#[test]
fn a_refusal_says_what_to_write() {
    let message = |text| StoreUri::parse_object(text).unwrap_err().to_string();
    let forms = format!("write {FORMS}");
    assert_eq!(message("rows.jsonl"), format!("`rows.jsonl` has no scheme: {forms}"));
    assert_eq!(
        message("ftp://host/rows.jsonl"),
        format!("`ftp://host/rows.jsonl`: unknown scheme ftp://: {forms}")
    );
    assert_eq!(
        message("s3:///rows.jsonl"),
        format!("`s3:///rows.jsonl`: `` is not the name of a bucket: {forms}")
    );
    assert_eq!(
        message("pvc://user@claim/rows.jsonl"),
        format!("`pvc://user@claim/rows.jsonl`: `user@claim` is not the name of a claim: {forms}")
    );
    assert_eq!(
        message("s3://bucket/dir/"),
        "`s3://bucket/dir/` names no object: add the key of the data set's file after the bucket"
    );
    assert!(message("az://container/").ends_with("after the container"));
    assert!(message("https://host/").ends_with("after the host"));
}

#[test]
fn keys_that_a_file_system_would_read_otherwise_are_refused() {
    for key in ["a//b", "/a", "../a", "a/./b", "a\nb"] {
        let uri = format!("pvc://claim/{key}");
        let refused = StoreUri::parse_object(&uri).unwrap_err();
        assert_eq!(refused, UriError::BadKey { uri });
    }
}

#[test]
fn serde_writes_the_text_and_refuses_what_parsing_refuses() {
    let uri = StoreUri::parse_prefix("s3://bucket/run").unwrap();
    let json = serde_json::to_string(&uri).unwrap();
    assert_eq!(json, r#""s3://bucket/run/""#);
    assert_eq!(serde_json::from_str::<StoreUri>(&json).unwrap(), uri);
    assert!(serde_json::from_str::<StoreUri>(r#""run""#).is_err());
}

#[test]
fn nothing_is_written_to_what_is_only_read() {
    for (text, scheme) in [
        ("https://host/out/", "https"),
        ("http://files.data.svc/out/", "http"),
        ("hf://datasets/org/set/out/", "hf"),
    ] {
        let refused = StoreUri::parse_prefix(text).unwrap_err().to_string();
        let want = format!("`{text}`: nothing is written to {scheme}://: write {OUTPUT_FORMS}");
        assert_eq!(refused, want);
    }
    let refused = StoreUri::parse_prefix("ftp://host/out/").unwrap_err().to_string();
    assert!(refused.ends_with(OUTPUT_FORMS), "{refused}");
}
