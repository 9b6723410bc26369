//! Where maps, programs and links are pinned, so that they outlive the process.
//!
//! ```text
//! <bpffs>/hedgerow/maps/<fingerprint>/hr_live …      one directory for each layout of the maps
//! <bpffs>/hedgerow/progs/hr_egress …                 the programs in force, for whoever wants to look at them
//! <bpffs>/hedgerow/links/<ifindex>-<name>/xdp …      what is attached
//! ```

use std::{
    ffi::OsStr,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use crate::{error::OpenError, failpoint::failpoint, sys};

/// `f_type` of a BPF file system.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// The directories of one Hedgerow.
#[derive(Debug, Clone)]
pub(crate) struct Pins {
    root: PathBuf,
    fingerprint: String,
}

impl Pins {
    /// Makes the directories that are missing.
    pub(crate) fn prepare(bpffs: &Path, fingerprint: String) -> Result<Pins, OpenError> {
        let pins = Pins { root: bpffs.join("hedgerow"), fingerprint };
        pins.make_directories().map_err(|source| OpenError::Pins { path: bpffs.to_owned(), source })?;
        Ok(pins)
    }

    /// Makes the directories that are missing, if they would be on a BPF file system.
    pub(crate) fn make_directories(&self) -> io::Result<()> {
        on_bpffs(self.bpffs())?;
        [self.maps(), self.root.join("progs"), self.root.join("links")].iter().try_for_each(fs::create_dir_all)
    }

    /// Where the BPF file system is.
    pub(crate) fn bpffs(&self) -> &Path {
        self.root.parent().unwrap_or(&self.root)
    }

    /// The directory of the maps in use.
    pub(crate) fn maps(&self) -> PathBuf {
        self.root.join("maps").join(&self.fingerprint)
    }

    /// The pin of one map.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// The pin of one program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.root.join("progs").join(name)
    }

    /// The directory of one interface's links. It is there before anything is attached, also where filters of clsact are, which no link
    /// stands for. A BPF file system takes no dots, which names of VLANs have; colons are in no interface's name.
    pub(crate) fn links(&self, ifindex: u32, name: &str) -> PathBuf {
        self.root.join("links").join(format!("{ifindex}-{}", name.replace('.', ":")))
    }

    /// Directories of links that are there.
    pub(crate) fn link_directories(&self) -> Vec<PathBuf> {
        children(&self.root.join("links"))
    }

    /// The directories of maps of other layouts.
    pub(crate) fn other_maps(&self) -> Vec<PathBuf> {
        let mut others = children(&self.root.join("maps"));
        others.retain(|path| path.file_name() != Some(OsStr::new(&self.fingerprint)));
        others
    }

    /// Removes the maps of other layouts, once nothing is attached that uses them.
    pub(crate) fn remove_other_maps(&self) {
        self.other_maps().iter().for_each(|path| remove(path));
        failpoint("others-removed");
    }

    /// Removes every pin: programs detach, maps go.
    pub(crate) fn remove_all(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The maps in use, held, so that pins that somebody removes can be made again.
pub(crate) struct Held(Vec<(PathBuf, OwnedFd)>);

impl Held {
    /// Everything that is pinned in the directory of the maps.
    pub(crate) fn of(pins: &Pins) -> Result<Held, OpenError> {
        let open = |path: PathBuf| match sys::open_pinned(&path) {
            Ok(map) => Ok((path, map)),
            Err(source) => Err(OpenError::Map { map: path.display().to_string(), source }),
        };
        children(&pins.maps()).into_iter().map(open).collect::<Result<_, _>>().map(Held)
    }

    /// Pins again what is no longer pinned; whether there was anything.
    pub(crate) fn restore(&self) -> io::Result<bool> {
        restore(self.0.iter().map(|(path, map)| (path.as_path(), map)))
    }
}

/// Pins objects again where nothing is pinned any more; whether there was anything.
pub(crate) fn restore<'a>(objects: impl Iterator<Item = (&'a Path, &'a OwnedFd)>) -> io::Result<bool> {
    let mut missing = false;
    for (path, object) in objects.filter(|(path, _)| !path.exists()) {
        sys::pin_object(object, path)?;
        missing = true;
    }
    Ok(missing)
}

fn on_bpffs(path: &Path) -> io::Result<()> {
    let stat = rustix::fs::statfs(path)?;
    if stat.f_type == BPF_FS_MAGIC {
        return Ok(());
    }
    Err(io::Error::other("not a BPF file system"))
}

/// The number of the interface whose links a directory has.
pub(crate) fn ifindex_of(links: &Path) -> Option<u32> {
    links.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
}

/// Entries of a directory; none if it cannot be read.
pub(crate) fn children(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

/// Removes a pin or a directory of pins; a failure is only worth a warning, for nothing depends on it.
pub(crate) fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a pin could not be removed");
    }
}
