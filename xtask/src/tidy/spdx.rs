//! Licence expressions as crates write them (SPDX 2.3, annex D, and the old `MIT/Apache-2.0`), reduced to one question:
//! may we take it?

/// Whether `expression` can be satisfied by licences for which `allowed` says yes: one side of each `OR`, both sides of
/// each `AND`. `None` when it is not an expression.
pub(super) fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut parser = Parser { words: spaced.split_whitespace().collect(), at: 0, allowed };
    let answer = parser.either()?;
    (parser.at == parser.words.len()).then_some(answer)
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    /// `both (OR both)*`: `OR` binds loosest (annex D.4).
    fn either(&mut self) -> Option<bool> {
        let mut answer = self.both()?;
        while self.take("OR") {
            let right = self.both()?;
            answer = answer || right;
        }
        Some(answer)
    }

    /// `one (AND one)*`.
    fn both(&mut self) -> Option<bool> {
        let mut answer = self.one()?;
        while self.take("AND") {
            let right = self.one()?;
            answer = answer && right;
        }
        Some(answer)
    }

    /// A licence, perhaps `WITH` an exception (then both words name what is allowed), or an expression in parentheses.
    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let answer = self.either()?;
            return self.take(")").then_some(answer);
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Some((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Some((self.allowed)(licence))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        self.at += usize::from(found);
        found
    }

    fn name(&mut self) -> Option<&'a str> {
        let word = *self.words.get(self.at)?;
        let is_name = !["AND", "OR", "WITH", "(", ")"].contains(&word);
        self.at += usize::from(is_name);
        is_name.then_some(word)
    }
}
