//! A terminal without a window.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};

/// The end of a terminal where a person would sit.
pub struct Terminal {
    master: OwnedFd,
    /// Kept, as a terminal that nobody has open any more cannot be read.
    slave: File,
}

impl Terminal {
    /// A terminal of so many columns.
    pub fn new(columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(master.as_fd(), size).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        Self { master, slave }
    }

    /// Starts a command in it.
    pub fn start(&self, command: &mut Command) -> Child {
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    /// Reads on a thread until the text has come, and gives all that came by then.
    pub async fn read_until(&mut self, text: &'static str) -> String {
        let mut master = File::from(self.master.try_clone().unwrap());
        let reading = tokio::task::spawn_blocking(move || {
            let mut seen = Vec::new();
            let mut chunk = [0; 4096];
            while !String::from_utf8_lossy(&seen).contains(text) {
                let read = master.read(&mut chunk).expect("the terminal is open");
                seen.extend_from_slice(&chunk[..read]);
            }
            String::from_utf8_lossy(&seen).into_owned()
        });
        let within = std::time::Duration::from_secs(30);
        let read = tokio::time::timeout(within, reading).await;
        read.unwrap_or_else(|_| panic!("{text:?} does not come")).unwrap()
    }
}
