//! The laboratory: what was made, and the promise to unmake it on return, on panic and on a signal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Signal};

use super::daemon::{Daemon, tail};
use super::namespace::{self, Namespace};
use super::signals;
use crate::{LabError, wait};

/// What every namespace and folder of a laboratory begins with.
pub const PREFIX: &str = "hrlab";
/// The file in a laboratory's folder that says it was left up on purpose.
pub const KEPT_MARK: &str = "kept";
/// How long processes may take to die after SIGKILL.
const DEATH_SECONDS_MAX: Duration = Duration::from_secs(10);
/// How many lines of each log a panicking test shows.
const LOG_LINES_SHOWN: usize = 25;

static COUNT: AtomicU32 = AtomicU32::new(1);

/// A laboratory. Everything made through it is gone when it is dropped, unless [`Lab::keep`] was called.
pub struct Lab {
    roof: Arc<Roof>,
}

/// What has to be unmade; shared with the thread that waits for signals.
pub(super) struct Roof {
    name: String,
    dir: PathBuf,
    namespaces: Mutex<Vec<String>>,
    mounts: Mutex<Vec<PathBuf>>,
    /// Whether it is down. Whoever makes something reads it meanwhile, so that nothing is made behind the back of the teardown.
    down: RwLock<bool>,
    keep: AtomicBool,
}

impl Lab {
    /// A new, empty laboratory with a name that no other on this machine has.
    pub fn new() -> Result<Self, LabError> {
        let name = format!("{PREFIX}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir_all(&dir).map_err(LabError::io(format!("creating {}", dir.display())))?;
        let roof = Arc::new(Roof {
            name,
            dir,
            namespaces: Mutex::default(),
            mounts: Mutex::default(),
            down: RwLock::new(false),
            keep: AtomicBool::new(false),
        });
        signals::watch(&roof)?;
        Ok(Self { roof })
    }

    /// The name that its namespaces begin with.
    pub fn name(&self) -> &str {
        &self.roof.name
    }

    /// The folder for configuration, state and logs. It is removed at the end.
    pub fn dir(&self) -> &Path {
        &self.roof.dir
    }

    /// A folder below [`Lab::dir`], made when it is not there.
    pub fn make_dir(&self, relative: &str) -> Result<PathBuf, LabError> {
        let _up = self.roof.up()?;
        let dir = self.roof.dir.join(relative);
        fs::create_dir_all(&dir).map_err(LabError::io(format!("creating {}", dir.display())))?;
        Ok(dir)
    }

    /// Makes a network namespace with its loopback up.
    pub fn namespace(&self, short: &str) -> Result<Namespace, LabError> {
        let _up = self.roof.up()?;
        let name = format!("{}-{short}", self.roof.name);
        // Noted first: a signal between the two lines must find it.
        lock(&self.roof.namespaces).push(name.clone());
        Namespace::create(name, short)
    }

    /// Mounts a BPF file system of the laboratory's own, where pins outlive the process that made them and not the laboratory.
    pub fn bpffs(&self, relative: &str) -> Result<PathBuf, LabError> {
        let dir = self.make_dir(relative)?;
        let _up = self.roof.up()?;
        lock(&self.roof.mounts).push(dir.clone());
        rustix::mount::mount("bpf", &dir, "bpf", MountFlags::empty(), None)
            .map_err(LabError::call(format!("mounting a BPF file system on {}", dir.display())))?;
        Ok(dir)
    }

    /// Starts a daemon in a namespace, with both output streams in `logs/NAME.log`.
    pub fn daemon(&self, namespace: &Namespace, name: &str, command: &Command) -> Result<Daemon, LabError> {
        let log = self.make_dir("logs")?.join(format!("{name}.log"));
        let _up = self.roof.up()?;
        Daemon::spawn(namespace, name, command, log)
    }

    /// Leaves everything up when this value is dropped.
    pub fn keep(&self) -> Result<(), LabError> {
        let mark = self.roof.dir.join(KEPT_MARK);
        fs::write(&mark, "").map_err(LabError::io(format!("writing {}", mark.display())))?;
        self.roof.keep.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Unmakes everything now, and reports what could not be unmade.
    pub fn close(self) -> Result<(), LabError> {
        self.roof.tear_down()
    }

    /// The last lines of every log, for a person who has to find out why.
    pub fn log_tails(&self, lines: usize) -> String {
        let mut text = String::new();
        let Ok(entries) = fs::read_dir(self.roof.dir.join("logs")) else { return text };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            text.push_str(&format!("--- {name}\n{}\n", tail(&file, lines)));
        }
        text
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tails(LOG_LINES_SHOWN));
        }
        if let Err(error) = self.roof.tear_down() {
            eprintln!("the laboratory {} could not be torn down: {error}", self.roof.name);
        }
    }
}

impl Roof {
    /// The right to make something, for as long as the guard lives.
    fn up(&self) -> Result<RwLockReadGuard<'_, bool>, LabError> {
        signals::wait_if_interrupted();
        let down = self.down.read().unwrap_or_else(PoisonError::into_inner);
        if *down {
            let answer = "it was taken down".to_owned();
            return Err(LabError::Unexpected { what: format!("the laboratory {}", self.name), answer });
        }
        Ok(down)
    }

    /// Kills, removes and unmounts, in that order. Safe to call twice, from two threads.
    pub(super) fn tear_down(&self) -> Result<(), LabError> {
        let mut down = self.down.write().unwrap_or_else(PoisonError::into_inner);
        if self.keep.load(Ordering::SeqCst) || *down {
            return Ok(());
        }
        *down = true;
        let namespaces = lock(&self.namespaces).clone();
        let killed = kill_all(&namespaces);
        let mut first_error = killed.err();
        let mut note = |result: Result<(), LabError>| first_error = first_error.take().or(result.err());
        for name in &namespaces {
            note(namespace::delete(name));
        }
        for dir in lock(&self.mounts).iter().rev() {
            note(unmount(dir));
        }
        note(remove_dir(&self.dir));
        first_error.map_or(Ok(()), Err)
    }
}

/// Kills every process in the namespaces, whoever started it, and waits until none is left.
pub(super) fn kill_all(namespaces: &[String]) -> Result<(), LabError> {
    let ask = || {
        let left: Vec<_> = namespaces.iter().flat_map(|name| namespace::pids(name)).collect();
        for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // Gone already is as good as killed.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        if left.is_empty() { Ok(()) } else { Err(format!("processes {left:?}")) }
    };
    wait::until("every process of the laboratory to end", DEATH_SECONDS_MAX, ask).map(|_| ())
}

pub(super) fn unmount(dir: &Path) -> Result<(), LabError> {
    match rustix::mount::unmount(dir, UnmountFlags::DETACH) {
        // Not a mount point, or not there: nothing to undo.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(LabError::Io { doing: format!("unmounting {}", dir.display()), source: errno.into() }),
    }
}

pub(super) fn remove_dir(dir: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::Io { doing: format!("removing {}", dir.display()), source: error })
        }
        _ => Ok(()),
    }
}

/// A lock whose holder panicked still guards a list that is worth reading at teardown.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
