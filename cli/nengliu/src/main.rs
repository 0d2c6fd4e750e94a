//! The program `nengliu`; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    nengliu::main()
}
