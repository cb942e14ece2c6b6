//! A file system without hard links: a real exFAT, in a file.

use std::path::PathBuf;
use std::process::Command;

use batch_inference_operator::storage::{Error, StoreUri, open_output, preflight};
use tempfile::TempDir;

use crate::program::run;

/// The least that exFAT is made in.
const IMAGE_BYTES: u64 = 8 << 20;

/// An exFAT that is mounted until it is dropped.
struct ExFat {
    directory: TempDir,
    device: String,
}

impl ExFat {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        run("mkfs.exfat", &[&image]);
        let device = run("losetup", &["--find".as_ref(), "--show".as_ref(), &image]);
        let disk = Self { directory, device };
        std::fs::create_dir(disk.folder()).unwrap();
        run("mount.exfat-fuse", &[disk.device.as_ref(), &disk.folder()]);
        disk
    }

    fn folder(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }
}

impl Drop for ExFat {
    fn drop(&mut self) {
        // What did not come so far as to be there is not taken away either.
        let _ = Command::new("umount").arg(self.folder()).status();
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

#[tokio::test]
#[ignore = "needs the packages of tests/cluster/build: make test"]
async fn a_file_system_without_hard_links_is_refused_and_it_is_said_what_to_use() {
    let disk = ExFat::mount();
    let uri = StoreUri::parse_prefix("pvc://claim/run-1").unwrap();
    let store = open_output(&uri, &super::no_credentials(), Some(&disk.folder())).unwrap();
    let error = preflight(&store, "preflight/uid").await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    let message = error.to_string();
    for part in ["pvc://claim/run-1/preflight/uid", "no hard links", "ext4"] {
        assert!(message.contains(part), "{message}");
    }
    let left = std::fs::read_dir(disk.folder().join("run-1/preflight")).unwrap();
    assert_eq!(left.count(), 0, "a try is left");
}
