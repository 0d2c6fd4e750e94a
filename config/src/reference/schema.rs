//! The JSON Schema of a file, for editors.

use serde_json::{Map, Value, json};

use super::{Form, Key, Reference, Section};

impl Reference {
    /// Its JSON Schema, draft 2020-12.
    #[must_use]
    pub fn schema(&self) -> Value {
        let outer = self.sections.iter().filter(|section| !section.path.contains('.'));
        let required: Vec<&str> =
            outer.clone().filter(|section| section.required).map(|section| section.path).collect();
        let properties: Map<String, Value> =
            outer.map(|section| (section.path.to_owned(), self.section(section))).collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.file,
            "description": self.en,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    fn section(&self, section: &Section) -> Value {
        let keys = section.keys.iter().map(|key| (key.name.to_owned(), of_key(key)));
        let inner = self.sections.iter().filter(|inner| inner.is_within(section));
        let inner = inner.map(|inner| (inner.name().to_owned(), self.section(inner)));
        let properties: Map<String, Value> = keys.chain(inner).collect();
        let required: Vec<&str> =
            section.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
        let table = json!({
            "type": "object",
            "description": section.en,
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        if section.many { json!({ "type": "array", "items": table }) } else { table }
    }
}

fn of_key(key: &Key) -> Value {
    let mut value = match key.form {
        // Editors give the times and days of TOML as text.
        Form::Text | Form::Unit | Form::Duration | Form::Size | Form::Time | Form::Date => {
            json!({ "type": "string" })
        }
        Form::Words(words) => json!({ "enum": words }),
        Form::Boolean => json!({ "type": "boolean" }),
        // A number may be written as text, so that an editor does not change its digits.
        Form::Number => json!({ "type": ["number", "string"] }),
        Form::Whole => json!({ "type": "integer" }),
        Form::Texts => json!({ "type": "array", "items": { "type": "string" } }),
    };
    value["description"] = key.en.into();
    value
}
