//! Disks that are full: real ones, in memory.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::rows::{ids, line, line_with, lines};
use crate::world::World;

const ROWS: usize = 40;
/// A few answers fit.
const SMALL: &str = "size=1m";
/// All answers fit twice.
const LARGE: &str = "size=64m";
const ANSWER_BYTES: usize = 64 << 10;

/// A file system in memory, which goes when it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// Of a size, on a folder.
    fn mount(folder: PathBuf, size: &str) -> Self {
        let is_mounted = run("mount", ["-t", "tmpfs", "-o", size, "tmpfs"].map(OsStr::new), &folder);
        assert!(
            is_mounted,
            "this test mounts a tmpfs, which needs root and CAP_SYS_ADMIN"
        );
        Self(folder)
    }

    /// Gives it another size.
    fn resize(&self, size: &str) {
        let options = format!("remount,{size}");
        assert!(run("mount", ["-o", &options].map(OsStr::new), &self.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while a feeder that a failed test has left still ends.
        run("umount", ["--lazy"].map(OsStr::new), &self.0);
    }
}

fn run<const N: usize>(program: &str, arguments: [&OsStr; N], folder: &PathBuf) -> bool {
    let status = Command::new(program).args(arguments).arg(folder).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_every_row_is_there_once_it_has_room() {
    let answer = json!({"text": "x".repeat(ANSWER_BYTES)}).to_string();
    let fake = json!({"raw_body": answer});
    let dataset: String = ids(ROWS).map(|id| line_with(&id, &fake)).collect();
    let mut world = World::with_server("full-disk", &dataset).await;
    world.put_output_on_claim();
    let disk = Disk::mount(world.claim.path().to_owned(), SMALL);
    let feeder = world.start();
    let status = world.until_waits("OutputFull").await;
    let message = status["feeder"]["message"].as_str().unwrap();
    let told = "there is no room left for `pvc://results/runs/first/segments/";
    assert!(message.contains(told), "{message}");

    disk.resize(LARGE);
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}

/// More ids than are compared in memory: those go to the scratch disk, and there are 3 MiB of them.
const IDS: usize = 140_000;

#[tokio::test]
async fn a_scratch_disk_that_is_full_of_ids_is_waited_for_and_a_duplicate_is_found_all_the_same() {
    let dataset = lines(IDS) + &line("row-007");
    let mut world = World::with_server("full-scratch", &dataset).await;
    let disk = Disk::mount(world.scratch.clone(), SMALL);
    let feeder = world.start();
    let status = world.until_waits("ScratchUnusable").await;
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("No space left on device"), "{message}");

    disk.resize(LARGE);
    assert_eq!(feeder.exit_code().await, 0);
    let status = world.status();
    assert_eq!(status["feeder"]["reason"], "DatasetInvalid", "{status}");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("line 8") && message.contains("line 140001"),
        "{message}"
    );
}
