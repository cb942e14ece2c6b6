//! Programs that tests run.

use std::path::Path;
use std::process::Command;

/// What a program prints; it has to succeed.
pub fn run(program: &str, arguments: &[&Path]) -> String {
    let needs = "it is of e2fsprogs, exfatprogs, mount or exfat-fuse, and needs root, loop devices and /dev/fuse";
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; {needs}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}; {needs}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
