//! Imports go down: a folder of `src` may use the floors below its own, never one above or beside it.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders from the lowest floor to the highest. Folders of one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["openai"],
    &["api"],
    &["engine"],
    &["storage"],
    &["dataset", "results"],
    &["controller", "feeder", "model_cache", "verify"],
    &["cli"],
];

/// What the lowest floors must not use: they do no I/O.
const IO: &[&str] = &[
    "tokio::",
    "reqwest::",
    "std::fs",
    "std::net",
    "kube::Client",
    "kube::Api",
    "object_store::",
];
const PURE: &[&str] = &["openai", "api", "engine"];

fn floor_of(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&folder))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    paths
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Folders of the crate that a text names, as `crate::FOLDER`.
fn folders_named(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).map(|rest| {
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next()
            .unwrap_or("")
    })
}

fn upward_arrows(folder: &str, text: &str) -> Vec<String> {
    let own = floor_of(folder).unwrap_or_else(|| panic!("src/{folder} has no floor: add it to tests/architecture.rs"));
    folders_named(text)
        .filter(|named| *named != folder)
        .filter_map(|named| floor_of(named).filter(|floor| *floor >= own).map(|_| named.to_owned()))
        .collect()
}

fn folders() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = fs::read_dir(root)
        .expect("src")
        .map(|entry| entry.expect("a readable entry").path());
    let name = |path: &PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    entries
        .filter(|path| path.is_dir())
        .map(|path| (name(&path), path))
        // Programs, a file each, that start `cli` as `main` does.
        .filter(|(name, _)| name != "bin")
        .collect()
}

#[test]
fn arrows_only_go_down() {
    for (folder, path) in folders() {
        for source in sources(&path) {
            let text = fs::read_to_string(&source).expect("a readable file");
            let arrows = upward_arrows(&folder, &text);
            assert!(
                arrows.is_empty(),
                "{} uses {arrows:?}, which is not below {folder}",
                source.display()
            );
        }
    }
}

#[test]
fn the_lowest_floors_do_no_io() {
    for (folder, path) in folders()
        .into_iter()
        .filter(|(folder, _)| PURE.contains(&folder.as_str()))
    {
        for source in sources(&path) {
            let text = fs::read_to_string(&source).expect("a readable file");
            let used: Vec<_> = IO.iter().filter(|word| text.contains(**word)).collect();
            assert!(
                used.is_empty(),
                "{} uses {used:?}, and {folder} does no I/O",
                source.display()
            );
        }
    }
}

/// Clients read a number with a fraction differently, and Kubernetes advises against it in a resource.
#[test]
fn no_resource_has_floating_point() {
    for source in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")) {
        let text = fs::read_to_string(&source).expect("a readable file");
        let has_float = ["f32", "f64"].iter().any(|word| text.contains(word));
        assert!(!has_float, "{} has a floating-point number", source.display());
    }
}

#[test]
fn every_folder_says_what_lives_there() {
    for (folder, path) in folders() {
        let text = fs::read_to_string(path.join("mod.rs")).expect("a mod.rs");
        let opening = text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!(
            (3..=12).contains(&opening),
            "src/{folder}/mod.rs opens with {opening} lines; three to ten say what lives there"
        );
    }
}

#[test]
fn an_upward_arrow_is_seen() {
    assert_eq!(upward_arrows("api", "use crate::controller::run;"), ["controller"]);
    assert_eq!(
        upward_arrows("feeder", "use crate::controller::run; use crate::results::x;"),
        ["controller"]
    );
    assert!(upward_arrows("controller", "use crate::api::job; use crate::controller::run;").is_empty());
}
