//! An error on standard error: its code, what it is, what caused it, and what to do next.

use std::fmt::Write as _;

/// An error and what caused it, on one line each.
pub fn show_error(code: &str, error: &dyn std::error::Error, help: &str) {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        write!(words, "\n  because: {inner}").expect("writing to a String does not fail");
        source = inner.source();
    }
    show_words(code, &words, help);
}

/// Something that went wrong and is no error of a library.
pub fn show_words(code: &str, words: &str, help: &str) {
    crate::tell!("error {code}: {words}");
    if !help.is_empty() {
        crate::tell!("  try: {help}");
    }
}
