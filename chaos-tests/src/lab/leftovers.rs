//! What laboratories left behind on this machine: the guard of the tests, and the broom for after `--keep`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::namespace;
use super::roof::{KEPT_MARK, PREFIX, kill_all, remove_dir, unmount};
use crate::LabError;

/// One thing that is still there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// A network namespace.
    Namespace(String),
    /// A process in a namespace of a laboratory.
    Process {
        /// The namespace.
        namespace: String,
        /// The process id.
        pid: i32,
    },
    /// A mount below a laboratory's folder.
    Mount(PathBuf),
    /// A laboratory's folder.
    Folder(PathBuf),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::Process { namespace, pid } => write!(f, "process {pid} in {namespace}"),
            Self::Mount(path) => write!(f, "mount {}", path.display()),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
        }
    }
}

/// Everything that laboratories whose names begin with `prefix` have on this machine now.
pub fn leftovers(prefix: &str) -> Vec<Leftover> {
    let mut found = Vec::new();
    for name in namespace::list(prefix) {
        found.extend(namespace::pids(&name).into_iter().map(|pid| Leftover::Process { namespace: name.clone(), pid }));
        found.push(Leftover::Namespace(name));
    }
    found.extend(mounts(prefix).into_iter().map(Leftover::Mount));
    found.extend(folders(prefix).into_iter().map(Leftover::Folder));
    found
}

/// Removes the laboratories whose makers are gone or that were kept on purpose; returns what was removed.
pub fn clean() -> Result<Vec<Leftover>, LabError> {
    let mut removed = Vec::new();
    for lab in laboratories() {
        let prefix = format!("{lab}-");
        let namespaces = namespace::list(&prefix);
        removed.extend(leftovers(&prefix));
        kill_all(&namespaces)?;
        for name in &namespaces {
            namespace::delete(name)?;
        }
        let dir = std::env::temp_dir().join(&lab);
        for mount in mounts(&lab).iter().filter(|mount| mount.starts_with(&dir)).rev() {
            unmount(mount)?;
            removed.push(Leftover::Mount(mount.clone()));
        }
        if dir.exists() {
            remove_dir(&dir)?;
            removed.push(Leftover::Folder(dir));
        }
    }
    Ok(removed)
}

/// The names of laboratories that nobody is using: `hrlab-PID-N` whose process has ended, or that carry the mark.
fn laboratories() -> Vec<String> {
    let from_folders = folders(PREFIX).into_iter().filter_map(|dir| Some(dir.file_name()?.to_str()?.to_owned()));
    let mut labs: Vec<_> = namespace::list(PREFIX).iter().filter_map(|name| lab_of(name)).chain(from_folders).collect();
    labs.sort();
    labs.dedup();
    labs.retain(|lab| is_abandoned(lab));
    labs
}

fn is_abandoned(lab: &str) -> bool {
    if std::env::temp_dir().join(lab).join(KEPT_MARK).exists() {
        return true;
    }
    let maker = lab.split('-').nth(1).unwrap_or_default();
    !Path::new("/proc").join(maker).exists()
}

/// `hrlab-12-1-lb1` belongs to `hrlab-12-1`.
fn lab_of(namespace: &str) -> Option<String> {
    let parts: Vec<_> = namespace.splitn(4, '-').collect();
    (parts.len() == 4).then(|| parts[..3].join("-"))
}

fn folders(prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn mounts(prefix: &str) -> Vec<PathBuf> {
    let root = std::env::temp_dir().join(prefix).to_string_lossy().into_owned();
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|path| path.starts_with(&root))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_tells_its_laboratory() {
        assert_eq!(lab_of("hrlab-12-1-lb1"), Some("hrlab-12-1".to_owned()));
        assert_eq!(lab_of("hrlab-12-1-net-vip"), Some("hrlab-12-1".to_owned()));
        assert_eq!(lab_of("hrlab-12"), None);
    }

    #[test]
    fn a_laboratory_in_use_is_not_abandoned() {
        assert!(!is_abandoned(&format!("{PREFIX}-{}-9", std::process::id())));
    }
}
