//! A TOML table that knows its file, the places of its values and which keys were asked for. Must never know what a key
//! means.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use model::{Localized, text};
use toml::de::DeTable;

use crate::problem::{Problem, Problems, SourceFile};
use crate::value::{FromToml, Item};

/// A value and the bytes where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// The file.
    pub file: Arc<SourceFile>,
    /// The bytes.
    pub span: Range<usize>,
}

impl<T> Spanned<T> {
    /// A problem at this place.
    pub fn problem(&self, code: &'static str, message: impl Into<Localized>) -> Problem {
        Problem::new(code, message).at(&self.file, self.span.clone())
    }

    /// The same place with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), file: self.file, span: self.span }
    }
}

/// One table of a file. Keys are taken out of it; [`Table::finish`] reports what is left.
#[derive(Debug, Clone)]
pub struct Table {
    file: Arc<SourceFile>,
    span: Range<usize>,
    /// Path of this table in the file, `device[2].`, for messages.
    path: String,
    entries: BTreeMap<String, (Range<usize>, Item, Range<usize>)>,
    asked: Vec<&'static str>,
}

/// Code of a text that is not TOML.
pub(crate) const CODE_SYNTAX: &str = "C001";
/// Code of a key that is missing.
pub(crate) const CODE_MISSING: &str = "C002";
/// Code of a value of another type or form.
pub(crate) const CODE_TYPE: &str = "C003";
/// Code of a key that nobody knows.
pub(crate) const CODE_UNKNOWN: &str = "C004";

/// What is said of a key that stands twice; everything else in the file is read all the same.
pub(crate) const DUPLICATE_KEY: &str = "not valid TOML: duplicate key";

/// Characters that an input method or a word processor writes in the place of one that TOML knows.
const FOREIGN: [(&str, char); 9] = [
    ("\u{201C}\u{201D}\u{201E}\u{FF02}", '"'),
    ("\u{2018}\u{2019}\u{FF07}", '\''),
    ("\u{FF1D}", '='),
    ("\u{FF3B}\u{3010}", '['),
    ("\u{FF3D}\u{3011}", ']'),
    ("\u{FF0C}\u{3001}", ','),
    ("\u{FF0E}\u{3002}", '.'),
    ("\u{FF03}", '#'),
    ("\u{3000}\u{A0}", ' '),
];

/// What to do about such a character in a line that is not TOML.
fn foreign(line: &str) -> Option<String> {
    let found = |c: char| {
        FOREIGN.iter().find(|(foreign, _)| foreign.contains(c)).map(|(_, plain)| (c, *plain))
    };
    let (foreign, plain) = line.chars().find_map(found)?;
    Some(format!(
        "`{foreign}` (U+{:04X}) is not `{plain}`: type it with the input method off",
        u32::from(foreign)
    ))
}

impl Table {
    /// Parses a whole file; syntax errors go to `problems`, and what could be read is returned.
    pub fn parse(file: &Arc<SourceFile>, problems: &mut Problems) -> Self {
        let (root, errors) = DeTable::parse_recoverable(&file.text);
        let mut lines = BTreeSet::new();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let line = file.line_column(span.start).0;
            // What follows in the line is mostly the same fault once more.
            if !lines.insert(line) {
                continue;
            }
            let message = format!("not valid TOML: {}", error.message().trim());
            let help = if message == DUPLICATE_KEY {
                "remove one of the two; sections of which there are several are written `[[…]]`"
                    .to_owned()
            } else {
                let found = file.text.lines().nth(line.saturating_sub(1)).and_then(foreign);
                found.unwrap_or_else(|| {
                    "correct the syntax here; text values stand in \"quotes\"".to_owned()
                })
            };
            problems.push(Problem::new(CODE_SYNTAX, message).at(file, span).help(help));
        }
        let span = root.span();
        Self::of(file, root.get_ref(), span, String::new())
    }

    /// A table without keys, for a section that may be left out; its place is the top of `file`.
    #[must_use]
    pub fn empty(file: &Arc<SourceFile>) -> Self {
        Self {
            file: Arc::clone(file),
            span: 0..0,
            path: String::new(),
            entries: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    pub(crate) fn of(
        file: &Arc<SourceFile>,
        table: &DeTable<'_>,
        span: Range<usize>,
        path: String,
    ) -> Self {
        let entries = table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let below = format!("{path}{name}");
                let item = Item::of(file, value.get_ref(), value.span(), &below);
                (name, (key.span(), item, value.span()))
            })
            .collect();
        Self { file: Arc::clone(file), span, path, entries, asked: Vec::new() }
    }

    /// The file it stands in.
    #[must_use]
    pub fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// A problem about the table as a whole.
    pub fn problem(&self, code: &'static str, message: impl Into<Localized>) -> Problem {
        Problem::new(code, message).at(&self.file, self.span.clone())
    }

    /// Whether the key is there and was not taken yet.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The keys that were not taken yet, with the places of their names.
    #[must_use]
    pub fn keys(&self) -> Vec<Spanned<String>> {
        let spanned = |(name, (span, ..)): (&String, &(Range<usize>, Item, Range<usize>))| {
            Spanned { value: name.clone(), file: Arc::clone(&self.file), span: span.clone() }
        };
        self.entries.iter().map(spanned).collect()
    }

    /// Takes a value that may be absent; one of the wrong form is a problem and counts as absent.
    pub fn optional<T: FromToml>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Spanned<T>> {
        self.asked.push(key);
        let (_, item, span) = self.entries.remove(key)?;
        let help = T::help(&item);
        match T::from_item(item) {
            Ok(value) => Some(Spanned { value, file: Arc::clone(&self.file), span }),
            Err(found) => {
                let message =
                    format!("`{}{key}`: expected {}, found {found}", self.path, T::EXPECTED);
                let problem = Problem::new(CODE_TYPE, message).at(&self.file, span);
                let of_section = || format!("write it as one section, `[{}{key}]`", self.path);
                let help = if is_section::<T>() { Some(of_section()) } else { help };
                problems.push(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                None
            }
        }
    }

    /// Takes a value that must be there.
    pub fn required<T: FromToml>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Spanned<T>> {
        if !self.has(key) {
            self.asked.push(key);
            let message = format!("`{}{key}` is missing: expected {}", self.path, T::EXPECTED);
            let help = if is_section::<T>() {
                format!("add the section `[{}{key}]`", self.path)
            } else {
                format!("add `{key} = …` here")
            };
            problems.push(self.problem(CODE_MISSING, message).help(help));
            return None;
        }
        self.optional(key, problems)
    }

    /// Takes a value or its default.
    pub fn or<T: FromToml>(&mut self, key: &'static str, default: T, problems: &mut Problems) -> T {
        self.optional(key, problems).map_or(default, |found| found.value)
    }

    /// Takes all tables of `[[key]]`; an absent key gives none.
    pub fn tables(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Table> {
        if let Some((_, Item::Table(table), _)) = self.entries.get(key) {
            let message =
                format!("`{}{key}`: expected a list of sections, found one section", self.path);
            let help = format!("write `[[{key}]]`, in two pairs of brackets: there may be several");
            problems.push(table.problem(CODE_TYPE, message).help(help));
            self.entries.remove(key);
        }
        self.optional::<Vec<Table>>(key, problems).map_or_else(Vec::new, |found| found.value)
    }

    /// Takes `[key]`, or all tables of `[[key]]`; at least one must be there.
    pub fn one_or_more_tables(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Table> {
        if !matches!(self.entries.get(key), Some((_, Item::List(list), _)) if !list.is_empty()) {
            return self
                .required::<Table>(key, problems)
                .map(|found| found.value)
                .into_iter()
                .collect();
        }
        self.tables(key, problems)
    }

    /// Takes every remaining entry that is a table, `[key.<name>]` by name.
    pub fn drain_tables(&mut self) -> Vec<(Spanned<String>, Table)> {
        let names: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, (_, item, _))| matches!(item, Item::Table(_)))
            .map(|(name, _)| name.clone())
            .collect();
        names
            .into_iter()
            .filter_map(|name| match self.entries.remove(&name) {
                Some((span, Item::Table(table), _)) => {
                    let file = Arc::clone(&self.file);
                    Some((Spanned { value: name, file, span }, table))
                }
                _ => None,
            })
            .collect()
    }

    /// Reports every key that nobody asked for, with the nearest one that exists.
    pub fn finish(self, problems: &mut Problems) {
        for (name, (span, ..)) in &self.entries {
            let message = format!("`{}{name}` is not a key that exists here", self.path);
            let problem = Problem::new(CODE_UNKNOWN, message).at(&self.file, span.clone());
            let mut known = self.asked.clone();
            known.sort_unstable();
            known.dedup();
            problems.push(problem.help(if known.is_empty() {
                "remove it: this section has no keys".to_owned()
            } else {
                meant(name, &known, "keys here:")
            }));
        }
    }
}

/// Whether `T` is written as `[key]` and not as `key = …`.
fn is_section<T: FromToml>() -> bool {
    T::EXPECTED == Table::EXPECTED
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Help for a word that is none of the `known` ones: the one that was probably meant, else all of them after
/// `these_are`.
#[must_use]
pub fn meant(word: &str, known: &[&str], these_are: &str) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{these_are} {}", quoted(known)),
    }
}

/// As [`meant`], in both languages.
#[must_use]
pub fn suggested(word: &str, known: &[&str], these_are: &Localized) -> Localized {
    let Some(near) = nearest(word, known) else {
        return Localized::join([these_are, &Localized::from(quoted(known))], " ");
    };
    text!(en: "did you mean `{near}`?", zh: "是否指 `{near}`？")
}

/// The known word that is at most two edits away (one for words of up to four letters, none for those of one or two).
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = match word.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    known
        .iter()
        .map(|candidate| (edits(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters were added, left out, changed or swapped with their neighbour (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut older: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let changed = row[j] + usize::from(from != to);
            let mut least = changed.min(next[j] + 1).min(row[j + 1] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && *to == a[i - 1] {
                least = least.min(older[j - 1] + 1);
            }
            next.push(least);
        }
        older = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
