//! The commands of `nengliu-gateway`: run, check, status. Prints and chooses exit codes; nothing below does.

mod check;
mod exit;
mod run;
mod status;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use exit::*;
pub use run::run_on;

/// Reads a factory's devices, keeps every reading on disk and forwards it until the store has it.
/// 边缘网关：读取设备，先落盘，待中心入库确认后才释放。
#[derive(Debug, Parser)]
#[command(name = "nengliu-gateway", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read, keep and forward, in the foreground, until stopped. 运行网关
    Run(ConfigArgs),
    /// Check the configuration and its profiles; opens nothing. 检查配置
    Check(CheckArgs),
    /// Show how a running gateway does. 查看运行状态
    Status(StatusArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(short, long, default_value = "/etc/nengliu/gateway.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// Carries the command out and returns the exit code.
    pub async fn run(self) -> u8 {
        match self.command {
            Command::Run(args) => run::run(&args.config).await,
            Command::Check(args) => check::check(&args.config.config, args.json),
            Command::Status(args) => status::status(&args.config.config, args.json).await,
        }
    }
}

/// An error and what caused it, on one line each.
pub(crate) fn print_error(code: &str, error: &dyn std::error::Error, help: &str) {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        words = format!("{words}\n  because: {inner}");
        source = inner.source();
    }
    print_words(code, &words, help);
}

/// Something that went wrong and is no error of a library.
pub(crate) fn print_words(code: &str, words: &str, help: &str) {
    eprintln!("error {code}: {words}");
    if !help.is_empty() {
        eprintln!("  try: {help}");
    }
}
