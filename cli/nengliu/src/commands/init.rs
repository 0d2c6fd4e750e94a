//! `nengliu init`: files to begin with, in the language of the user. They pass their own checks and give a Table 1 at once.

use std::path::Path;

use model::{Language, text};
use program::Starter;

use super::output;
use crate::exit;

const ENGLISH: &[(&str, &str)] = &[
    ("plant.toml", include_str!("init/en/plant.toml")),
    ("facts.csv", include_str!("init/en/facts.csv")),
    ("nengliu.toml", include_str!("init/en/nengliu.toml")),
];
const CHINESE: &[(&str, &str)] = &[
    ("plant.toml", include_str!("init/zh/plant.toml")),
    ("facts.csv", include_str!("init/zh/facts.csv")),
    ("nengliu.toml", include_str!("init/zh/nengliu.toml")),
];

/// Writes them into `folder` and says what to do next.
pub(crate) fn init(folder: &Path) -> u8 {
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
        program::show_words("EN-A007", words.get(language), help.get(language));
        return exit::CONFIG;
    }
    let written = match output::written(starter.write()) {
        Ok(written) => written,
        Err(code) => return code,
    };
    let mut lines: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    let plant = folder.join("plant.toml");
    let plant = plant.display();
    let next = text!(
        en: "next: nengliu kpi table1 --period 2025 --plant {plant}",
        zh: "下一步：nengliu kpi table1 --period 2025 --plant {plant}",
    );
    lines.push(next.get(program::language()).to_owned());
    output::print_line(lines.join("\n")).err().unwrap_or(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    /// Each of the files is read without a word, in either language, and gives all figures of two years.
    #[test]
    fn the_files_pass_their_own_checks_and_give_a_table_1() {
        for files in [ENGLISH, CHINESE] {
            let folder = tempfile::tempdir().unwrap();
            let starter = Starter { folder: folder.path(), files };
            starter.write().unwrap();
            let settings = Settings::load(&folder.path().join("nengliu.toml"));
            let settings = settings.map_err(|problems| problems.to_string()).unwrap();
            let plant = analytics::PlantFiles::load(&settings.analytics.unwrap().plant);
            let plant = plant.map_err(|problems| problems.to_string()).unwrap();
            assert_eq!(plant.plant.warnings.to_string(), "");
            for (year, total) in [("2024", "4267.8378"), ("2025", "4211.545")] {
                let period = year.parse().unwrap();
                let table = plant.table1(None, period, energy::BasisChoice::Both).unwrap();
                assert_eq!(table.missing_coefficients, []);
                let figure = table.totals.equivalent.unwrap();
                assert_eq!(figure.exact().unwrap().to_string(), total);
                let example = |note: &model::Localized| note.contains("illustrative");
                assert!(figure.complete && figure.notes.iter().all(example), "{figure:?}");
            }
        }
    }

    #[test]
    fn a_file_that_is_there_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let facts = folder.path().join("facts.csv");
        std::fs::write(&facts, "mine").unwrap();
        assert_eq!(init(folder.path()), exit::CONFIG);
        assert_eq!(std::fs::read_to_string(&facts).unwrap(), "mine");
        assert!(!folder.path().join("plant.toml").exists());
    }
}
