//! A terminal for a program: what it draws there, and what is typed.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::harness::MPGATE;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the terminal itself gets at the end: what stands before it, the program has written.
const END: &str = "(end)";

/// `mpgate` on a terminal of its own, which both ends are open of: nothing that was written is lost when the program
/// ends.
pub(crate) struct Terminal {
    typed: File,
    shown: Vec<u8>,
    screen: OwnedFd,
    settings: String,
    program: Child,
}

impl Terminal {
    /// Starts the program on a terminal of so many columns and lines.
    pub(crate) fn start(environment: &[(&str, &str)], line: &str, size: (u16, u16)) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other end");
        let screen = ioctl_tiocgptpeer(&master, flags).expect("its other end");
        fcntl_setfl(&master, OFlags::NONBLOCK).expect("reads that do not wait");
        resize(&screen, size);
        let stream = || screen.try_clone().expect("another handle");
        // In a session of its own, with this as its terminal: so Ctrl-C is a signal to it. It is the program itself
        // afterwards, with the same id.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(MPGATE).args(line.split_whitespace());
        command.env_clear().envs(environment.iter().copied());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "xterm");
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let program = command.spawn().expect("setsid runs");
        let (typed, shown, settings) = (File::from(master), Vec::new(), settings(&screen));
        Self { typed, shown, screen, settings, program }
    }

    /// Waits until it shows this; forgets what came before, and it.
    pub(crate) fn shows(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = String::from_utf8_lossy(&self.shown).into_owned();
            if let Some(at) = shown.find(text) {
                self.shown.drain(..at + text.len());
                return shown[..at].to_owned();
            }
            assert!(Instant::now() < deadline, "no {text:?} in {shown:?}");
            self.read();
        }
    }

    /// Takes what was written meanwhile, if anything was.
    fn read(&mut self) {
        let mut part = [0; 4096];
        match self.typed.read(&mut part) {
            Ok(length) => self.shown.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}: {:?}", self.shown),
        }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.typed.write_all(keys.as_bytes()).expect("typed");
    }

    pub(crate) fn is_resized_to(&self, size: (u16, u16)) {
        resize(&self.screen, size);
    }

    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(signal).arg(self.program.id().to_string()).status();
        assert!(done.expect("kill runs").success());
    }

    /// Waits for the program's end: its code, and the last that it wrote. The terminal is set as it was.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.program.try_wait().expect("the child is ours") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            self.read();
        };
        assert_eq!(settings(&self.screen), self.settings);
        let mut screen = File::from(self.screen.try_clone().expect("another handle"));
        screen.write_all(END.as_bytes()).expect("written");
        (status.code(), self.shows(END))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

fn resize(screen: &OwnedFd, (ws_col, ws_row): (u16, u16)) {
    let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(screen, size).expect("a size");
}

fn settings(screen: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(screen).expect("settings"))
}
