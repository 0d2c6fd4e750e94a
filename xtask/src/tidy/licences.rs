//! Licences and sources of every foreign crate that this machine would build.

use cargo_metadata::{Metadata, Package};

use super::{Problem, spdx};

/// Licences that ask for no more than their notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Licences allowed for named crates only: the licence, the crates, and why.
const ALLOWED_FOR: &[(&str, &[&str], &str)] = &[
    (
        "MPL-2.0",
        &[
            "async-opcua",
            "async-opcua-client",
            "async-opcua-core",
            "async-opcua-core-namespace",
            "async-opcua-crypto",
            "async-opcua-macros",
            "async-opcua-nodes",
            "async-opcua-server",
            "async-opcua-types",
            "option-ext",
            "serialport",
        ],
        "copyleft by file: used unchanged, so only their notices are owed",
    ),
    ("CDLA-Permissive-2.0", &["webpki-root-certs", "webpki-roots"], "data: root certificates"),
    (
        "CC0-1.0",
        &["tiny-keccak"],
        "public domain dedication without a patent grant; build-time only",
    ),
];

/// All rules about foreign crates.
pub(super) fn check(metadata: &Metadata) -> Vec<Problem> {
    let built = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| &node.id);
    let foreign = built
        .map(|id| &metadata[id])
        .filter(|package| !metadata.workspace_members.contains(&package.id));
    foreign.flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |text: String| {
        problems.push(Problem::new(format!("{} {}", package.name, package.version), text));
    };
    if !package.source.as_ref().is_some_and(cargo_metadata::Source::is_crates_io) {
        let source = package.source.as_ref().map_or("a path", |source| source.repr.as_str());
        report(format!("comes from {source}; only crates.io is allowed"));
    }
    match package.license.as_deref() {
        None => report("names no licence".to_owned()),
        Some(expression) => match judge(&package.name, expression) {
            Some(true) => {}
            Some(false) => report(format!(
                "licence `{expression}` is not allowed; choose another crate, or name it in \
                 xtask/src/tidy/licences.rs with a reason"
            )),
            None => report(format!("licence `{expression}` is not an SPDX expression")),
        },
    }
    problems
}

/// Whether a crate of this name may come under this expression; `None` when it is not one.
pub(super) fn judge(name: &str, expression: &str) -> Option<bool> {
    spdx::satisfied(expression, &|licence| {
        ALLOWED.contains(&licence)
            || ALLOWED_FOR
                .iter()
                .any(|(named, crates, _)| *named == licence && crates.contains(&name))
    })
}
