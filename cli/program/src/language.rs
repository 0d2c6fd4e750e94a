//! The language in which this process talks to people: `--lang`, else the locale of the environment.

use std::sync::OnceLock;

use model::Language;

static CHOSEN: OnceLock<Language> = OnceLock::new();

/// Reads a value of `--lang`.
pub fn parse_language(text: &str) -> Result<Language, String> {
    match text {
        "zh" => Ok(Language::Chinese),
        "en" => Ok(Language::English),
        _ => Err("expected `zh` or `en`".to_owned()),
    }
}

/// Sets the language of this process: once, before anything is shown.
pub(crate) fn choose_language(wanted: Option<Language>) {
    CHOSEN
        .get_or_init(|| wanted.unwrap_or_else(|| of_environment(|name| std::env::var(name).ok())));
}

/// The language of this process; English until one was chosen.
#[must_use]
pub fn language() -> Language {
    CHOSEN.get().copied().unwrap_or_default()
}

/// The first of these variables that is set and not empty counts, as POSIX says of messages (IEEE Std 1003.1, 8.2).
fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Language {
    let mut names = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter();
    let locale = names.find_map(|name| variable(name).filter(|value| !value.is_empty()));
    locale.map_or_else(Language::default, |locale| Language::of_locale(&locale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let cases: [(&[(&str, &str)], _); 4] = [
            (&[("LANG", "zh_CN.UTF-8")], Language::Chinese),
            (&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")], Language::English),
            (
                &[("LANG", "en_US.UTF-8"), ("LC_ALL", ""), ("LC_MESSAGES", "zh_CN")],
                Language::Chinese,
            ),
            (&[], Language::English),
        ];
        for (variables, expected) in cases {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|one| one.1.to_owned())
            };
            assert_eq!(of_environment(variable), expected, "{variables:?}");
        }
    }
}
