//! Rules that a Rust file shows line by line: its header, its length, words that may not stay.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::Metadata;

use super::{CRATE_LINES_MAX, Exception, FILE_LINES_MAX, LARGE_CRATES, LONG_FILES, Problem};
use crate::process;

/// A Rust file of the workspace.
pub(super) struct RustFile {
    /// From the workspace's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Folders at the root that hold nothing of ours.
const NOT_OURS: &[&str] = &["target", "node_modules"];
/// Macros that mark unfinished work.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];
/// Macros that print; libraries log or return.
const PRINTING: &[&str] = &["println!", "eprintln!", "print!", "eprint!"];
/// Where they may stand. The programs print by `program::print` and `program::tell!`: these panic at a closed pipe.
const MAY_PRINT: &[&str] = &["xtask/", "tests/"];
/// Serde forms that buffer their input, so the place of an error is lost.
const BUFFERING: &[&str] = &["serde(flatten", "serde(untagged", "serde(tag"];

impl RustFile {
    /// The lines of the code proper and those of its tests, which begin at `#[cfg(test)]` on a module with a body.
    pub(super) fn code_and_tests(&self) -> (Vec<&str>, Vec<&str>) {
        let lines: Vec<&str> = self.text.lines().collect();
        if self.is_test_file() {
            return (Vec::new(), lines);
        }
        let starts_tests = |pair: &[&str]| {
            pair[0].trim() == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{')
        };
        let split = lines.windows(2).position(starts_tests).unwrap_or(lines.len());
        (lines[..split].to_vec(), lines[split..].to_vec())
    }

    /// A file that holds tests or benches only, by its path.
    pub(super) fn is_test_file(&self) -> bool {
        let path = &self.path;
        path.starts_with("tests/")
            || path.ends_with("/tests.rs")
            || path.contains("/tests/")
            || path.contains("/benches/")
    }

    /// Lines that are neither empty nor a comment.
    fn code_lines(&self) -> usize {
        self.text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).count()
    }
}

/// Every Rust file of the workspace.
pub(super) fn rust_files(root: &Path) -> Result<Vec<RustFile>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list `{}`", folder.display()))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && !NOT_OURS.contains(&name.as_ref()) {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read `{}`", path.display()))?;
                let path = path.strip_prefix(root).unwrap_or(&path);
                files.push(RustFile { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}

/// All rules about files, and the length of each crate.
pub(super) fn check(metadata: &Metadata, files: &[RustFile]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = files.iter().flat_map(check_file).collect();
    let root = process::workspace_root();
    for package in metadata.workspace_packages() {
        let folder =
            package.manifest_path.parent().map(cargo_metadata::camino::Utf8Path::as_std_path);
        let prefix = folder.and_then(|folder| folder.strip_prefix(&root).ok());
        let prefix = format!("{}/", prefix.unwrap_or(Path::new("")).display());
        let lines =
            files.iter().filter(|f| f.path.starts_with(&prefix)).map(RustFile::code_lines).sum();
        problems.extend(check_length(&package.name, lines, CRATE_LINES_MAX, LARGE_CRATES));
    }
    problems
}

/// All rules about one file.
pub(super) fn check_file(file: &RustFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !file.text.starts_with("//!") {
        let text = "opens with `//!`: what it does";
        problems.push(Problem::new(&file.path, text));
    }
    problems.extend(check_length(&file.path, file.code_lines(), FILE_LINES_MAX, LONG_FILES));
    // This checker has to spell the words that it looks for.
    if file.path.starts_with("xtask/src/tidy") {
        return problems;
    }
    let (code, tests) = file.code_and_tests();
    let may_print = MAY_PRINT.iter().any(|start| file.path.starts_with(start));
    let has_raw_types = file.text.contains("struct Raw") || file.text.contains("enum Raw");
    for (index, line) in code.iter().chain(&tests).enumerate() {
        let place = || format!("{}:{}", file.path, index + 1);
        if line.trim_start().starts_with("//") {
            continue;
        }
        for word in UNFINISHED.iter().filter(|word| calls(line, word)) {
            problems.push(Problem::new(place(), format!("`{word}` may not stay")));
        }
        let printing = PRINTING.iter().find(|word| calls(line, word));
        if let Some(word) = printing.filter(|_| !may_print && index < code.len()) {
            problems.push(Problem::new(
                place(),
                format!("`{word}`: programs use `program::print`, libraries log"),
            ));
        }
        if let Some(form) = BUFFERING.iter().find(|form| has_raw_types && line.contains(*form)) {
            let text = format!("`{form}…` beside a raw type: serde buffers it, spans go wrong");
            problems.push(Problem::new(place(), text));
        }
    }
    problems
}

/// One length against its bound; an exception that is no longer needed is a problem too.
pub(super) fn check_length(
    place: &str,
    lines: usize,
    lines_max: usize,
    exceptions: &[Exception],
) -> Option<Problem> {
    let excepted = exceptions.iter().any(|(name, _)| *name == place);
    match (lines > lines_max, excepted) {
        (true, false) => {
            Some(Problem::new(place, format!("{lines} code lines, at most {lines_max}: split it")))
        }
        (false, true) => {
            Some(Problem::new(place, "is short enough: remove its exception from tidy.rs"))
        }
        _ => None,
    }
}

/// Whether the line calls this macro, and not one whose name merely ends alike.
fn calls(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.as_bytes().get(at.wrapping_sub(1)).copied().unwrap_or(b' ');
        !(before.is_ascii_alphanumeric() || matches!(before, b'_' | b'"' | b'`'))
    })
}
