//! The shell blocks of both READMEs, run as they are typed: with the programs in `target/debug` of the folder in which they
//! are typed. The tests of `first_steps` run them where a demo ran and where a meter is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use tests::peers::python;
use tests::programs::{program, workspace_root};

/// A shell block: its lines without comments.
pub(crate) type Block = Vec<String>;

/// The blocks of a README by what they are for; fails where there is one that no test knows.
pub(crate) struct Blocks {
    /// Builds everything, for minutes: run by `cargo xtask` alone.
    pub(crate) xtask: Block,
    /// Prints the table that is shown: `figures_from_files` runs it and compares.
    pub(crate) example: Block,
    /// After the demo.
    pub(crate) next: Block,
    /// Long-running programs, each in a shell of its own.
    pub(crate) own_meter: Block,
    /// While they run.
    pub(crate) look: Block,
}

/// The shell blocks of a page.
pub(crate) fn blocks_in(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(workspace_root().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| {
        let (block, _) = rest.split_once("```").expect("a block ends");
        let lines = block.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    });
    blocks.collect()
}

pub(crate) fn blocks(readme: &str) -> Blocks {
    let mut all = blocks_in(readme).into_iter();
    let mut next = || all.next().expect("as many blocks as are known");
    let blocks =
        Blocks { xtask: next(), example: next(), next: next(), own_meter: next(), look: next() };
    assert_eq!(all.next(), None, "{readme}: a block that no test runs");
    blocks
}

#[test]
fn both_readmes_have_the_same_commands() {
    let [english, chinese] = ["README.md", "README.zh-CN.md"].map(blocks);
    assert_eq!(english.xtask, chinese.xtask);
    assert_eq!(english.example, chinese.example);
    assert_eq!(english.next, chinese.next);
    assert_eq!(english.own_meter, chinese.own_meter);
    assert_eq!(english.look, chinese.look);
    // `cargo xtask` is an alias of this workspace, with these commands.
    assert_eq!(english.xtask, ["cargo xtask demo", "cargo xtask test"]);
    let main = fs::read_to_string(workspace_root().join("xtask/src/main.rs")).unwrap();
    assert!(["Command::Demo", "Command::Test"].iter().all(|command| main.contains(command)));
}

/// Makes a folder look like the workspace after a build, to whoever types in it.
pub(crate) fn pretend_built(folder: &Path) {
    let programs = program("nengliu").unwrap();
    fs::create_dir_all(folder.join("target")).unwrap();
    symlink(programs.parent().unwrap(), folder.join("target/debug")).unwrap();
}

/// A shell in a folder, with the Python of the peers as `python3`.
pub(crate) fn shell(folder: &Path, line: &str) -> Command {
    let python = python::interpreter().unwrap();
    let python = Path::new(python.get_program()).parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.args(["-euc", line]).current_dir(folder);
    command.env("PATH", format!("{}:{path}", python.display()));
    command
}

/// Types a block into one shell.
pub(crate) fn typed(folder: &Path, block: &[String]) -> Output {
    shell(folder, &block.join("\n")).output().unwrap()
}

/// README's block "next", where a demo ran in `folder/demo`; `month` is that of its table.
pub(crate) fn check_next(folder: &Path, month: &str) {
    pretend_built(folder);
    let block = blocks("README.md").next;
    assert!(block.iter().any(|line| line.contains("2026-10")), "{block:?}");
    let block: Block = block.iter().map(|line| line.replace("2026-10", month)).collect();
    let ran = typed(folder, &block);
    let (said, errors) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{errors}");
    for expected in
        ["commit", "demo/plant-1/meter-main/", "kWh", "point,ts,value,text,unit,quality"]
    {
        assert!(said.contains(expected), "`{expected}` is missing: {said}\n{errors}");
    }
    let workbook = fs::read(folder.join("table1.xlsx")).unwrap();
    assert!(workbook.starts_with(b"PK"), "a workbook");
}
