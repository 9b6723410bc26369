//! The manual has the same table of kernels as `cargo xtask kernels`.

use std::fs;
use std::path::Path;

use super::Finding;
use crate::kernels::table::KERNELS;

const MANUAL: &str = "docs/manual/kernels.md";
/// How the table begins; the rows of the other tables of the page are not compared.
const HEADING: &str = "| name | package | releases | lacks | expected |";

/// Compares the two tables, row by row.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    let file = root.join(MANUAL);
    let page = fs::read_to_string(&file).unwrap_or_default();
    let program: Vec<String> = KERNELS.iter().map(|kernel| row(kernel.cells())).collect();
    differences(&program, &rows(&page))
        .into_iter()
        .map(|(line, what)| Finding { file: file.clone(), line, what })
        .collect()
}

/// What each lacks of the other, and where in the manual.
fn differences(program: &[String], manual: &[(usize, String)]) -> Vec<(usize, String)> {
    let missing = program.iter().filter(|row| !manual.iter().any(|(_, there)| there == *row));
    let missing = missing.map(|row| (1, format!("the kernel `{row}` is missing or another")));
    let left_over = manual.iter().filter(|(_, row)| !program.contains(row));
    missing.chain(left_over.map(|(line, row)| (*line, format!("the program has no kernel `{row}`")))).collect()
}

/// A row as Markdown has it.
fn row(cells: [&str; 5]) -> String {
    let [name, package, release, lacks, expected] = cells;
    format!("| `{name}` | `{package}` | {release}x | {lacks} | {expected} |")
}

/// The rows below the heading, with their numbers of lines.
fn rows(page: &str) -> Vec<(usize, String)> {
    let behind = (1..).zip(page.lines()).skip_while(|(_, line)| *line != HEADING).skip(2);
    behind.take_while(|(_, line)| line.starts_with('|')).map(|(number, line)| (number, line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_only_one_of_them_has_is_noticed() {
        let same = row(["a", "linux", "6.1.", "b", "c"]);
        let page = format!("| x |\n|---|\n| y |\n\n{HEADING}\n|---|---|---|---|---|\n{same}\n\n| z |\n");
        assert_eq!(rows(&page), [(7, same.clone())]);
        assert!(differences(std::slice::from_ref(&same), &rows(&page)).is_empty());
        let other = row(["a", "linux", "6.12.", "b", "c"]);
        let found = differences(&[other], &rows(&page));
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 7]);
    }
}
