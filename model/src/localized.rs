//! A message for people in English and Chinese. Both wordings stand beside each other in the code, so that whoever
//! changes one sees the other; [`text!`](crate::text!) checks the arguments of both at compile time.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A language that messages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English; also the language of logs and of JSON.
    #[default]
    English,
    /// Chinese.
    Chinese,
}

impl Language {
    /// The language of a POSIX locale: `zh_CN.UTF-8` → Chinese, `C` → English.
    #[must_use]
    pub fn of_locale(locale: &str) -> Self {
        let chinese = locale.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("zh"));
        if chinese { Self::Chinese } else { Self::English }
    }
}

/// A message in English and, where it has been translated, in Chinese.
///
/// As a `str`, in logs and in JSON it is its English wording.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Localized(Arc<Wordings>);

/// Shared, so that a message is one pointer wide: errors that carry one stay small.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Wordings {
    english: Box<str>,
    chinese: Option<Box<str>>,
}

impl Localized {
    /// A message in both languages; [`text!`](crate::text!) is shorter.
    pub fn new(english: impl Into<Box<str>>, chinese: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Wordings { english: english.into(), chinese: Some(chinese.into()) }))
    }

    /// The wording in a language; English where there is no other.
    #[must_use]
    pub fn get(&self, language: Language) -> &str {
        match (language, &self.0.chinese) {
            (Language::Chinese, Some(chinese)) => chinese,
            _ => &self.0.english,
        }
    }

    /// Whether it has a wording in this language.
    #[must_use]
    pub fn has(&self, language: Language) -> bool {
        language == Language::English || self.0.chinese.is_some()
    }

    /// One message of several, `separator` between them.
    #[must_use]
    pub fn join<'a>(parts: impl IntoIterator<Item = &'a Self>, separator: &str) -> Self {
        let parts: Vec<&Self> = parts.into_iter().collect();
        let wording = |language| {
            let each: Vec<&str> = parts.iter().map(|part| part.get(language)).collect();
            each.join(separator)
        };
        if parts.iter().any(|part| part.has(Language::Chinese)) {
            Self::new(wording(Language::English), wording(Language::Chinese))
        } else {
            Self::from(wording(Language::English))
        }
    }
}

/// A message in both languages, with inline captured arguments.
///
/// ```
/// let month = "2026-10";
/// let note = model::text!(en: "no reading of {month}", zh: "{month} 无读数");
/// assert_eq!(note.get(model::Language::Chinese), "2026-10 无读数");
/// ```
#[macro_export]
macro_rules! text {
    (en: $english:literal, zh: $chinese:literal $(,)?) => {
        $crate::Localized::new(::std::format!($english), ::std::format!($chinese))
    };
}

impl Deref for Localized {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.english
    }
}

impl From<String> for Localized {
    /// A message that is not translated.
    fn from(english: String) -> Self {
        Self(Arc::new(Wordings { english: english.into(), chinese: None }))
    }
}

impl From<&str> for Localized {
    fn from(english: &str) -> Self {
        Self::from(english.to_owned())
    }
}

impl fmt::Display for Localized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.english)
    }
}

impl Serialize for Localized {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.english)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_chinese_is_shown_in_english() {
        let known = Localized::from("no reading");
        assert_eq!(known.get(Language::Chinese), "no reading");
        assert!(!known.has(Language::Chinese));
    }

    #[test]
    fn joined_messages_have_both_languages() {
        let days = 3;
        let parts = [text!(en: "{days} days", zh: "{days} 天"), Localized::from("partly")];
        let joined = Localized::join(&parts, "; ");
        assert_eq!(joined.get(Language::English), "3 days; partly");
        assert_eq!(joined.get(Language::Chinese), "3 天; partly");
    }

    #[test]
    fn a_locale_names_its_language() {
        let cases = ["zh_CN.UTF-8", "ZH", "zh-Hans", "en_US.UTF-8", "C", "", "中文"];
        let chinese = cases.map(|one| Language::of_locale(one) == Language::Chinese);
        assert_eq!(chinese, [true, true, true, false, false, false, false]);
    }
}
