//! The reference page.

use std::fmt::Write as _;
use std::path::Path;

use super::{Form, Key, Reference};

impl Reference {
    /// The page in Markdown.
    #[must_use]
    pub fn page(&self) -> String {
        let file = self.file;
        let stem = file.split('.').next().unwrap_or(file);
        let mut page = format!(
            "# {file}\n\n{}\n\n{}\n\nGenerated from the keys that the program reads; JSON Schema: \
             [{stem}.schema.json](schema/{stem}.schema.json), for editors that check TOML.\n",
            self.en, self.zh
        );
        for section in self.sections {
            let (open, close) = if section.many { ("[[", "]]") } else { ("[", "]") };
            let head = format!("## `{open}{}{close}`", section.path);
            write!(page, "\n{head}\n\n{}\n\n{}\n\n", section.en, section.zh).expect(TO_STRING);
            page.push_str("| key | value | default | |\n|---|---|---|---|\n");
            for key in section.keys {
                page.push_str(&row(key));
            }
        }
        page
    }
}

impl Reference {
    /// Whether page and schema in the folder `docs` are those of the keys; writes them where `UPDATE_DOCS` is set.
    ///
    /// # Errors
    /// Says which file differs.
    pub fn agrees(&self, docs: &Path) -> Result<(), String> {
        let stem = self.file.split('.').next().unwrap_or(self.file);
        agree(&docs.join(format!("{stem}.md")), &self.page())?;
        let schema = format!("{:#}\n", self.schema());
        agree(&docs.join(format!("schema/{stem}.schema.json")), &schema)
    }
}

/// Whether a file is this text; writes it where `UPDATE_DOCS` is set.
///
/// # Errors
/// Says that it differs.
pub fn agree(path: &Path, text: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let folder = path.parent().unwrap_or(path);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
        return written.map_err(|e| format!("`{}`: {e}", path.display()));
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let differs = format!(
        "`{}` is not what the program reads: run this test with UPDATE_DOCS=1",
        path.display()
    );
    if found == text { Ok(()) } else { Err(differs) }
}

const TO_STRING: &str = "writing to a String does not fail";

fn row(key: &Key) -> String {
    let default = if key.required {
        "**required**".to_owned()
    } else if key.default.is_empty() {
        "none".to_owned()
    } else {
        key.default.to_owned()
    };
    let value = key.form.shown();
    format!("| `{}` | {value} | {default} | {}<br>{} |\n", key.name, key.en, key.zh)
}

impl Form {
    fn shown(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Words(words) => {
                words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
            }
            Self::Boolean => "`true`, `false`".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Whole => "whole number".to_owned(),
            Self::Unit => "unit, such as `\"kWh\"`".to_owned(),
            Self::Duration => "duration, such as `\"15min\"`".to_owned(),
            Self::Size => "size, such as `\"64 MiB\"`".to_owned(),
            Self::Time => "time, such as `2025-01-31T08:00:00+08:00`".to_owned(),
            Self::Date => "day or time, such as `2025-01-31` or `2025-01-31T08:00:00`".to_owned(),
            Self::Texts => "list of texts".to_owned(),
        }
    }
}
