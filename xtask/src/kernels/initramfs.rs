//! The guest's file system: the tests, the programs that they run, the modules, and a first process.

use std::fs;
use std::path::Path;

use super::cpio::Archive;
use super::modules::Modules;
use super::programs;
use crate::build::repository;
use crate::failure::Failure;

/// The first process.
const INIT: &str = include_str!("init.sh");
/// Where things are mounted: nothing that a repository lies in, for the corpus lies where it was when the tests were built.
const FOLDERS: [&str; 4] = ["/proc", "/sys", "/dev", "/scratch"];
/// What the tests read of the repository; they look for it where it was when they were built.
const CORPUS: &str = "dataplane/tests/corpus";
/// How much of what tests repeat they repeat in the guest, in percent: without acceleration, everything takes several times as long.
const SCALE_PERCENT: u32 = 5;

/// Makes it.
pub(crate) fn make(file: &Path, tests: &Path, modules: &Modules, filter: &str) -> Result<(), Failure> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder)?;
    }
    archive.program("/init", INIT.as_bytes())?;
    programs::add(&mut archive)?;
    programs::add_program(&mut archive, tests, "/tests")?;
    let mut names = Vec::new();
    for (name, content) in modules.to_load()? {
        archive.file(&format!("/modules/{name}.ko"), &content)?;
        names.push(name);
    }
    archive.file("/settings.sh", settings(&names, filter).as_bytes())?;
    corpus(&mut archive)?;
    archive.write(file)
}

/// What the first process reads.
fn settings(modules: &[String], filter: &str) -> String {
    let modules = modules.join(" ");
    format!("MODULES='{modules}'\nFILTER='{filter}'\nexport HEDGEROW_TEST_SCALE_PERCENT={SCALE_PERCENT}\n")
}

fn corpus(archive: &mut Archive) -> Result<(), Failure> {
    let folder = repository().join(CORPUS);
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        archive.file(&path.to_string_lossy(), &fs::read(&path)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_hides_no_repository() {
        let mounts = INIT.lines().filter(|line| line.starts_with("mount "));
        let targets: Vec<&str> = mounts.filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(targets, ["/proc", "/sys", "/dev", "/scratch", "/sys/fs/bpf"]);
    }

    #[test]
    fn the_first_process_reads_what_is_written_for_it() {
        let text = settings(&["veth".to_owned(), "cls_bpf".to_owned()], "guard::");
        assert_eq!(
            text,
            format!("MODULES='veth cls_bpf'\nFILTER='guard::'\nexport HEDGEROW_TEST_SCALE_PERCENT={SCALE_PERCENT}\n")
        );
        for word in [". /settings.sh", "$MODULES", "$FILTER"] {
            assert!(INIT.contains(word), "{word}");
        }
    }
}
