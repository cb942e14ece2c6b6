//! A namespace's default store: a Secret by a fixed name, for jobs that name their data set only, or no output.

/// Name of the Secret, in the job's own namespace. It has the store's keys as its SDK names them, as any Secret with credentials.
pub const DEFAULT_STORE: &str = "batch-inference-store";
/// Its key that says where the store is: `s3://BUCKET/PREFIX/`, `gs://BUCKET/PREFIX/` or `az://CONTAINER/PREFIX/`.
pub const DEFAULT_STORE_URI: &str = "uri";

/// What a name of a data set may end in and be taken as it is.
const ENDINGS: [&str; 3] = [".jsonl", ".gz", ".zst"];

/// The key below the default store's prefix of the data set of this name. A name without an ending is that of a `.jsonl` file.
#[must_use]
pub fn dataset_key(name: &str) -> String {
    let has_ending = ENDINGS.iter().any(|ending| name.ends_with(ending));
    let ending = if has_ending { "" } else { ".jsonl" };
    format!("datasets/{name}{ending}")
}

/// The folder below the default store's prefix where a job of this name works. It depends on nothing else, so that the same job
/// applied again goes on there.
#[must_use]
pub fn output_folder(job: &str) -> String {
    format!("jobs/{job}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_an_ending_is_that_of_a_jsonl_file() {
        for (name, key) in [
            ("my_inference_dataset", "datasets/my_inference_dataset.jsonl"),
            ("v1.2", "datasets/v1.2.jsonl"),
            ("rows.jsonl", "datasets/rows.jsonl"),
            ("rows.jsonl.zst", "datasets/rows.jsonl.zst"),
            ("rows.gz", "datasets/rows.gz"),
        ] {
            assert_eq!(dataset_key(name), key);
        }
    }
}
