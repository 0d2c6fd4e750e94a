//! A table of wrong inputs with what was said about each, kept as one snapshot; and the rules that every message keeps.
//! Must never know what is wrong with an input.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use config::{Problem, Problems};
use tests::programs::workspace_root;

/// One way to spoil a good text: its name, what is replaced (it stands there once), and by what.
pub(super) type Spoiled = (&'static str, &'static str, &'static str);

/// The rows of one table.
pub(super) struct Told {
    name: &'static str,
    text: String,
    /// What was said, and in which case.
    said: BTreeMap<String, String>,
}

impl Told {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, text: String::new(), said: BTreeMap::new() }
    }

    /// Spoils `good` in each way and lets `read` name the problems; the good text has none.
    pub(super) fn spoil(
        &mut self,
        good: &str,
        ways: &[Spoiled],
        mut read: impl FnMut(&str) -> Problems,
    ) {
        assert_eq!(read(good).to_string(), "", "the good text of `{}`", self.name);
        for (case, from, to) in ways {
            assert_eq!(good.matches(from).count(), 1, "{case}: `{from}` must stand there once");
            let problems = read(&good.replace(from, to));
            self.problems(case, &changed(from, to), &problems);
        }
    }

    /// A row about problems in files.
    pub(super) fn problems(&mut self, case: &str, input: &str, problems: &Problems) {
        assert!(!problems.0.is_empty(), "{case}: nothing was said");
        for problem in &problems.0 {
            keeps_the_rules(case, problem);
        }
        let said: Vec<String> = problems.0.iter().map(in_words).collect();
        self.row(case, input, &said.concat());
    }

    /// A row about an error without a place.
    pub(super) fn error(&mut self, case: &str, input: &str, error: &dyn Error) {
        let mut said = format!("{error}\n");
        let mut source = error.source();
        while let Some(inner) = source {
            writeln!(said, "  because: {inner}").unwrap();
            source = inner.source();
        }
        assert!(!said.contains(".\n"), "{case}: no full stop: {said}");
        self.row(case, input, &said);
    }

    /// A row, whatever was said.
    pub(super) fn row(&mut self, case: &str, input: &str, said: &str) {
        if let Some(other) = self.said.insert(said.to_owned(), case.to_owned()) {
            panic!("`{case}` and `{other}` are told the same:\n{said}");
        }
        writeln!(self.text, "## {case}").unwrap();
        for line in input.lines() {
            writeln!(self.text, "    {line}").unwrap();
        }
        writeln!(self.text, "{said}").unwrap();
    }

    /// Compares the whole table with what was agreed on.
    pub(super) fn finish(self) {
        let mut settings = insta::Settings::new();
        settings.set_snapshot_path(workspace_root().join("tests/it/bad_input/snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(self.name, self.text));
    }
}

/// The lines that are changed.
fn changed(from: &str, to: &str) -> String {
    let before = from.lines().map(|line| format!("- {line}"));
    let after = to.lines().map(|line| format!("+ {line}"));
    before.chain(after).collect::<Vec<_>>().join("\n")
}

/// A code, a place, and what to do: help, or what was expected instead.
fn keeps_the_rules(case: &str, problem: &Problem) {
    let Problem { code, message, help, .. } = problem;
    assert!(code.contains('C'), "{case}: code `{code}`");
    assert!(problem.span.is_some() && problem.file.is_some(), "{case}: no place: {problem}");
    assert!(
        help.is_some() || message.contains("expected"),
        "{case}: it does not say what to do next: {problem}"
    );
    let ends = [Some(message), help.as_ref()];
    assert!(!ends.into_iter().flatten().any(|text| text.ends_with('.')), "{case}: {problem}");
}

fn in_words(problem: &Problem) -> String {
    let severity = if problem.warning { "warning" } else { "error" };
    let place = problem.place().unwrap_or_default();
    let mut text = format!("{severity} {} {place}\n  {}\n", problem.code, problem.message);
    if let Some(help) = &problem.help {
        writeln!(text, "  help: {help}").unwrap();
    }
    text
}

/// Gives the files in messages the names that they have from `folder`.
pub(super) fn relative(problems: &Problems, folder: &Path) -> Problems {
    let start = format!("{}/", folder.display());
    let renamed = problems.0.iter().cloned().map(|problem| Problem {
        file: problem
            .file
            .map(|file| config::SourceFile::new(file.name.replace(&start, ""), file.text.clone())),
        message: problem.message.replace(&start, "").into(),
        ..problem
    });
    Problems(renamed.collect())
}
