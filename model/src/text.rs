//! A text as a value: programme names, alarm texts, serial numbers. Bounded and shared, so that a sample stays small
//! and cheap to copy.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Most bytes of one text value.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// A text of at most [`TEXT_BYTES_MAX`] bytes; 8 bytes by itself, and a clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(Arc<Box<str>>);

/// A text that is longer than a value may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("text is {found} bytes long: at most {TEXT_BYTES_MAX} are accepted")]
pub struct TextTooLong {
    /// Its length in bytes.
    pub found: usize,
}

impl Text {
    /// Takes `text` as it is.
    ///
    /// # Errors
    /// When it is longer than [`TEXT_BYTES_MAX`].
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, TextTooLong> {
        let text = text.into();
        if text.len() > TEXT_BYTES_MAX {
            return Err(TextTooLong { found: text.len() });
        }
        Ok(Self(Arc::new(text)))
    }

    /// Takes as many whole characters of `text` as fit, and says whether any was cut off.
    #[must_use]
    pub fn cut(text: &str) -> (Self, bool) {
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        let kept = text.get(..end).unwrap_or_default();
        (Self(Arc::new(kept.into())), end < text.len())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Text {
    type Error = TextTooLong;
    fn try_from(text: String) -> Result<Self, TextTooLong> {
        Self::new(text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> String {
        text.as_str().to_owned()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character() {
        let check = |text: &str, expected: &str, cut: bool| {
            let (found, is_cut) = Text::cut(text);
            assert_eq!((found.as_str(), is_cut), (expected, cut));
            assert_eq!(Text::new(text).is_ok(), !cut);
        };
        check("", "", false);
        check("报警 17", "报警 17", false);
        let full = "a".repeat(TEXT_BYTES_MAX);
        check(&full, &full, false);
        check(&format!("{full}b"), &full, true);
        // 341 characters of 3 bytes are 1 023 bytes: the next one does not fit, and half of it is no character.
        check(&"号".repeat(342), &"号".repeat(341), true);
        assert_eq!(size_of::<Text>(), 8);
    }

    #[test]
    fn a_text_that_is_too_long_is_not_read() {
        let json = |bytes: usize| format!("\"{}\"", "a".repeat(bytes));
        assert!(serde_json::from_str::<Text>(&json(TEXT_BYTES_MAX)).is_ok());
        let error = serde_json::from_str::<Text>(&json(TEXT_BYTES_MAX + 1)).unwrap_err();
        assert!(error.to_string().contains("1025 bytes long"), "{error}");
    }
}
