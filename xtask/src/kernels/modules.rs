//! Kernel modules: which files the guest loads, and in which order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::shell::run_quietly;

/// What the tests need and distributions build as modules; what is built into a kernel is left out by itself.
const WANTED: [&str; 5] = ["veth", "tun", "8021q", "sch_ingress", "cls_bpf"];

/// The folder of one kernel's modules, after `depmod`.
pub(crate) struct Modules {
    folder: PathBuf,
    dependencies: String,
    builtin: String,
}

impl Modules {
    /// Reads the indices; `depmod` writes the one of dependencies, which packages leave to the machine that installs them.
    pub(crate) fn open(root: &Path, release: &str) -> Result<Self, Failure> {
        let folder = root.join("lib/modules").join(release);
        let index = folder.join("modules.dep");
        if !index.exists() {
            let mut depmod = Command::new(crate::machine::find("depmod").unwrap_or_else(|| "depmod".into()));
            run_quietly(depmod.arg("-b").arg(root).arg(release))?;
        }
        let read = |file: &Path| {
            fs::read_to_string(file).map_err(|error| {
                Failure::other(format!("{}: {error}. Remove the folder of this kernel, and try again", file.display()))
            })
        };
        Ok(Self { dependencies: read(&index)?, builtin: read(&folder.join("modules.builtin"))?, folder })
    }

    /// The names and contents of the files to load, in this order.
    pub(crate) fn to_load(&self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut order = Vec::new();
        for name in WANTED {
            if is_builtin(&self.builtin, name) {
                continue;
            }
            let files = with_dependencies(&self.dependencies, name)
                .ok_or_else(|| Failure::other(format!("this kernel has no module {name}, and the tests need it")))?;
            let fresh: Vec<_> = files.into_iter().filter(|file| !order.contains(file)).collect();
            order.extend(fresh);
        }
        order.iter().map(|file| Ok((module_name(file), self.content(file)?))).collect()
    }

    fn content(&self, file: &str) -> Result<Vec<u8>, Failure> {
        let path = self.folder.join(file);
        let unpack = match path.extension().and_then(|end| end.to_str()) {
            Some("xz") => "xz",
            Some("zst") => "zstd",
            _ => {
                return fs::read(&path).map_err(|error| {
                    Failure::other(format!("the module {} could not be read: {error}", path.display()))
                });
            }
        };
        let output = Command::new(unpack).arg("-dc").arg(&path).output();
        match output {
            Ok(output) if output.status.success() => Ok(output.stdout),
            _ => Err(Failure::other(format!("`{unpack} -dc {}` failed; is {unpack} installed?", path.display()))),
        }
    }
}

/// `veth` of `kernel/drivers/net/veth.ko` or `….ko.xz`. In names of files, a dash is an underscore.
fn module_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base).replace('-', "_")
}

/// Whether a module is part of the kernel itself, by `modules.builtin`: one file a line.
fn is_builtin(index: &str, name: &str) -> bool {
    index.lines().any(|file| module_name(file) == name)
}

/// The file of a module behind those that it needs, by `modules.dep`: `file: dependency …`, all of them, those needed first last.
fn with_dependencies(index: &str, name: &str) -> Option<Vec<String>> {
    let (file, needed) =
        index.lines().filter_map(|line| line.split_once(':')).find(|(file, _)| module_name(file) == name)?;
    Some(needed.split_whitespace().rev().chain([file]).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "kernel/net/a.ko: kernel/lib/b.ko kernel/lib/c.ko\nkernel/lib/b.ko: kernel/lib/c.ko\nkernel/lib/c.ko:\n\
                         kernel/net/long-name.ko.xz:\n";

    #[test]
    fn what_a_module_needs_comes_before_it() {
        let order = with_dependencies(INDEX, "a").unwrap();
        assert_eq!(order, ["kernel/lib/c.ko", "kernel/lib/b.ko", "kernel/net/a.ko"]);
        assert_eq!(with_dependencies(INDEX, "c").unwrap(), ["kernel/lib/c.ko"]);
        assert_eq!(with_dependencies(INDEX, "long_name").unwrap(), ["kernel/net/long-name.ko.xz"]);
        assert!(with_dependencies(INDEX, "d").is_none());
    }

    #[test]
    fn what_is_built_in_is_known_by_its_name() {
        let index = "kernel/net/ipv6/ipv6.ko\nkernel/drivers/some-thing.ko\n";
        assert!(is_builtin(index, "ipv6") && is_builtin(index, "some_thing"));
        assert!(!is_builtin(index, "veth"));
    }
}
