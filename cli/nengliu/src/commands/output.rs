//! What a command prints and writes, and its exit code where that fails. Must never print by itself: `program` does.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::path::Path;

use program::{Output, OutputError, OutputFault};

use crate::exit;

/// Prints to standard output. Where nobody reads it any more the command goes on to its own exit code.
///
/// # Errors
/// The exit code of what went wrong, which was shown.
pub(super) fn print(text: impl Display) -> Result<(), u8> {
    written(program::print(text))
}

/// Prints a line; see [`print`].
pub(super) fn print_line(line: impl Display) -> Result<(), u8> {
    written(program::print_line(line))
}

/// Writes to a file or to standard output; see [`print`].
pub(super) fn write(output: Option<&Path>, bytes: &[u8]) -> Result<(), u8> {
    written(Output::to(output).and_then(|output| output.write_whole(bytes)))
}

/// Refuses to write what is no text to a terminal.
pub(super) fn not_to_a_terminal(what: &str, output: Option<&Path>) -> Result<(), u8> {
    if output.is_some() || !std::io::stdout().is_terminal() {
        return Ok(());
    }
    let words = format!("{what} cannot be written to a terminal");
    program::show_words("EN-A003", &words, "name a file with --output FILE");
    Err(exit::CONFIG)
}

/// Shows why output was not written.
pub(super) fn written<T: Default>(done: Result<T, OutputError>) -> Result<T, u8> {
    let error = match done {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let (help, code) = match error.fault() {
        OutputFault::NobodyReads => return Ok(T::default()),
        OutputFault::Full => ("free some space there, or write elsewhere", exit::DISK_FULL),
        OutputFault::Denied => ("write where this user may write", exit::ACCESS),
        OutputFault::NoPlace => ("name a file in a folder that is there", exit::CONFIG),
        OutputFault::Other => ("write elsewhere", exit::FAILED),
    };
    program::show_error("EN-A002", &error, help);
    Err(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_cannot_be_written_has_the_exit_code_that_help_lists() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: &Path, expected: Result<(), u8>| {
            assert_eq!(write(Some(path), b"rows"), expected, "{}", path.display());
        };
        check(&folder.path().join("rows.csv"), Ok(()));
        check(Path::new("/dev/full"), Err(exit::DISK_FULL));
        check(&folder.path().join("none/rows.csv"), Err(exit::CONFIG));
        // Not even root may write here.
        check(Path::new("/sys/rows.csv"), Err(exit::ACCESS));
    }
}
