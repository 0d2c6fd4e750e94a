//! What a command prints and writes, and its exit code where that fails. Must never print by itself: `program` does.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::path::Path;

use model::{Localized, text};
use program::{Output, OutputError, OutputFault};

use crate::cli::KpiFormat;
use crate::exit;

/// Columns of a line of text where there is no terminal.
const WIDTH: u16 = 100;
/// Fewest columns that a table is fitted into.
const WIDTH_MIN: u16 = 60;

/// The columns of the terminal that this command was started in, whether or not its output goes there: what is piped into
/// a file or a pager is what stands on the terminal.
pub(super) fn terminal_width() -> u16 {
    let of_environment = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let of_terminal = || terminal_size::terminal_size().map(|(columns, _)| columns.0);
    of_environment.or_else(of_terminal).unwrap_or(WIDTH).max(WIDTH_MIN)
}

/// The format of figures: as asked for, else as the name of the file says, else text.
///
/// # Errors
/// The exit code where the two contradict each other.
pub(super) fn format_of(asked: Option<KpiFormat>, output: Option<&Path>) -> Result<KpiFormat, u8> {
    let named = output.and_then(KpiFormat::of_name);
    match (asked, named) {
        (Some(asked), Some(named)) if asked != named => {
            let file = output.map_or_else(String::new, |path| path.display().to_string());
            let (asked, named) = (asked.name(), named.name());
            let words = text!(
                en: "`--format {asked}` and the file `{file}` contradict each other: its name says {named}",
                zh: "`--format {asked}` 与文件 `{file}` 矛盾：文件名表示 {named}",
            );
            let help = text!(
                en: "leave `--format` out, or name the file `….{asked}`",
                zh: "去掉 `--format`，或把文件命名为 `….{asked}`",
            );
            say("EN-C023", &words, &help);
            Err(exit::CONFIG)
        }
        (asked, named) => Ok(asked.or(named).unwrap_or(KpiFormat::Text)),
    }
}

/// Shows an error in the language of this process.
pub(super) fn say(code: &str, words: &Localized, help: &Localized) {
    let language = program::language();
    program::show_words(code, words.get(language), help.get(language));
}

/// Says on standard error which file was written.
pub(super) fn tell_written(output: Option<&Path>, format: KpiFormat, bytes: usize) {
    let Some(path) = output else { return };
    let (file, format) = (path.display(), format.name());
    let text = text!(
        en: "wrote `{file}` ({format}, {bytes} bytes)",
        zh: "已写入 `{file}`（{format}，{bytes} 字节）",
    );
    program::tell(text.get(program::language()));
}

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
