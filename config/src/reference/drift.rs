//! Compares the keys of a file with what its reader asks for.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use model::{Decimal, Timestamp};

use super::{Form, Reference, Section};
use crate::problem::Problem;
use crate::table::{CODE_MISSING, CODE_TYPE, CODE_UNKNOWN};
use crate::{ByteSize, FromToml, Problems};

/// A key that nobody has.
const NOBODYS: &str = "a_key_that_nobody_has";

impl Reference {
    /// What its pages say and the reader does not do, or the other way round. `read` reads a text as the file;
    /// `least` are lines of sections without which the reader does not go on.
    ///
    /// The reader is asked as a person would: with a key that nobody has, which names all keys, and with values of a
    /// wrong type, which name the right one.
    pub fn drift(&self, least: &[(&str, &str)], read: impl Fn(&str) -> Problems) -> Vec<String> {
        let mut found = Vec::new();
        let problems = read(&self.text(least, |_| format!("{NOBODYS} = 1\n")));
        for section in self.sections {
            let told = of_section(&problems, CODE_UNKNOWN, section);
            let Some(known) = told.iter().find_map(|problem| problem.help.as_deref()) else {
                found.push(format!("[{}]: the reader does not know it", section.path));
                continue;
            };
            let known: BTreeSet<&str> = known.split('`').skip(1).step_by(2).collect();
            let inner = self.sections.iter().filter(|inner| inner.is_within(section));
            let keys = section.keys.iter().map(|key| key.name);
            let stated: BTreeSet<&str> = keys.chain(inner.map(Section::name)).collect();
            let differ = |what: &str, keys: Vec<&&str>| {
                (!keys.is_empty()).then(|| format!("[{}]: {what} {keys:?}", section.path))
            };
            found.extend(differ("not described:", known.difference(&stated).collect()));
            found.extend(differ("not read:", stated.difference(&known).collect()));
            compare_required(least, section, &problems, &mut found);
        }
        let problems = read(&self.text(least, |section| {
            section.keys.iter().fold(String::new(), |mut text, key| {
                writeln!(text, "{} = {{}}", key.name).expect("writing to a String does not fail");
                text
            })
        }));
        for section in self.sections {
            let told = of_section(&problems, CODE_TYPE, section);
            for key in section.keys.iter().filter(|key| !is_in(least, section, key.name)) {
                let begin = format!("{}`: expected ", key.name);
                let fits = told.iter().any(|problem| {
                    let rest = problem.message.split_once(&begin).map(|(_, rest)| rest);
                    rest.is_some_and(|rest| rest.starts_with(key.form.expected()))
                });
                // A day is read from any value, and says so with a code of its own.
                if !fits && key.form != Form::Date {
                    found.push(format!("[{}] {}: not {:?}", section.path, key.name, key.form));
                }
            }
        }
        found
    }

    /// A file with every section, each with `lines`.
    fn text(&self, least: &[(&str, &str)], lines: impl Fn(&Section) -> String) -> String {
        self.sections.iter().fold(String::new(), |mut text, section| {
            let (open, close) = if section.many { ("[[", "]]") } else { ("[", "]") };
            writeln!(text, "{open}{}{close}", section.path)
                .expect("writing to a String does not fail");
            let least = least.iter().find(|(path, _)| *path == section.path);
            let least = least.map_or("", |(_, lines)| lines);
            text.push_str(least);
            let stated = |line: &&str| {
                let name = line.split(" =").next().unwrap_or_default();
                !least.lines().any(|known| known.split(" =").next() == Some(name))
            };
            for line in lines(section).lines().filter(stated) {
                text.push_str(line);
                text.push('\n');
            }
            text
        })
    }
}

/// Compares which keys must be there.
fn compare_required(
    least: &[(&str, &str)],
    section: &Section,
    problems: &Problems,
    found: &mut Vec<String>,
) {
    let told = of_section(problems, CODE_MISSING, section);
    for key in section.keys.iter().filter(|key| !is_in(least, section, key.name)) {
        let name = format!(".{}` is missing", key.name);
        let bare = format!("`{}` is missing", key.name);
        let missing = told
            .iter()
            .any(|problem| problem.message.contains(&name) || problem.message.starts_with(&bare));
        if missing != key.required {
            found.push(format!("[{}] {}: required {missing}", section.path, key.name));
        }
    }
}

fn is_in(least: &[(&str, &str)], section: &Section, key: &str) -> bool {
    let of_section = least.iter().filter(|(path, _)| *path == section.path);
    of_section.flat_map(|(_, lines)| lines.lines()).any(|line| line.split(" =").next() == Some(key))
}

/// The problems of a code in a section: `meter[1].ratio[1].x` is of `meter.ratio`.
fn of_section<'a>(problems: &'a Problems, code: &str, section: &Section) -> Vec<&'a Problem> {
    let is_of = |problem: &&Problem| {
        let Some(path) = problem.message.split('`').nth(1) else { return false };
        let plain: String = path
            .split('[')
            .map(|part| part.split_once(']').map_or(part, |(_, rest)| rest))
            .collect();
        plain.rsplit_once('.').is_some_and(|(before, _)| before == section.path)
    };
    problems.0.iter().filter(|problem| problem.code == code).filter(is_of).collect()
}

impl Form {
    fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::Words(_) | Self::Unit => String::EXPECTED,
            Self::Boolean => bool::EXPECTED,
            Self::Number => Decimal::EXPECTED,
            Self::Whole => "a whole number",
            Self::Duration => std::time::Duration::EXPECTED,
            Self::Size => ByteSize::EXPECTED,
            Self::Time => Timestamp::EXPECTED,
            Self::Date => "a day",
            Self::Texts => Vec::<String>::EXPECTED,
        }
    }
}
