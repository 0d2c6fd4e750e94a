//! What a command prints, and its exit code where that fails. Must never print by itself: `program` does.

use program::{OutputError, OutputFault, show_error};

use super::{EXIT_ACCESS, EXIT_DISK_FULL, EXIT_FAILED};

/// Shows why output was not written, and returns the exit code; `None` when it was written, or when nobody reads it any
/// more: then the command goes on to its own exit code.
pub(super) fn failed(printed: Result<(), OutputError>) -> Option<u8> {
    let error = printed.err()?;
    let (help, code) = match error.fault() {
        OutputFault::NobodyReads => return None,
        OutputFault::Full => ("free some space there, or print elsewhere", EXIT_DISK_FULL),
        OutputFault::Denied => ("print where this user may write", EXIT_ACCESS),
        OutputFault::NoPlace | OutputFault::Other => ("print elsewhere", EXIT_FAILED),
    };
    show_error("GW-A007", &error, help);
    Some(code)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn output_that_cannot_be_written_has_the_exit_code_that_help_lists() {
        let written = |path: &str| {
            program::Output::to(Some(Path::new(path)))
                .and_then(|output| output.write_whole(b"text"))
        };
        assert_eq!(failed(written("/dev/null")), None);
        assert_eq!(failed(written("/dev/full")), Some(EXIT_DISK_FULL));
        // Not even root may write here.
        assert_eq!(failed(written("/sys/status.json")), Some(EXIT_ACCESS));
    }
}
