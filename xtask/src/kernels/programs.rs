//! Programs of this machine for the guest, each with the libraries that it is linked with.

use std::fs;
use std::path::{Path, PathBuf};

use super::cpio::Archive;
use crate::failure::Failure;
use crate::machine;
use crate::shell::output;

/// What the first process and the tests run.
const PROGRAMS: [&str; 14] = [
    "sh", "cat", "mount", "umount", "insmod", "sleep", "find", "ip", "tc", "ping", "nsenter", "unshare", "setpriv",
    "bpftool",
];

/// Adds them all, in `/bin`.
pub(crate) fn add(archive: &mut Archive) -> Result<(), Failure> {
    for name in PROGRAMS {
        let file = machine::find(name).ok_or_else(|| {
            Failure::other(format!("the tests in the guest run `{name}`, and this machine has none: install it"))
        })?;
        add_program(archive, &file, &format!("/bin/{name}"))?;
    }
    Ok(())
}

/// Adds one program under a name, and its libraries where the loader looks for them.
pub(crate) fn add_program(archive: &mut Archive, file: &Path, name: &str) -> Result<(), Failure> {
    archive.program(name, &read(file)?)?;
    // A program without libraries makes `ldd` fail.
    let listed = output("ldd", &[&file.to_string_lossy()]).unwrap_or_default();
    for library in libraries(&listed) {
        archive.program(&library.to_string_lossy(), &read(&library)?)?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| Failure::other(format!("{} could not be read: {error}", file.display())))
}

/// The paths in what `ldd` prints: `name => /path (address)`, and `/path (address)` of the loader.
fn libraries(listed: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let line = line.split(" (").next()?.trim();
        let path = line.rsplit("=> ").next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    listed.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found_and_what_has_no_file_is_not() {
        let listed = "\tlinux-vdso.so.1 (0x00007f41f6ced000)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f41f6b00000)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f41f6cef000)\n";
        let expected = ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries(listed), expected);
    }
}
