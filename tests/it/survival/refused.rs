//! What is in use or of another version is refused and not touched. Must never end the process that holds it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tests::ours::run;

use super::{SOON, Site};

/// Exit code of a program that may not have what another one holds, or must not touch it.
const EXIT_ACCESS: Option<i32> = Some(6);
/// Exit code of a gateway whose spool another process holds.
const EXIT_LOCKED: Option<i32> = Some(4);

#[test]
fn a_second_gateway_on_one_spool_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    let file = site.gateway.settings_file();
    let second = run("nengliu-gateway", ["run", "-c", file.to_str().unwrap()]).unwrap();
    assert_eq!(second.code, EXIT_LOCKED, "{second:?}");
    assert!(second.errors.contains(&site.gateway.id().to_string()), "{}", second.errors);
    site.check_nothing_is_lost();
}

#[test]
fn a_second_centre_on_one_lake_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    let file = site.centre.settings_file();
    let second = run("nengliu", ["serve", "-c", file.to_str().unwrap()]).unwrap();
    assert_eq!(second.code, EXIT_ACCESS, "{second:?}");
    assert!(second.errors.contains(&site.centre.id().to_string()), "{}", second.errors);
    site.check_nothing_is_lost();
}

/// Every file below a folder with its bytes, but for lock files and sockets.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
        if kind.is_dir() {
            files.extend(contents(&path));
        } else if kind.is_file() && !path.ends_with("lock") {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn files_of_another_version_are_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::start(folder.path());
    site.gateway
        .wait_for_status("a frame with a commit ack", SOON, |status| {
            status["spool"]["acked"].as_u64().is_some_and(|acked| acked >= 1)
        })
        .unwrap();
    site.gateway.terminate().unwrap();
    site.centre.terminate().unwrap();

    // A spool segment of version 99: both copies of its header say so.
    let spool = site.gateway.spool();
    let mut segments = fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.find(|path| path.extension().is_some_and(|ext| ext == "seg")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    for copy in [0, 512] {
        bytes[copy + 8..copy + 12].copy_from_slice(&99_u32.to_le_bytes());
    }
    fs::write(&segment, bytes).unwrap();
    let before = contents(&spool);
    let file = site.gateway.settings_file();
    let refused = run("nengliu-gateway", ["run", "-c", file.to_str().unwrap()]).unwrap();
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    assert!(refused.errors.contains("99"), "{}", refused.errors);
    assert_eq!(contents(&spool), before);

    // A lake of layout `99`.
    let lake = site.centre.lake();
    let log = lake.join("_delta_log/00000000000000000000.json");
    let text = fs::read_to_string(&log).unwrap();
    // As another program writes it: without a seal.
    let (before, _) = text.split_once(",\"seal\":").unwrap();
    let other = before.replace("\"nengliu.layout\":\"2\"", "\"nengliu.layout\":\"99\"") + "}}\n";
    assert_ne!(text, other);
    fs::write(&log, other).unwrap();
    let before = contents(&lake);
    let centre = site.centre.settings_file();
    let query = ["query", "--lake", lake.to_str().unwrap()];
    for arguments in [["serve", "-c", centre.to_str().unwrap()], query] {
        let refused = run("nengliu", arguments).unwrap();
        assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
        assert!(refused.errors.contains("layout 99"), "{}", refused.errors);
    }
    assert_eq!(contents(&lake), before);
}
