//! The state directory: what a node must still know after it was killed.
//!
//! Every file is replaced as a whole: written beside, synced, renamed, and the directory synced. A crash leaves the old
//! content or the new, never half of either. Its last line is a digest of the rest, so that damage is noticed (G7).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::digest::{SHA256, digest};
use serde::{Serialize, de::DeserializeOwned};

/// Only the service's user reads the state: the cluster's CA key lies in it (consensus.md, Identity).
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const MODE_BITS: u32 = 0o777;

/// Locked by the one agent that uses the directory.
const LOCK_FILE: &str = "lock";

/// What the last line of every file begins with.
const SEAL: &str = "\nsha256 ";

/// Why the state directory could not be read or written. Nothing of the old content is lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}; check that the directory exists, is writable and has room")]
    Io {
        /// What was being done, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error("another agent uses the state directory {path}; stop it, or give this one another `state_dir`")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file is there, but is not what this program wrote.
    #[error("{path} is damaged: {message}; restore it from a backup, or leave and join the cluster again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// The state directory of one node.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// Held as long as anybody uses the directory.
    _lock: Arc<File>,
}

impl Disk {
    /// Opens the directory, for this process alone, making it when it is missing and closing it to others.
    ///
    /// # Errors
    /// The directory cannot be made or is no directory, or another agent has it.
    pub(crate) fn open(directory: &Path) -> Result<Self, DiskError> {
        let failed = |what| move |source| DiskError::Io { what, path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(failed("create"))?;
        let mode = fs::metadata(directory).map_err(failed("look at"))?.permissions().mode();
        if mode & !DIRECTORY_MODE & MODE_BITS != 0 {
            let closed = Permissions::from_mode(DIRECTORY_MODE);
            fs::set_permissions(directory, closed).map_err(failed("close to others"))?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(FILE_MODE);
        let lock = options.open(directory.join(LOCK_FILE)).map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_owned(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(DiskError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
        }
    }

    /// The path of something below the directory.
    #[must_use]
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The content of a file, or `None` when there is no such file.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is damaged.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => unsealed(bytes).map(Some).ok_or_else(|| self.damaged(name, &"its digest is wrong or missing")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DiskError::Io { what: "read", path, source }),
        }
    }

    /// The text of a file, or `None` when there is no such file.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is no text.
    pub(crate) fn read_text(&self, name: &str) -> Result<Option<String>, DiskError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|error| self.damaged(name, &error))
    }

    /// Replaces a file as a whole; when this returns, the content is durable.
    ///
    /// # Errors
    /// The content could not be made durable; the old content is still there.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), DiskError> {
        let path = self.path(name);
        replace(&self.directory, &path, &sealed(content)).map_err(|source| DiskError::Io {
            what: "write",
            path,
            source,
        })
    }

    /// Removes a file; it is no error that there was none.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub(crate) fn remove(&self, name: &str) -> Result<(), DiskError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(DiskError::Io { what: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// Reads a JSON file.
    ///
    /// # Errors
    /// The file cannot be read, or is not what [`Disk::write_json`] wrote.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DiskError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.damaged(name, &error))
    }

    /// Replaces a JSON file as a whole.
    ///
    /// # Errors
    /// As [`Disk::write`].
    pub(crate) fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), DiskError> {
        let text = serde_json::to_vec_pretty(value).expect("the node's own records have a JSON form");
        self.write(name, &text)
    }

    /// The error for a file whose content is not what this program wrote.
    pub(crate) fn damaged(&self, name: &str, error: &dyn std::fmt::Display) -> DiskError {
        DiskError::Damaged { path: self.path(name), message: error.to_string() }
    }

    /// Sets aside everything that belongs to a cluster this node has left, under a name with this suffix.
    ///
    /// # Errors
    /// A file cannot be renamed; those before it have been.
    pub(crate) fn archive(&self, names: &[&str], suffix: &str) -> Result<(), DiskError> {
        for name in names {
            let (from, to) = (self.path(name), self.path(&format!("{name}.{suffix}")));
            match fs::rename(&from, to) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(DiskError::Io { what: "rename", path: from, source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The content with its digest as the last line.
fn sealed(content: &[u8]) -> Vec<u8> {
    [content, seal(content).as_bytes()].concat()
}

/// The content of a file that is whole.
fn unsealed(mut file: Vec<u8>) -> Option<Vec<u8>> {
    let length = file.len().checked_sub(seal(&[]).len())?;
    let is_whole = seal(&file[..length]).as_bytes() == &file[length..];
    file.truncate(length);
    is_whole.then_some(file)
}

fn seal(content: &[u8]) -> String {
    let hex: String = digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{SEAL}{hex}\n")
}

fn replace(directory: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&folder.path().join("state")).unwrap();
        assert_eq!(disk.read("incarnation").unwrap(), None);
        disk.write("incarnation", b"12345").unwrap();
        disk.write("incarnation", b"7").unwrap();
        assert_eq!(disk.read_text("incarnation").unwrap().as_deref(), Some("7"));
        disk.remove("incarnation").unwrap();
        disk.remove("incarnation").unwrap();
        assert_eq!(disk.read("incarnation").unwrap(), None);
    }

    #[test]
    fn g7_a_damaged_file_is_named_and_not_replayed() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        disk.write_json("identity.json", &"hedgerow").unwrap();
        let whole = fs::read(disk.path("identity.json")).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            for damaged in [&flipped, &whole[..place]] {
                fs::write(disk.path("identity.json"), damaged).unwrap();
                let error = disk.read_json::<String>("identity.json").unwrap_err();
                assert!(
                    matches!(&error, DiskError::Damaged { path, .. } if path.ends_with("identity.json")),
                    "{error}"
                );
            }
        }
        fs::write(disk.path("identity.json"), &whole).unwrap();
        assert_eq!(disk.read_json::<String>("identity.json").unwrap().as_deref(), Some("hedgerow"));
    }

    /// The key of the cluster's CA lies there: nobody else may look, also where somebody else has made the directory.
    #[test]
    fn the_directory_is_for_one_user_and_one_process() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, DIRECTORY_MODE);
        assert!(matches!(Disk::open(folder.path()), Err(DiskError::InUse { .. })));
        drop(disk);
        Disk::open(folder.path()).unwrap();
    }
}
