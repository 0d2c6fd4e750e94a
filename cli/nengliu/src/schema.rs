//! Names and versions of the JSON that the programs of the centre write. Fields are only ever added to a version.

use serde_json::{Value, json};

/// Of `nengliu kpi --format json` and of the figures on the timer.
pub const KPI: &str = "nengliu.kpi.v1";
/// Of `nengliu explain --json`.
pub const EXPLAIN: &str = "nengliu.explain.v1";

/// Of `nengliu points --json`.
pub const POINTS: &str = "nengliu.points.v1";

/// Figures with the name and version of their form.
#[must_use]
pub fn kpi(figures: Value) -> Value {
    named(KPI, figures)
}

/// An explanation with the name and version of its form.
#[must_use]
pub fn explain(explanation: Value) -> Value {
    named(EXPLAIN, explanation)
}

/// Points with the name and version of their form.
#[must_use]
pub fn points(points: Value) -> Value {
    named(POINTS, points)
}

fn named(schema: &str, fields: Value) -> Value {
    let mut object = json!({ "schema": schema });
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    object
}
