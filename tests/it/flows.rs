//! Where energy comes from and goes, from files through `nengliu kpi`: own primary energy, export, own steam, stock, meters
//! behind one another. Trials fig-04, fig-05 and fig-11.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tests::ours::Ran;
use tests::ours::figures::Figures;
use tests::programs::workspace_root;

/// A trial's files, of which one text may be replaced by another.
struct Trial {
    _folder: TempDir,
    plant: PathBuf,
}

impl Trial {
    /// `None` where the trials are not at hand.
    fn new(name: &str, edits: &[(&str, &str)]) -> Option<Self> {
        let from = workspace_root().join("../shared/trials").join(name);
        if !from.is_dir() {
            eprintln!("skipped: {} is not there", from.display());
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut left: Vec<&str> = edits.iter().map(|(old, _)| *old).collect();
        for file in ["plant.toml", "facts.csv"] {
            let Ok(mut text) = fs::read_to_string(from.join(file)) else { continue };
            for (old, new) in edits {
                if text.contains(old) {
                    left.retain(|one| one != old);
                    text = text.replace(old, new);
                }
            }
            fs::write(folder.path().join(file), text).unwrap();
        }
        assert!(left.is_empty(), "not in the trial: {left:?}");
        let plant = folder.path().join("plant.toml");
        Some(Self { _folder: folder, plant })
    }

    fn kpi(&self, table: &str) -> Ran {
        let plant: &Path = &self.plant;
        Figures { plant, lake: None }.kpi(table, "2023", "equivalent").unwrap()
    }

    fn json(&self, table: &str) -> Value {
        let ran = self.kpi(table);
        serde_json::from_str(&ran.output).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
    }
}

const PV: &str = "fig-04-own-photovoltaic-power-and-feed-in";
const STEAM: &str = "fig-05-own-steam-is-missing-in-unit-product";
const SUB_METER: &str = "fig-11-sub-meter-without-parent";

fn value(figure: &Value) -> Option<&str> {
    figure["value"].as_str()
}

#[test]
fn own_photovoltaic_power_is_in_the_total_and_its_surplus_is_taken_off_it() {
    let check = |edits: &[(&str, &str)], with: &str, without: &str| {
        let Some(trial) = Trial::new(PV, edits) else { return };
        let table = trial.json("table1");
        assert_eq!(value(&table["totals"]["equivalent"]), Some(with), "{table:#}");
        assert_eq!(value(&table["totals_without_generated"]["equivalent"]), Some(without));
    };
    let generated = ("own:electricity", "generated:electricity");
    check(&[generated], "700.53", "614.5");
    let much = [("electricity,500", "electricity,20"), ("electricity,100", "electricity,200")];
    check(&[generated, much[0], much[1], ("electricity,30", "electricity,60")], "196.64", "24.58");
    // What was bought is sold on.
    let own = ("acme,2023,own:electricity,100,万kWh,屋顶光伏\n", "");
    check(&[own], "577.63", "577.63");
}

#[test]
fn photovoltaic_power_typed_as_own_has_no_total() {
    for edits in [&[][..], &[("electricity,500", "electricity,20")]] {
        let Some(trial) = Trial::new(PV, edits) else { return };
        let ran = trial.kpi("table1");
        let table: Value = serde_json::from_str(&ran.output).unwrap();
        assert!(!ran.output.contains("577.63"), "{}", ran.output);
        for totals in ["totals", "totals_without_generated", "output_value_intensity"] {
            assert_eq!(table[totals]["equivalent"]["value"], Value::Null, "{totals}");
        }
        let notes = table["totals"]["equivalent"]["notes"].to_string();
        assert!(notes.contains("write `generated:electricity`"), "{notes}");
    }
}

fn per_product(found: &Value) -> (Option<&str>, bool, String) {
    let figure = &found["lines"][0]["product"]["energy_per_product"]["equivalent"];
    let complete = figure["complete"] == true;
    (figure["value"]["value"].as_str(), complete, figure["notes"].to_string())
}

#[test]
fn a_product_made_with_own_steam_has_its_energy_or_says_what_is_missing() {
    let Some(trial) = Trial::new(STEAM, &[]) else { return };
    let found = trial.json("unit-product");
    let (_, complete, notes) = per_product(&found);
    assert!(!complete && notes.contains("what made `own:steam` is not stated"), "{notes}");
    let check = |edits: &[(&str, &str)]| {
        let Some(trial) = Trial::new(STEAM, edits) else { return };
        let found = trial.json("unit-product");
        assert_eq!(per_product(&found), (Some("0.918610"), true, "null".to_owned()), "{found:#}");
        assert_eq!(value(&found["lines"][0]["tce"]["equivalent"]), Some("918.61"));
        assert_eq!(value(&found["undistributed"]["equivalent"]), Some("61.45"));
    };
    let stated = ("steam_rule", "made_by = [\"boiler\"]\nsteam_rule");
    check(&[stated]);
    check(&[("acme,2023,own:steam", "boiler,2023,own:steam")]);
    let key = "[[allocation]]\nfrom = \"boiler\"\nenergy_kind = \"raw_coal\"\nshare = [{ to = \"line-b\", weight = 1 }]\n";
    let divided = ("[[product]]", &*format!("{key}[[product]]"));
    check(&[stated, divided]);
    // The key alone gives the same value, and does not say that the boiler is what made the steam.
    let Some(trial) = Trial::new(STEAM, &[divided]) else { return };
    let found = trial.json("unit-product");
    let (value, complete, notes) = per_product(&found);
    assert_eq!((value, complete), (Some("0.918610"), false));
    assert!(notes.contains("what made `own:steam` is not stated"), "{notes}");
}

#[test]
fn a_sub_meter_without_a_parent_is_asked_for_it() {
    let Some(trial) = Trial::new(SUB_METER, &[]) else { return };
    let ran = trial.kpi("table1");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for part in ["EN-C122", "`parent = \"main\"`", "`independent = true`"] {
        assert!(ran.errors.contains(part), "{}", ran.errors);
    }
    for more in ["parent = \"main\"", "independent = true"] {
        let role = "subject = \"line-a\"\n";
        let edit = (role, &*format!("{role}{more}\n"));
        let Some(trial) = Trial::new(SUB_METER, &[edit]) else { return };
        let ran = trial.kpi("table1");
        // Read without a complaint; nothing was read by its meters, and no lake is named.
        assert_eq!(ran.code, Some(11), "{ran:?}");
        assert!(ran.errors.contains("EN-K004") && !ran.errors.contains("EN-C"), "{ran:?}");
    }
}
