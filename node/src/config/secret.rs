//! The bootstrap secret of a zero-touch formation.

use std::{
    fmt, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The shortest secret that is accepted, in bytes: 128 bits if every byte is random.
pub const SECRET_BYTES_MIN: usize = 16;
/// The longest secret that is accepted, in bytes.
pub const SECRET_BYTES_MAX: usize = 4096;
/// Permissions of people other than the owner and the group.
const MODE_OTHERS: u32 = 0o007;

/// What every node of a forming cluster knows. Its text is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapSecret(Vec<u8>);

/// Why the bootstrap secret was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the bootstrap secret {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Everybody can read the file.
    #[error("everybody on this machine can read the bootstrap secret {}; run chmod o= on it, and change the secret", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The secret is too short or too long.
    #[error(
        "the bootstrap secret {} has {bytes} bytes; give it {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}, for instance with `head -c 32 /dev/urandom | base64`",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// How many bytes it has, without white space around them.
        bytes: u64,
    },
}

impl BootstrapSecret {
    /// Reads a secret: the bytes of the file without white space around them.
    ///
    /// # Errors
    /// The file cannot be read, everybody can read it, or the secret has a bad length.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let read = |source| SecretError::Read { path: path.to_owned(), source };
        let length = |bytes| SecretError::Length { path: path.to_owned(), bytes };
        let metadata = std::fs::metadata(path).map_err(read)?;
        if metadata.mode() & MODE_OTHERS != 0 {
            return Err(SecretError::Exposed { path: path.to_owned() });
        }
        if metadata.len() > 2 * SECRET_BYTES_MAX as u64 {
            return Err(length(metadata.len()));
        }
        let secret = std::fs::read(path).map_err(read)?.trim_ascii().to_vec();
        if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
            Ok(Self(secret))
        } else {
            Err(length(secret.len() as u64))
        }
    }

    /// The secret.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BootstrapSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BootstrapSecret(..)")
    }
}
