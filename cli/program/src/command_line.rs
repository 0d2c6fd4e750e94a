//! The command line in one language. A help text has both wordings in one place, `English｜中文` on each line; what has no
//! `｜` is shown as it is.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, Parser};
use model::Language;

use crate::language::{choose_language, language, parse_language};

/// Between the English and the Chinese wording of a line.
const BETWEEN: char = '｜';

const CHINESE_TEMPLATE: &str = "\
{about-with-newline}
用法：{usage}

{all-args}{after-help}";

/// Chooses the language of this process by `--lang` and the environment, and reads its command line; ends the process,
/// as clap does, when that is wrong or asks for help.
#[must_use]
pub fn parse<T: Parser>() -> T {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    choose_language(asked(&arguments));
    let matches = in_language(T::command(), language()).get_matches_from(arguments);
    T::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The language that `--lang` asks for. Help needs it before the command line is read as a whole.
fn asked(arguments: &[OsString]) -> Option<Language> {
    let texts: Vec<&str> = arguments.iter().map_while(|one| one.to_str()).collect();
    let mut found = texts.iter().enumerate().filter_map(|(index, text)| {
        let value = text.strip_prefix("--lang")?;
        value
            .strip_prefix('=')
            .or_else(|| texts.get(index + 1).copied().filter(|_| value.is_empty()))
    });
    found.next().and_then(|text| parse_language(text).ok())
}

/// A command with its help texts in one language, and with `--lang`.
#[must_use]
pub fn in_language(command: Command, language: Language) -> Command {
    let lang = Arg::new("lang")
        .long("lang")
        .global(true)
        .value_name("LANGUAGE")
        .value_parser(parse_language)
        .help("Language, `zh` or `en`; by default that of LC_ALL or LANG.｜语言，`zh` 或 `en`；缺省取 LC_ALL 或 LANG");
    localized(command.arg(lang), language, true)
}

fn localized(mut command: Command, language: Language, is_first: bool) -> Command {
    let side = |text: &StyledStr| one_side(&text.to_string(), language);
    let (about, long) = (command.get_about().map(side), command.get_long_about().map(side));
    let after = command.get_after_help().map(side);
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(long) = long {
        command = command.long_about(long);
    }
    if let Some(after) = after {
        command = command.after_help(after);
    }
    command = command
        .mut_args(|arg| localized_argument(arg, language))
        .mut_subcommands(|inner| localized(inner, language, false));
    if language == Language::Chinese { with_chinese_headings(command, is_first) } else { command }
}

fn localized_argument(mut arg: Arg, language: Language) -> Arg {
    let side = |text: &StyledStr| one_side(&text.to_string(), language);
    let (help, long) = (arg.get_help().map(side), arg.get_long_help().map(side));
    if let Some(help) = help {
        arg = arg.help(help);
    }
    if let Some(long) = long {
        arg = arg.long_help(long);
    }
    if language == Language::Chinese && arg.get_help_heading().is_none() {
        let heading = if arg.is_positional() { "参数" } else { "选项" };
        arg = arg.help_heading(heading);
    }
    arg
}

/// The headings and the flags that clap adds by itself.
fn with_chinese_headings(command: Command, is_first: bool) -> Command {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("显示帮助");
    let mut command = command
        .help_template(CHINESE_TEMPLATE)
        .subcommand_help_heading("命令")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .arg(help.help_heading("选项"));
    if is_first {
        let version = Arg::new("version").short('V').long("version").action(ArgAction::Version);
        command =
            command.disable_version_flag(true).arg(version.help("显示版本").help_heading("选项"));
    }
    command
}

/// `Print samples.｜打印采样值` → one of them, on each line.
fn one_side(text: &str, language: Language) -> String {
    let one = |line: &str| match (line.split_once(BETWEEN), language) {
        (Some((english, _)), Language::English) => {
            let english = english.trim_end();
            english.strip_suffix('.').unwrap_or(english).to_owned()
        }
        (Some((english, chinese)), Language::Chinese) => {
            // A list keeps its indentation.
            let indent = english.len() - english.trim_start().len();
            format!("{}{chinese}", " ".repeat(indent))
        }
        (None, _) => line.to_owned(),
    };
    text.lines().map(one).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows things.｜显示内容
    #[derive(Debug, Parser)]
    #[command(
        name = "things",
        version,
        propagate_version = true,
        after_help = "  0  done｜0  完成\n  1  1"
    )]
    struct Things {
        #[command(subcommand)]
        what: What,
    }

    #[derive(Debug, clap::Subcommand)]
    enum What {
        /// Lists them.｜列出
        List {
            /// Their names.｜名称
            names: Vec<String>,
        },
    }

    fn help(arguments: &[&str], language: Language) -> String {
        let command = in_language(<Things as clap::CommandFactory>::command(), language);
        command.try_get_matches_from(arguments).unwrap_err().to_string()
    }

    #[test]
    fn help_is_in_one_language() {
        let english = help(&["things", "--help"], Language::English);
        assert!(english.contains("Shows things\n") && english.contains("Lists them"), "{english}");
        assert!(english.is_ascii(), "{english}");
        let chinese = help(&["things", "list", "--help"], Language::Chinese);
        for part in ["列出", "用法：", "参数:", "名称", "选项:", "语言", "显示帮助"]
        {
            assert!(chinese.contains(part), "{part}: {chinese}");
        }
        for part in ["Usage", "Options", "Print help", "Lists"] {
            assert!(!chinese.contains(part), "{part}: {chinese}");
        }
        let first = help(&["things", "-h"], Language::Chinese);
        assert!(first.contains("显示版本") && first.contains("  0  完成"), "{first}");
    }

    #[test]
    fn a_version_is_asked_for_in_either_language() {
        for language in [Language::English, Language::Chinese] {
            assert_eq!(help(&["things", "-V"], language), help(&["things", "--version"], language));
        }
    }

    #[test]
    fn the_language_is_known_before_the_rest_is_read() {
        let asked_in = |texts: &[&str]| {
            let arguments: Vec<OsString> = texts.iter().map(OsString::from).collect();
            asked(&arguments)
        };
        assert_eq!(asked_in(&["p", "--lang", "zh", "--wrong"]), Some(Language::Chinese));
        assert_eq!(asked_in(&["p", "list", "--lang=en"]), Some(Language::English));
        assert_eq!(asked_in(&["p", "--language", "zh"]), None);
        assert_eq!(asked_in(&["p", "--lang"]), None);
    }
}
