//! Problems as a person reads them, and as a program does. Must never decide what is a problem.

use config::{Problem, Problems};
use miette::{
    LabeledSpan, MietteDiagnostic, MietteHandlerOpts, NamedSource, Report, ReportHandler, Severity,
};

/// One problem with the lines it stands in.
#[must_use]
pub fn render_problem(problem: &Problem) -> String {
    let language = crate::language();
    let severity = if problem.warning { Severity::Warning } else { Severity::Error };
    let mut diagnostic = MietteDiagnostic::new(problem.message.get(language))
        .with_code(problem.code)
        .with_severity(severity);
    if let Some(help) = &problem.help {
        diagnostic = diagnostic.with_help(help.get(language));
    }
    let Some(file) = &problem.file else { return drawn(Report::new(diagnostic)) };
    if let Some(span) = &problem.span {
        let cell = file.cell(span.start).map(str::to_owned);
        let span = first_line(span.clone(), &file.text);
        diagnostic = diagnostic.with_label(LabeledSpan::new_with_span(cell, span));
    }
    let source = NamedSource::new(&file.name, file.shown()).with_language("toml");
    drawn(Report::new(diagnostic).with_source_code(source))
}

/// The picture of a problem. Lines are left to the terminal: a line break inside an id could not be copied.
fn drawn(report: Report) -> String {
    struct Drawn(Report);
    impl std::fmt::Display for Drawn {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            MietteHandlerOpts::new().wrap_lines(false).build().debug(self.0.as_ref(), f)
        }
    }
    Drawn(report).to_string()
}

/// A table spans many lines; pointing at its first one says enough.
fn first_line(span: std::ops::Range<usize>, text: &str) -> std::ops::Range<usize> {
    let marked = text.get(span.clone()).unwrap_or_default();
    let length = marked.find('\n').unwrap_or(marked.len());
    span.start..span.start + length
}

/// All problems, one after the other.
#[must_use]
pub fn render_problems(problems: &Problems) -> String {
    problems.0.iter().map(render_problem).collect::<Vec<_>>().join("\n")
}

/// All problems as one JSON object.
#[must_use]
pub fn problems_as_json(problems: &Problems) -> serde_json::Value {
    let one = |problem: &Problem| {
        serde_json::json!({
            "code": problem.code,
            "severity": if problem.warning { "warning" } else { "error" },
            "message": problem.message,
            "where": problem.place(),
            "try": problem.help,
        })
    };
    serde_json::json!({
        "schema": "nengliu.check.v1",
        "ok": !problems.is_fatal(),
        "problems": problems.0.iter().map(one).collect::<Vec<_>>(),
    })
}
