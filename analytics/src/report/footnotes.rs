//! Footnotes: each text once, numbered in the order in which rows name them. Must never know what they say.

use super::layout::{width, wrap};

/// The footnotes of one table.
#[derive(Debug, Default)]
pub(super) struct Footnotes(Vec<String>);

impl Footnotes {
    /// The number of a text.
    fn number(&mut self, text: &str) -> usize {
        let at = self.0.iter().position(|known| known == text);
        1 + at.unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        })
    }

    /// The marks of several texts, in order: `1) 3-5)`.
    pub(super) fn marks<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> String {
        let mut numbers: Vec<usize> = texts.into_iter().map(|text| self.number(text)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        let mark = |(first, last): (usize, usize)| {
            if first == last { format!("{first})") } else { format!("{first}-{last})") }
        };
        ranges.into_iter().map(mark).collect::<Vec<_>>().join(" ")
    }

    /// The texts with their marks, within a width.
    pub(super) fn lines(&self, most: usize) -> Vec<String> {
        let each = (1..).zip(&self.0).flat_map(|(number, text)| {
            let mark = format!("{number}) ");
            hanging(&mark, text, most)
        });
        each.collect()
    }
}

/// A text behind its mark, further lines below its beginning.
pub(super) fn hanging(mark: &str, text: &str, most: usize) -> Vec<String> {
    let indent = width(mark);
    let lines = wrap(text, most.saturating_sub(indent).max(1));
    let begins = std::iter::once(mark.to_owned()).chain(std::iter::repeat(" ".repeat(indent)));
    begins.zip(lines).map(|(begin, line)| format!("{begin}{line}")).collect()
}
