//! `nengliu-gateway check`: all problems with their places; opens no port and no connection.

use std::path::Path;
use std::time::Duration;

use config::{Problem, Problems};
use model::{Language, Localized, text};
use program::{language, print_line, problems_as_json, render_problems};

use super::{EXIT_CONFIG, EXIT_OK, output};

mod online;
use crate::load::read_help;
use crate::{LoadError, load};

/// How long `--online` waits for what does not answer.
pub(super) const ONLINE_WAIT: Duration = Duration::from_secs(20);

pub(super) async fn check(path: &Path, online: Option<Duration>, json: bool) -> u8 {
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
    let plan = match (plan, online) {
        (Ok(plan), Some(wait)) => {
            return online::check(plan, path, &problems, wait, json).await;
        }
        (plan, _) => plan,
    };
    if json {
        if let Some(code) = output::failed(print_line(problems_as_json(&problems))) {
            return code;
        }
    } else if !problems.0.is_empty() {
        program::tell!("{}", render_problems(&problems));
    }
    let (shown, found) = (path.display(), counted(&problems));
    let found_zh = found.get(Language::Chinese);
    let Ok(plan) = plan else {
        if !json {
            program::tell!(
                "{}",
                text!(en: "`{shown}`: {found}", zh: "`{shown}`：{found_zh}").get(language())
            );
        }
        return EXIT_CONFIG;
    };
    if !json {
        let (ports, devices) = (plan.ports.len(), plan.settings.devices.len());
        let (points, but) = (plan.points.len(), if problems.0.is_empty() { "" } else { "; " });
        let found = if problems.0.is_empty() { "" } else { &*found };
        let found_zh = if problems.0.is_empty() { "" } else { found_zh };
        let good = text!(
            en: "`{shown}` is good: {ports} port(s), {devices} device(s), {points} point(s){but}{found}",
            zh: "`{shown}` 无误：{ports} 个端口，{devices} 台设备，{points} 个测点{but}{found_zh}"
        );
        let mut lines = vec![good.get(language()).to_owned()];
        for (port, planned) in &plan.ports {
            lines.push(text!(en: "port {port}", zh: "端口 {port}").get(language()).to_owned());
            lines.extend(planned.summary.iter().map(|line| format!("  {line}")));
        }
        return output::failed(print_line(lines.join("\n"))).unwrap_or(EXIT_OK);
    }
    EXIT_OK
}

/// `2 errors, 1 warning`.
fn counted(problems: &Problems) -> Localized {
    let warnings = problems.0.iter().filter(|problem| problem.warning).count();
    let errors = problems.0.len() - warnings;
    let several = |count: usize| if count == 1 { "" } else { "s" };
    let (one, many) = (several(errors), several(warnings));
    match (errors, warnings) {
        (_, 0) => text!(en: "{errors} error{one}", zh: "{errors} 个错误"),
        (0, _) => text!(en: "{warnings} warning{many}", zh: "{warnings} 个警告"),
        _ => text!(
            en: "{errors} error{one}, {warnings} warning{many}",
            zh: "{errors} 个错误，{warnings} 个警告"
        ),
    }
}
