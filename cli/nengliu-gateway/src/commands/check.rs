//! `nengliu-gateway check`: all problems with their places; opens no port and no connection.

use std::path::Path;

use config::{Problem, Problems};
use program::{print_line, problems_as_json, render_problems};

use super::{EXIT_CONFIG, EXIT_OK, output};
use crate::load::read_help;
use crate::{LoadError, load};

pub(super) fn check(path: &Path, json: bool) -> u8 {
    let mut problems = Problems::default();
    let plan = load(path, &mut problems);
    if let Err(LoadError::File { path, source }) = &plan {
        let message = format!("cannot read `{}`: {source}", path.display());
        problems.push(Problem::new("GW-C000", message).help(read_help(source)));
    }
    if let Ok(plan) = &plan {
        let spool = &plan.settings.spool;
        let config = spool::SpoolConfig {
            segment_bytes: spool.segment.0,
            ..spool::SpoolConfig::new(&spool.folder, spool.quota.0)
        };
        if let Some(error) = config.first_start_lacks_room() {
            let help =
                "free some space, or lower `[spool] quota`: the first start would be refused";
            problems.push(Problem::new("GW-S006", error.to_string()).help(help).warning());
        }
    }
    if json {
        if let Some(code) = output::failed(print_line(problems_as_json(&problems))) {
            return code;
        }
    } else if !problems.0.is_empty() {
        program::tell!("{}", render_problems(&problems));
    }
    let Ok(plan) = plan else {
        if !json {
            let wrong = problems.0.iter().filter(|problem| !problem.warning).count();
            program::tell!("{wrong} problem(s) in `{}`", path.display());
        }
        return EXIT_CONFIG;
    };
    if !json {
        let mut lines = vec![format!(
            "`{}` is good: {} port(s), {} device(s), {} point(s)",
            path.display(),
            plan.ports.len(),
            plan.settings.devices.len(),
            plan.points.len()
        )];
        for (port, planned) in &plan.ports {
            lines.push(format!("port {port}"));
            lines.extend(planned.summary.iter().map(|line| format!("  {line}")));
        }
        return output::failed(print_line(lines.join("\n"))).unwrap_or(EXIT_OK);
    }
    EXIT_OK
}
