//! A connection to a port of a container's own, from inside: each of two gates behind one address is asked itself.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

/// What is written goes to the port, what comes from there is read.
pub(super) struct Inside {
    relay: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Inside {
    /// What bash has to do in the container. No image needs a client, and no request stands on a command line.
    pub(super) fn relay(port: &str) -> String {
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; timeout 30 cat <&3 & cat >&3; wait")
    }

    /// Over a command that runs the relay.
    pub(super) fn over(mut command: Command) -> Result<Self> {
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut relay = command.spawn().context("cannot start a command in a container")?;
        let from = relay.stdout.take().context("the relay's output")?;
        Ok(Self { to: relay.stdin.take(), from, relay })
    }
}

impl Read for Inside {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer)
    }
}

impl Write for Inside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The relay ends with its input.
        self.to.take();
        self.relay.wait().ok();
    }
}
