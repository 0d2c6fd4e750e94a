//! One line of CSV as fields with their places. Must never look at the next line.

use std::ops::Range;

/// What separates fields.
const SEPARATOR: char = ',';
const QUOTE: char = '"';

/// A field without its quotes and the blanks around it, and the bytes of the file that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// A line and where it begins in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) start: usize,
    pub(super) text: &'a str,
}

/// Why a line is no CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A quote that is not closed in its line begins here.
    Open(usize),
    /// Something other than a separator follows a closing quote here.
    AfterQuote(usize),
}

impl Line<'_> {
    /// The bytes of the file.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// Whether quotes stand in it that do not pair up, as at both ends of a field with a line break in it.
    pub(super) fn has_odd_quotes(&self) -> bool {
        self.text.matches(QUOTE).count() % 2 == 1
    }

    /// Its fields.
    ///
    /// `a, "b, ""c""" ,d` → `a`, then `b, "c"`, then `d`
    pub(super) fn fields(&self) -> Result<Vec<Field>, Fault> {
        let mut fields = Vec::new();
        let mut rest = self.text;
        let mut at = self.start;
        loop {
            let value = rest.trim_start();
            let blank = rest.len() - value.len();
            let (text, length) = if value.starts_with(QUOTE) {
                let (text, length) = quoted(value, at + blank)?;
                let (_, behind) = value.split_at(length);
                let end = behind.find(SEPARATOR).unwrap_or(behind.len());
                if !behind.split_at(end).0.trim().is_empty() {
                    return Err(Fault::AfterQuote(at + blank + length));
                }
                (text, blank + length + end)
            } else {
                let end = rest.find(SEPARATOR).unwrap_or(rest.len());
                (rest.split_at(end).0.to_owned(), end)
            };
            let (written, behind) = rest.split_at(length);
            let start = at + blank.min(length);
            let span = start..start.max(at + written.trim_end().len());
            fields.push(Field { text: text.trim().to_owned(), span });
            let Some(next) = behind.strip_prefix(SEPARATOR) else { return Ok(fields) };
            rest = next;
            at += length + SEPARATOR.len_utf8();
        }
    }
}

/// The text in quotes at the beginning of `rest`, and how many bytes it takes with them.
fn quoted(rest: &str, start: usize) -> Result<(String, usize), Fault> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != QUOTE {
            text.push(c);
        } else if characters.next_if(|(_, next)| *next == QUOTE).is_some() {
            text.push(QUOTE);
        } else {
            return Ok((text, at + QUOTE.len_utf8()));
        }
    }
    Err(Fault::Open(start))
}

/// The lines of a text, however they end; `skipped` bytes of the file stand before it.
pub(super) fn lines(text: &str, skipped: usize) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        let line = Line { start: skipped + start, text: line };
        start += end + if behind.starts_with("\r\n") { 2 } else { behind.len().min(1) };
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let line = Line { start: 0, text };
        let fields = line.fields().unwrap();
        assert_eq!(fields.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), expected);
        for field in fields {
            assert_eq!(
                text.get(field.span.clone()).unwrap().trim_matches('"').replace("\"\"", "\""),
                field.text
            );
        }
    }

    #[test]
    fn a_line_is_split_into_fields_that_know_their_places() {
        check("", &[""]);
        check(",", &["", ""]);
        check("a,b", &["a", "b"]);
        check(" a ,\t电力\u{3000}, c d ", &["a", "电力", "c d"]);
        check("\"a, b\",\"\",  \"a \"\"no\"\" b\" ,", &["a, b", "", "a \"no\" b", ""]);
        check("5\" pipe,b", &["5\" pipe", "b"]);
    }

    #[test]
    fn a_quote_is_closed_in_its_line() {
        let fault = |text: &str| Line { start: 10, text }.fields().unwrap_err();
        assert_eq!(fault("a,\"合同一"), Fault::Open(12));
        assert_eq!(fault("\""), Fault::Open(10));
        assert_eq!(fault("a,\"b\"\"\"\""), Fault::Open(12));
        assert_eq!(fault("\"a\"b,c"), Fault::AfterQuote(13));
        assert_eq!(fault("\"a\" b,c"), Fault::AfterQuote(13));
    }

    #[test]
    fn lines_end_as_on_any_system() {
        let check = |text: &str, expected: &[(usize, &str)]| {
            let found: Vec<_> = lines(text, 3).map(|line| (line.start, line.text)).collect();
            assert_eq!(found, expected);
        };
        check("", &[]);
        check("a\nb\n", &[(3, "a"), (5, "b")]);
        check("a\r\n\r\nb", &[(3, "a"), (6, ""), (8, "b")]);
        check("a\rb\r", &[(3, "a"), (5, "b")]);
    }
}
