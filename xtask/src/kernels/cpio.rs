//! Archives in the `newc` form of cpio, which the kernel unpacks as its first file system
//! (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::failure::Failure;

/// File types and rights, as in `st_mode`.
const FOLDER_MODE: u32 = 0o040_755;
const FILE_MODE: u32 = 0o100_644;
const PROGRAM_MODE: u32 = 0o100_755;
/// Headers and contents begin at multiples of so many bytes.
const ALIGNMENT_BYTES: usize = 4;
/// The name of the entry that ends an archive.
const END: &str = "TRAILER!!!";

/// An archive that grows in memory.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    there: BTreeSet<String>,
}

impl Archive {
    /// Adds a folder with those above it. Adding what is there already does nothing.
    pub(crate) fn folder(&mut self, path: &str) -> Result<(), Failure> {
        let path = path.trim_matches('/');
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        for folder in above.chain([path]).filter(|folder| !folder.is_empty()) {
            self.entry(folder, FOLDER_MODE, &[])?;
        }
        Ok(())
    }

    /// Adds a file that is no program, and the folders above it.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> Result<(), Failure> {
        self.leaf(path, FILE_MODE, content)
    }

    /// Adds a file that can be run, and the folders above it.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) -> Result<(), Failure> {
        self.leaf(path, PROGRAM_MODE, content)
    }

    /// Ends the archive and writes it.
    pub(crate) fn write(mut self, file: &Path) -> Result<(), Failure> {
        self.entry(END, 0, &[])?;
        fs::write(file, &self.bytes).map_err(|error| failed(file, &error))
    }

    fn leaf(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), Failure> {
        let path = path.trim_matches('/');
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder)?;
        }
        self.entry(path, mode, content)
    }

    /// Header, name and content: thirteen numbers of eight hexadecimal digits behind a magic one.
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<(), Failure> {
        if !self.there.insert(name.to_owned()) {
            return Ok(());
        }
        let length = |bytes: usize| {
            u32::try_from(bytes).map_err(|_| {
                Failure::other(format!("{name} has {bytes} bytes: an initramfs takes no file above 4 GiB"))
            })
        };
        self.entries += 1;
        let links = if mode == FOLDER_MODE { 2 } else { 1 };
        let (size, name_size) = (length(content.len())?, length(name.len() + 1)?);
        self.bytes.extend_from_slice(b"070701");
        // Inode, mode, user, group, links, time, size, two numbers of the device, two of the one that it names, name, checksum.
        for number in [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT_BYTES), 0);
    }
}

fn failed(file: &Path, error: &io::Error) -> Failure {
    Failure::other(format!("{} could not be written: {error}. Is there room on the disk?", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names, modes and contents, read back by the rules of the form.
    fn read(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let (mut at, mut entries) = (0, Vec::new());
        while at < bytes.len() {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let text = std::str::from_utf8(&bytes[at + 6..at + 110]).unwrap();
            let number = |field: usize| u32::from_str_radix(&text[field * 8..field * 8 + 8], 16).unwrap();
            let (size, name_size) = (number(6) as usize, number(11) as usize);
            let name = std::str::from_utf8(&bytes[at + 110..at + 110 + name_size - 1]).unwrap();
            let content = (at + 110 + name_size).next_multiple_of(4);
            entries.push((name.to_owned(), number(1), bytes[content..content + size].to_vec()));
            at = (content + size).next_multiple_of(4);
        }
        entries
    }

    #[test]
    fn what_goes_in_comes_out_with_its_folders_once() {
        let file = std::env::temp_dir().join(format!("hedgerow-cpio-{}", std::process::id()));
        let mut archive = Archive::default();
        archive.folder("/proc").unwrap();
        archive.program("/bin/sh", b"#!").unwrap();
        archive.file("/bin/of/data", b"12345").unwrap();
        archive.file("/bin/of/data", b"again").unwrap();
        archive.write(&file).unwrap();
        let entries = read(&fs::read(&file).unwrap());
        fs::remove_file(&file).unwrap();
        let names: Vec<_> = entries.iter().map(|(name, mode, content)| (name.as_str(), *mode, content.len())).collect();
        let folder = FOLDER_MODE;
        assert_eq!(
            names,
            [
                ("proc", folder, 0),
                ("bin", folder, 0),
                ("bin/sh", PROGRAM_MODE, 2),
                ("bin/of", folder, 0),
                ("bin/of/data", FILE_MODE, 5),
                (END, 0, 0)
            ]
        );
        assert_eq!(entries[4].2, b"12345");
    }
}
