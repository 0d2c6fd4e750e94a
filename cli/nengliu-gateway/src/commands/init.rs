//! `nengliu-gateway init`: a gateway file and a profile to begin with, in the language of the user. They pass `check`.

use std::path::Path;

use model::{Language, text};
use program::{OutputFault, Starter, print_line, show_error};

use super::{EXIT_ACCESS, EXIT_CONFIG, EXIT_DISK_FULL, EXIT_FAILED, EXIT_OK, output};

const ENGLISH: &[(&str, &str)] = &[
    ("gateway.toml", include_str!("init/en/gateway.toml")),
    ("profiles/acme/meter.toml", include_str!("init/en/meter.toml")),
];
const CHINESE: &[(&str, &str)] = &[
    ("gateway.toml", include_str!("init/zh/gateway.toml")),
    ("profiles/acme/meter.toml", include_str!("init/zh/meter.toml")),
];

/// Writes them into `folder` and says what to do next.
pub(super) fn init(folder: &Path) -> u8 {
    let files = match program::language() {
        Language::English => ENGLISH,
        Language::Chinese => CHINESE,
    };
    let starter = Starter { folder, files };
    let existing = starter.existing();
    if !existing.is_empty() {
        let names: Vec<String> =
            existing.iter().map(|path| format!("`{}`", path.display())).collect();
        let names = names.join(", ");
        let words = text!(en: "{names} is there already", zh: "{names} 已存在");
        let help = text!(
            en: "nothing was written: name another folder, or move the file away",
            zh: "未写入任何文件：请指定其他目录，或先移走已有文件",
        );
        let language = program::language();
        program::show_words("GW-A008", words.get(language), help.get(language));
        return EXIT_CONFIG;
    }
    let written = match starter.write() {
        Ok(written) => written,
        Err(error) => {
            let (help, code) = match error.fault() {
                OutputFault::Full => ("free some space there, or write elsewhere", EXIT_DISK_FULL),
                OutputFault::Denied => ("write where this user may write", EXIT_ACCESS),
                _ => ("write elsewhere", EXIT_FAILED),
            };
            show_error("GW-A007", &error, help);
            return code;
        }
    };
    let mut lines: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    let gateway = folder.join("gateway.toml");
    let gateway = gateway.display();
    let next = text!(
        en: "next: nengliu-gateway check -c {gateway}",
        zh: "下一步：nengliu-gateway check -c {gateway}",
    );
    lines.push(next.get(program::language()).to_owned());
    output::failed(print_line(lines.join("\n"))).unwrap_or(EXIT_OK)
}

#[cfg(test)]
mod tests {
    use config::Problems;

    use super::*;

    #[test]
    fn the_files_pass_check() {
        for files in [ENGLISH, CHINESE] {
            let folder = tempfile::tempdir().unwrap();
            Starter { folder: folder.path(), files }.write().unwrap();
            let mut problems = Problems::default();
            let plan = crate::load(&folder.path().join("gateway.toml"), &mut problems);
            assert_eq!(problems.to_string(), "");
            assert_eq!(plan.unwrap().points.len(), 3);
            assert_eq!(init(folder.path()), EXIT_CONFIG, "nothing is written over");
        }
    }
}
