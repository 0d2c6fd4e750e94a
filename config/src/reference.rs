//! The keys of a file as data: its reference page and its JSON Schema are generated from them, and a test compares them
//! with what the reader of the file asks for.

mod drift;
mod page;
mod schema;

pub use page::agree;

/// What a value of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text in quotes.
    Text,
    /// One of these words.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A decimal number, read exactly.
    Number,
    /// A whole number.
    Whole,
    /// A unit: its symbol or its Chinese name.
    Unit,
    /// A duration, `"15min"`.
    Duration,
    /// A number of bytes, `"64 MiB"`.
    Size,
    /// A time with its offset.
    Time,
    /// A day, or a time of the plant's zone.
    Date,
    /// A list of texts.
    Texts,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub form: Form,
    /// Whether it must be there.
    pub required: bool,
    /// What holds without it; blank where nothing does.
    pub default: &'static str,
    /// What it says, in English.
    pub en: &'static str,
    /// The same in Chinese.
    pub zh: &'static str,
}

impl Key {
    /// A key that must be there.
    #[must_use]
    pub const fn required(
        name: &'static str,
        form: Form,
        en: &'static str,
        zh: &'static str,
    ) -> Self {
        Self { name, form, required: true, default: "", en, zh }
    }

    /// A key that may be left out.
    #[must_use]
    pub const fn optional(
        name: &'static str,
        form: Form,
        default: &'static str,
        en: &'static str,
        zh: &'static str,
    ) -> Self {
        Self { name, form, required: false, default, en, zh }
    }
}

/// One section.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its name in the file, `meter.ratio`.
    pub path: &'static str,
    /// Whether there may be several, in two pairs of brackets.
    pub many: bool,
    /// Whether the file must have it.
    pub required: bool,
    /// What it describes, in English.
    pub en: &'static str,
    /// The same in Chinese.
    pub zh: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A file.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// What it is called, `plant.toml`.
    pub file: &'static str,
    /// What it is for, in English.
    pub en: &'static str,
    /// The same in Chinese.
    pub zh: &'static str,
    /// Its sections; one within another follows it.
    pub sections: &'static [Section],
}

impl Section {
    fn is_within(&self, outer: &Self) -> bool {
        self.path.rsplit_once('.').is_some_and(|(path, _)| path == outer.path)
    }

    fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }
}

#[cfg(test)]
mod tests;
