//! A layer: files in a tar, byte for byte the same for the same files.

use std::io::Write as _;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// A file or a directory.
pub(crate) struct Entry {
    path: String,
    kind: EntryType,
    mode: u32,
    owner: u64,
    bytes: Vec<u8>,
}

impl Entry {
    pub(crate) fn file(path: &str, mode: u32, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), kind: EntryType::Regular, mode, owner: 0, bytes }
    }

    pub(crate) fn directory(path: &str, mode: u32) -> Self {
        let bytes = Vec::new();
        Self { path: format!("{path}/"), kind: EntryType::Directory, mode, owner: 0, bytes }
    }

    pub(crate) fn owned_by(self, owner: u64) -> Self {
        Self { owner, ..self }
    }
}

/// The tar of these entries, in the order of their paths, all of this time.
pub(crate) fn archive(entries: &[Entry], time: u64) -> Result<Vec<u8>> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|one, other| one.path.cmp(&other.path));
    let mut tar = Builder::new(Vec::new());
    for entry in sorted {
        let mut header = Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner);
        header.set_gid(entry.owner);
        header.set_mtime(time);
        header.set_size(u64::try_from(entry.bytes.len())?);
        tar.append_data(&mut header, &entry.path, entry.bytes.as_slice())?;
    }
    Ok(tar.into_inner()?)
}

/// Compressed, with neither a name nor a time of its own.
pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}
