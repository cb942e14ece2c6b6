use super::*;
use crate::api::adapters::NamedAdapter;

fn spec(source: AdapterSource, location: Option<&str>, named: &[(&str, Option<&str>)]) -> AdaptersSpec {
    let named = named.iter().map(|(name, path)| NamedAdapter {
        name: (*name).to_owned(),
        path: path.map(str::to_owned),
    });
    AdaptersSpec {
        source,
        location: location.map(str::to_owned),
        named: named.collect(),
        ..AdaptersSpec::default()
    }
}

#[test]
fn a_name_says_where_the_adapter_is() {
    use AdapterSource::{Hub, Local, PBase, S3};
    let below = Some("/adapters/");
    let bucket = Some("s3://bucket/loras");
    for (source, location, name, expected) in [
        (Hub, None, "org/sql", Some("org/sql")),
        (Hub, None, "sql", None),
        (Hub, None, "/etc/passwd", None),
        (Hub, None, "", None),
        (Hub, None, "--x/y", None),
        (Local, below, "sql", Some("/adapters/sql")),
        (Local, below, "team/sql.gguf", Some("/adapters/team/sql.gguf")),
        (Local, below, "../etc", None),
        (Local, below, "a//b", None),
        (Local, below, "/models/other", None),
        (S3, bucket, "sql", Some("s3://bucket/loras/sql")),
        (S3, bucket, "s3://other/sql", None),
        (S3, None, "s3://other/sql", Some("s3://other/sql")),
        (S3, None, "s3://other/../sql", None),
        (S3, None, "s3://other", None),
        (S3, None, "sql", None),
        (PBase, None, "sql/3", Some("sql/3")),
        (PBase, None, "https://host/sql", None),
    ] {
        let names = AdapterNames::new(spec(source, location, &[]));
        assert_eq!(names.path(name).as_deref(), expected, "{source} {name:?}");
    }
    let long = "x".repeat(LONGEST_NAME + 1);
    assert_eq!(AdapterNames::new(spec(PBase, None, &[])).path(&long), None);
}

#[test]
fn where_adapters_are_named_no_others_are() {
    let adapters = [("sql", Some("org/sql-lora")), ("org/plain", None)];
    let names = AdapterNames::new(spec(AdapterSource::Hub, None, &adapters));
    assert_eq!(names.path("sql").as_deref(), Some("org/sql-lora"));
    assert_eq!(names.path("org/plain").as_deref(), Some("org/plain"));
    assert_eq!(names.path("org/sql-lora"), None);
    assert!(names.advice().contains("(`sql`, `org/plain`)"), "{}", names.advice());
    let (name, path) = ("sql".to_owned(), Some("/models/sql".to_owned()));
    let local = AdapterNames::new(AdaptersSpec {
        source: AdapterSource::Local,
        named: vec![NamedAdapter { name, path }],
        ..AdaptersSpec::default()
    });
    assert_eq!(local.path("sql").as_deref(), Some("/models/sql"));
}

#[test]
fn sources_that_an_engine_has_not_are_refused() {
    use AdapterSource::{Hub, Local, PBase, S3};
    for engine in Engine::ALL {
        let taken = [Hub, S3, Local, PBase].map(|source| refuse(engine, "m", &spec(source, Some("/a"), &[])).is_ok());
        let expected = match engine {
            Engine::VLLM | Engine::SGLang => [true, true, true, false],
            Engine::LoRAX => [true; 4],
            Engine::LlamaCpp => [false, true, true, false],
            Engine::Custom => [false, false, true, false],
        };
        assert_eq!(taken, expected, "{engine}");
    }
}

#[test]
fn what_cannot_be_passed_on_is_refused_with_words() {
    let refusal = |engine, served_name: &str, spec: &AdaptersSpec| {
        refuse(engine, served_name, spec).expect_err("a refusal").to_string()
    };
    let hub = spec(AdapterSource::Hub, None, &[]);
    let words = refusal(Engine::SGLang, "a:b", &hub);
    assert!(words.contains("\"a:b\""), "{words}");
    let words = refusal(
        Engine::VLLM,
        "m",
        &spec(AdapterSource::Hub, None, &[("-x", Some("org/x"))]),
    );
    assert!(words.contains("\"-x\""), "{words}");
    let comma = spec(AdapterSource::Local, Some("/a"), &[("x", Some("a,b.gguf"))]);
    let words = refusal(Engine::LlamaCpp, "m", &comma);
    assert!(words.contains("/a/a,b.gguf") && words.contains("rename"), "{words}");
    assert_eq!(refuse(Engine::VLLM, "m", &comma), Ok(()));
}
