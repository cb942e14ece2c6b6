//! A claim whose node loses its power: a real ext4, in a file that has what a disk would have at that moment.

use std::path::PathBuf;
use std::process::Command;

use batch_inference_operator::storage::{Put, Store, StoreUri, open_output};
use tempfile::TempDir;

use crate::program::run;

/// Room for what the test writes, and for a journal.
const IMAGE_BYTES: u64 = 64 << 20;
/// Nothing is written to the disk by itself while the test runs: neither what is a few seconds old nor what a rename replaces.
const OPTIONS: &str = "loop,commit=300,noauto_da_alloc";
/// More than one part of an object.
const LARGE: usize = 6 << 20;

/// An ext4 that is mounted until it is dropped.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        std::fs::File::create(disk.image())
            .unwrap()
            .set_len(IMAGE_BYTES)
            .unwrap();
        run("mkfs.ext4", &["-q".as_ref(), &disk.image()]);
        disk.mount();
        disk
    }

    /// What is there when the power comes back, if it goes now.
    fn after_power_cut(&self) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        std::fs::copy(self.image(), disk.image()).unwrap();
        disk.mount();
        disk
    }

    fn mount(&self) {
        std::fs::create_dir(self.folder()).unwrap();
        run(
            "mount",
            &["-o".as_ref(), OPTIONS.as_ref(), &self.image(), &self.folder()],
        );
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("image")
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn store(&self) -> Store {
        let uri = StoreUri::parse_prefix("pvc://claim/run-1").unwrap();
        open_output(&uri, &super::no_credentials(), Some(&self.folder())).unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What did not come so far as to be mounted is not taken away either.
        let _ = Command::new("umount").arg(self.folder()).status();
    }
}

/// Fails unless the object is whole after a power cut that comes now.
async fn assert_survives(disk: &Disk, key: &str, content: &[u8]) {
    let read = disk.after_power_cut().store().read(key).await.unwrap();
    let read = read.unwrap_or_else(|| panic!("{key} is not there"));
    assert!(read == content, "{key} has {} bytes of {}", read.len(), content.len());
}

#[tokio::test]
#[ignore = "needs the packages of tests/cluster/build: make test"]
async fn what_a_claim_has_taken_is_there_after_a_power_cut() {
    let disk = Disk::new();
    let store = disk.store();
    // As segments and the manifest are written, the folder being new.
    let put = store.create("segments/a000001-00000000.seg", "rows").await.unwrap();
    assert_eq!(put, Put::Created);
    assert_survives(&disk, "segments/a000001-00000000.seg", b"rows").await;
    // As leases are.
    store.replace("leases/000001.json", "first").await.unwrap();
    store.replace("leases/000001.json", "second").await.unwrap();
    assert_survives(&disk, "leases/000001.json", b"second").await;
    // As results are, small and large, and once more in the place of others.
    for (key, bytes) in [
        ("errors.jsonl", 10),
        ("results.jsonl", LARGE),
        ("results.jsonl", LARGE + 1),
    ] {
        let content = vec![b'x'; bytes];
        let mut writer = store.overwrite(key, 0);
        writer.write(&content).await.unwrap();
        writer.finish().await.unwrap();
        assert_survives(&disk, key, &content).await;
    }
    std::fs::write(disk.folder().join("run-1/only-written"), "x").unwrap();
    let cut = disk.after_power_cut().store().read("only-written").await.unwrap();
    assert_eq!(cut, None, "this test would not notice that nothing is flushed");
}
