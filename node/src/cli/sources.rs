//! Documents from files, directories and standard input.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use policy::SourceText;

use super::failure::Failure;
use crate::{http::BODY_BYTES_MAX, view::Source};

/// What a file of documents is called in a directory.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// What standard input is called in findings.
const STDIN_NAME: &str = "<standard input>";

/// Reads every path: a file, a directory (its documents, sorted by name), or `-`.
pub(super) fn read(paths: &[PathBuf], stdin: &mut dyn Read) -> Result<Vec<SourceText>, Failure> {
    let mut sources = Vec::new();
    let mut left = BODY_BYTES_MAX;
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(one(STDIN_NAME.to_owned(), path, stdin, &mut left)?);
        } else {
            for file in files(path)? {
                let mut open = fs::File::open(&file).map_err(|source| Failure::Read { path: file.clone(), source })?;
                sources.push(one(file.display().to_string(), &file, &mut open, &mut left)?);
            }
        }
    }
    Ok(sources)
}

/// The sources as the API takes them.
pub(super) fn wire(sources: &[SourceText]) -> Vec<Source> {
    sources.iter().map(|source| Source { name: source.name.clone(), text: source.text.clone() }).collect()
}

/// Reads one source, taking its size from what is left of the bound.
fn one(name: String, path: &Path, from: &mut dyn Read, left: &mut usize) -> Result<SourceText, Failure> {
    let failed = |source| Failure::Read { path: path.to_owned(), source };
    let mut text = String::new();
    from.take(*left as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    *left = left.checked_sub(text.len()).ok_or(Failure::TooLarge { limit: BODY_BYTES_MAX })?;
    Ok(SourceText { name, text })
}

/// The file, or the documents of the directory.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |source| Failure::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let named = file.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known));
        if named && !hidden && file.is_file() {
            found.push(file);
        }
    }
    if found.is_empty() {
        return Err(Failure::NoDocuments { path: path.to_owned() });
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &[SourceText], under: &Path) -> Vec<String> {
        sources.iter().map(|source| source.name.replace(&format!("{}/", under.display()), "")).collect()
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_names_and_other_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["b.yml", "a.yaml", "c.json", "notes.txt", ".hidden.yaml"] {
            fs::write(directory.path().join(file), "x: 1\n").unwrap();
        }
        fs::create_dir(directory.path().join("d.yaml")).unwrap();
        let sources = read(&[directory.path().to_owned()], &mut std::io::empty()).unwrap();
        assert_eq!(names(&sources, directory.path()), ["a.yaml", "b.yml", "c.json"]);
    }

    #[test]
    fn standard_input_has_a_name() {
        let sources = read(&["-".into()], &mut "kind: Segment\n".as_bytes()).unwrap();
        assert_eq!(sources[0].name, STDIN_NAME);
        assert_eq!(sources[0].text, "kind: Segment\n");
    }

    #[test]
    fn an_empty_directory_and_a_missing_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let empty = read(&[directory.path().to_owned()], &mut std::io::empty()).unwrap_err();
        assert!(empty.to_string().ends_with("has no *.yaml, *.yml or *.json"), "{empty}");
        let missing = read(&[directory.path().join("no.yaml")], &mut std::io::empty()).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read"), "{missing}");
    }

    /// G15: input beyond the bound is refused before it is held in memory.
    #[test]
    fn more_than_an_agent_takes_is_refused() {
        let error = read(&["-".into()], &mut std::io::repeat(b' ')).unwrap_err();
        assert!(matches!(error, Failure::TooLarge { .. }), "{error}");
    }
}
