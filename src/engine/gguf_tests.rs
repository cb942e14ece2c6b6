use super::super::repository_file::Checksum;
use super::*;

fn files(paths: &[&str]) -> Vec<RepositoryFile> {
    let checksum = || Checksum::git_blob(&"0".repeat(40)).expect("a checksum");
    let file = |path: &&str| RepositoryFile::new(path, 1, checksum()).expect("a file");
    paths.iter().map(file).collect()
}

fn choice(args: &[&str]) -> Choice {
    Choice::of(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
}

fn paths(files: &[RepositoryFile]) -> Vec<&str> {
    files.iter().map(RepositoryFile::path).collect()
}

const MANY: [&str; 7] = [
    "README.md",
    "m-imatrix.gguf",
    "m-BF16-00002-of-00002.gguf",
    "m-BF16-00001-of-00002.gguf",
    "m-Q4_K_M.gguf",
    "m-Q8_0.gguf",
    "UD/m-UD-Q4_K_XL.gguf",
];

#[test]
fn the_file_is_the_one_that_llama_server_would_choose() {
    for (args, chosen, parts) in [
        (&["-hf", "org/m"][..], "m-Q4_K_M.gguf", &["m-Q4_K_M.gguf"][..]),
        (&["-hf", "org/m:q8_0"], "m-Q8_0.gguf", &["m-Q8_0.gguf"]),
        (
            &["-hf", "org/m:BF16"],
            "m-BF16-00001-of-00002.gguf",
            &["m-BF16-00002-of-00002.gguf", "m-BF16-00001-of-00002.gguf"],
        ),
        (
            &["-hf", "org/m:UD-Q4_K_XL"],
            "UD/m-UD-Q4_K_XL.gguf",
            &["UD/m-UD-Q4_K_XL.gguf"],
        ),
        (
            &["-hf", "org/m", "-hff", "other.gguf", "-c", "8", "-hff", "m-q8_0.gguf"],
            "m-Q8_0.gguf",
            &["m-Q8_0.gguf"],
        ),
    ] {
        let found = choice(args).among("org/m", &files(&MANY)).expect("a file");
        assert_eq!(
            (found.model.as_str(), paths(&found.parts).as_slice()),
            (chosen, parts),
            "{args:?}"
        );
    }
}

#[test]
fn without_the_usual_types_it_is_the_first_file() {
    let found = choice(&["-hf", "org/m"])
        .among(
            "org/m",
            &files(&["m-f16-00002-of-00002.gguf", "m-IQ1_S.gguf", "m-f16.gguf"]),
        )
        .expect("a file");
    assert_eq!(found.model, "m-IQ1_S.gguf");
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let refused = |args: &[&str], there: &[&str]| {
        let refused = choice(args).among("org/m", &files(there)).expect_err("a refusal");
        refused.to_string()
    };
    assert_eq!(
        refused(
            &["-hf", "org/m:Q2_K"],
            &[
                "m-Q4_K_M.gguf",
                "m-Q8_0-00001-of-00002.gguf",
                "m-Q8_0-00002-of-00002.gguf"
            ]
        ),
        "org/m has no GGUF file \"Q2_K\": it has m-Q4_K_M.gguf, m-Q8_0-00001-of-00002.gguf; write the type of one in \
         spec.server.quantization, or its path as `-hff PATH` in spec.server.args"
    );
    let none = refused(&["-hf", "org/m:Q2_K"], &["model.safetensors"]);
    assert!(none.contains("org/m has none"), "{none}");
}

#[test]
fn a_model_that_sees_has_the_nearest_projector() {
    let there = [
        "mmproj-F16.gguf",
        "q8/m-Q8_0.gguf",
        "q8/mmproj-BF16.gguf",
        "q8/mmproj-Q8_0.gguf",
        "q4/m-Q4_K_M.gguf",
        "other/mmproj-Q4_K_M.gguf",
    ];
    for (args, projector) in [
        (&["-hf", "org/m"][..], Some("mmproj-F16.gguf")),
        (&["-hf", "org/m:Q8_0"], Some("q8/mmproj-Q8_0.gguf")),
        (&["-hf", "org/m:Q8_0", "--no-mmproj"], None),
    ] {
        let found = choice(args).among("org/m", &files(&there)).expect("a file");
        assert_eq!(
            found.projector.as_ref().map(RepositoryFile::path),
            projector,
            "{args:?}"
        );
    }
}
