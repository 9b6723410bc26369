//! A distribution's kernel, out of its package and without installing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::table::Kernel;
use crate::build::target_dir;
use crate::failure::Failure;
use crate::machine::Root;
use crate::packages;
use crate::shell::{output, run};

/// A kernel that can be booted.
pub(crate) struct Unpacked {
    /// The folder of this package in the cache; what is made for its guest goes there too.
    pub(crate) folder: PathBuf,
    /// What the package holds, as it would lie below `/`.
    pub(crate) root: PathBuf,
    /// What `uname -r` says under it.
    pub(crate) release: String,
}

impl Unpacked {
    /// The kernel itself.
    pub(crate) fn image(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.release))
    }
}

/// Downloads the package unless the cache has it, and unpacks it.
pub(crate) fn fetch(kernel: &Kernel, root: Root) -> Result<Unpacked, Failure> {
    let offer = offer(kernel, root)?;
    let folder = target_dir().join("kernels").join(kernel.name).join(offer.file.trim_end_matches(".deb"));
    let unpacked = Unpacked { root: folder.join("root"), release: offer.release, folder };
    if unpacked.image().exists() {
        return Ok(unpacked);
    }
    fs::create_dir_all(&unpacked.folder)?;
    run(Command::new("apt-get").args(["download", "-qq", &offer.package]).current_dir(&unpacked.folder))?;
    let package = unpacked.folder.join(&offer.file);
    unpack(&package, &unpacked.root)?;
    fs::remove_file(&package)?;
    if unpacked.image().exists() {
        return Ok(unpacked);
    }
    Err(Failure::other(format!("{} holds no {}", offer.file, unpacked.image().display())))
}

/// All of it or nothing: an unpacking that was cut short is not taken for a kernel.
fn unpack(package: &Path, root: &Path) -> Result<(), Failure> {
    let partial = root.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    run(Command::new("dpkg").arg("-x").arg(package).arg(&partial))?;
    fs::rename(&partial, root)?;
    Ok(())
}

/// What apt would download.
struct Offer {
    package: String,
    release: String,
    file: String,
}

/// Asks apt; if it knows nothing of the package, once more after `apt-get update`.
fn offer(kernel: &Kernel, root: Root) -> Result<Offer, Failure> {
    if let Some(offer) = known(kernel) {
        return Ok(offer);
    }
    packages::update(root)?;
    known(kernel).ok_or_else(|| {
        let Kernel { name, package, release, .. } = kernel;
        Failure::other(format!(
            "apt offers no {package} that depends on a kernel {release}x, which {name} stands for: is it among apt's sources?"
        ))
    })
}

fn known(kernel: &Kernel) -> Option<Offer> {
    let package = concrete(&output("apt-cache", &["depends", kernel.package])?, kernel.release)?;
    let uris = output("apt-get", &["download", "--print-uris", &package])?;
    let release = package.strip_prefix(PREFIX)?.to_owned();
    Some(Offer { file: file_name(&uris)?, release, package })
}

/// What the names of Debian's packages with a kernel begin with; the rest is its release.
const PREFIX: &str = "linux-image-";

/// The package that a metapackage depends on, if it holds a kernel of the series.
fn concrete(depends: &str, series: &str) -> Option<String> {
    let packages = depends.lines().filter_map(|line| line.trim().trim_start_matches('|').strip_prefix("Depends: "));
    packages
        .filter(|package| package.strip_prefix(PREFIX).is_some_and(|release| release.starts_with(series)))
        .map(str::to_owned)
        .next()
}

/// The name of the file in a line such as `'https://…' linux-image-…_amd64.deb 70550672 SHA256:…`.
fn file_name(uris: &str) -> Option<String> {
    let words = uris.lines().find(|line| line.starts_with('\''))?;
    words.split_whitespace().nth(1).filter(|file| file.ends_with(".deb") && !file.contains('/')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_behind_the_metapackage_is_of_the_series_or_none() {
        let depends = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n";
        assert_eq!(concrete(depends, "6.1.").unwrap(), "linux-image-6.1.0-56-amd64");
        assert!(concrete(depends, "6.12.").is_none());
    }

    #[test]
    fn the_file_is_the_second_word_of_the_line_with_the_address() {
        let uris = "W: something\n'http://example.org/p/l.deb' linux-image-6.1.0_6.1_amd64.deb 70550672 SHA256:00\n";
        assert_eq!(file_name(uris).unwrap(), "linux-image-6.1.0_6.1_amd64.deb");
        assert!(file_name("").is_none());
    }
}
