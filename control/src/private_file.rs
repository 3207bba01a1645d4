//! Files that hold a secret: made new with mode 0600, never written over.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Creates the file with these bytes, on the disk when this returns. A file that is there already is
/// an error: it may be in use.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a secret helps nobody. The first error is the one to tell.
        fs::remove_file(path).ok();
    }
    written
}
