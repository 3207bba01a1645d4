//! Files that hold a secret: made new with mode 0600, never written over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Creates the file with these bytes, on the disk when this returns. A file that is there already is
/// an error: it may be in use.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Reserved::new(path)?.write(bytes)
}

/// A private file that was made and is still empty. It goes again unless it is written.
pub(crate) struct Reserved {
    file: File,
    path: PathBuf,
    is_written: bool,
}

impl Reserved {
    /// Makes the file, so that a secret is asked for only when there is a place for it.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file, path: path.to_owned(), is_written: false })
    }

    /// Fills it; the bytes are on the disk when this returns.
    pub(crate) fn write(mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).and_then(|()| self.file.sync_all())?;
        self.is_written = true;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_written {
            // Half a secret helps nobody, and an empty file would stand in the way of the next try.
            fs::remove_file(&self.path).ok();
        }
    }
}
