//! An error with everything that caused it on one line, for logs and for places that keep text only. Knows no error type.

use std::error::Error;

/// The whole chain of an error on one line: the outermost alone says little. `the spool cannot write: no space left on device`.
///
/// A cause that its outer error has already quoted is not said again.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Step(&'static str, Option<Box<Step>>);

    impl fmt::Display for Step {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Step {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|inner| inner as &(dyn Error + 'static))
        }
    }

    #[test]
    fn each_cause_is_said_once() {
        let disk = Step("no space left", None);
        let quoted = Step("write: no space left", Some(Box::new(disk)));
        let outer = Step("cannot commit", Some(Box::new(quoted)));
        assert_eq!(error_chain(&outer), "cannot commit: write: no space left");
        assert_eq!(error_chain(&Step("alone", None)), "alone");
    }
}
