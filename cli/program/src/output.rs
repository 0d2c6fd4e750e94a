//! The one way to standard output, standard error and the files that a command writes. `println!` and its relatives panic
//! when whoever reads has seen enough (`| head`) and cannot say what was not written, so nothing else here prints. Must
//! never choose an exit code.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Output that was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {place}")]
pub struct OutputError {
    /// The file in backticks, or standard output.
    place: String,
    #[source]
    source: io::Error,
}

/// Why output was not written, as far as somebody can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFault {
    /// Whoever reads has seen enough: no fault.
    NobodyReads,
    /// The disk, or the quota on it, is full.
    Full,
    /// The user may not write there.
    Denied,
    /// There is no such place for a file.
    NoPlace,
    /// Another.
    Other,
}

impl OutputError {
    fn new(place: &str, source: io::Error) -> Self {
        Self { place: place.to_owned(), source }
    }

    pub(crate) fn of_file(path: &Path, source: io::Error) -> Self {
        Self::new(&format!("`{}`", path.display()), source)
    }

    /// What can be done about it.
    #[must_use]
    pub fn fault(&self) -> OutputFault {
        match self.source.kind() {
            ErrorKind::BrokenPipe => OutputFault::NobodyReads,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OutputFault::Full,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => OutputFault::Denied,
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
                OutputFault::NoPlace
            }
            _ => OutputFault::Other,
        }
    }
}

/// Prints to standard output, and returns when it is there.
///
/// # Errors
/// That of the system; also that nobody reads any more, so that a command can end early.
pub fn print(text: impl Display) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    let written = write!(stdout, "{text}").and_then(|()| stdout.flush());
    written.map_err(|e| OutputError::new(STDOUT, e))
}

/// Prints a line to standard output.
///
/// # Errors
/// As [`print`].
pub fn print_line(line: impl Display) -> Result<(), OutputError> {
    print(format_args!("{line}\n"))
}

/// Prints a line to standard error. That nobody reads it changes nothing.
pub fn tell(line: impl Display) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Prints a line to standard error, put together as by `format!`.
#[macro_export]
macro_rules! tell {
    ($($words:tt)*) => { $crate::tell(format_args!($($words)*)) };
}

const STDOUT: &str = "to standard output";

/// A file or standard output, to be written bit by bit. Remembers why a write failed: what writes to it may wrap the error
/// in one of its own.
pub struct Output {
    place: String,
    writer: io::BufWriter<Box<dyn Write + Send>>,
    failed: Option<io::Error>,
}

impl Output {
    /// This file, made anew, or standard output.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn to(path: Option<&Path>) -> Result<Self, OutputError> {
        let (place, writer): (String, Box<dyn Write + Send>) = match path {
            Some(path) => {
                let place = format!("`{}`", path.display());
                let file = File::create(path).map_err(|e| OutputError::new(&place, e))?;
                (place, Box::new(file))
            }
            None => (STDOUT.to_owned(), Box::new(io::stdout())),
        };
        Ok(Self { place, writer: io::BufWriter::new(writer), failed: None })
    }

    /// Why something was not written, where that is so.
    pub fn failure(&mut self) -> Option<OutputError> {
        self.failed.take().map(|e| OutputError::new(&self.place, e))
    }

    /// Writes all of it, and returns when it is there.
    ///
    /// # Errors
    /// That of the system.
    pub fn write_whole(mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let written = self.writer.write_all(bytes).and_then(|()| self.writer.flush());
        written.map_err(|e| OutputError::new(&self.place, e))
    }

    fn noted<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        if let Err(e) = &done
            && e.kind() != ErrorKind::Interrupted
        {
            let same = e.raw_os_error().map_or_else(
                || io::Error::new(e.kind(), e.to_string()),
                io::Error::from_raw_os_error,
            );
            self.failed.get_or_insert(same);
        }
        done
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.writer.write(bytes);
        self.noted(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.writer.flush();
        self.noted(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a fault of the system is to a command, and what its error names.
    #[test]
    fn each_fault_is_known_and_names_its_place() {
        let check = |path: &Path, expected: OutputFault| {
            let written = Output::to(Some(path)).and_then(|output| output.write_whole(b"rows"));
            let error = written.unwrap_err();
            assert_eq!(error.fault(), expected, "{error:?}");
            assert_eq!(error.to_string(), format!("cannot write `{}`", path.display()));
        };
        let folder = tempfile::tempdir().unwrap();
        check(Path::new("/dev/full"), OutputFault::Full);
        check(&folder.path().join("none/rows.csv"), OutputFault::NoPlace);
        check(folder.path(), OutputFault::NoPlace);
        let fault = |kind: ErrorKind| OutputError::new(STDOUT, kind.into()).fault();
        assert_eq!(fault(ErrorKind::PermissionDenied), OutputFault::Denied);
        assert_eq!(fault(ErrorKind::BrokenPipe), OutputFault::NobodyReads);
        assert_eq!(fault(ErrorKind::Other), OutputFault::Other);
    }

    /// Parquet and Arrow wrap the error of a write in one of their own.
    #[test]
    fn a_failed_write_is_remembered() {
        let mut output = Output::to(Some(Path::new("/dev/full"))).unwrap();
        assert!(output.failure().is_none());
        output.write_all(b"rows").unwrap();
        assert!(output.flush().is_err());
        assert_eq!(output.failure().map(|e| e.fault()), Some(OutputFault::Full));
    }
}
