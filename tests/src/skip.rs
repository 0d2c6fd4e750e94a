//! How a test says that it cannot run here.

use std::fs::OpenOptions;
use std::io::Write;

/// Notes that `test` did not run and why, on standard error and in the file named by `NENGLIU_SKIP_LOG`, from which
/// `cargo xtask test` prints its account; CI fails on any such line while `../shared` is there.
pub fn skip(test: &str, reason: &str) {
    eprintln!("SKIPPED: {test}: {reason}");
    if let Some(log) = std::env::var_os("NENGLIU_SKIP_LOG") {
        let file = OpenOptions::new().create(true).append(true).open(log);
        file.and_then(|mut file| writeln!(file, "{test}: {reason}"))
            .expect("the skip log of `cargo xtask test` is writable");
    }
}

/// Whether the long fault runs are asked for (`cargo xtask test --long`).
#[must_use]
pub fn long_runs() -> bool {
    std::env::var_os("NENGLIU_LONG").is_some()
}
