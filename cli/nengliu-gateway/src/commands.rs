//! The commands of `nengliu-gateway`: init, run, check, status. Prints and chooses exit codes; nothing below does.

mod check;
mod exit;
mod init;
mod output;
mod run;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use exit::*;
pub use run::run_on;

/// Reads a factory's devices, keeps every reading on disk and forwards it until the store has it.｜边缘网关：读取设备，先落盘，待中心入库确认后才释放
#[derive(Debug, Parser)]
#[command(name = "nengliu-gateway", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented gateway.toml and a device profile to begin with.｜生成带注释的 gateway.toml 和设备模板，供起步使用
    Init(InitArgs),
    /// Read, keep and forward, in the foreground, until stopped.｜运行网关：读取、落盘、转发，前台运行直到停止
    Run(RunArgs),
    /// Check the configuration and its profiles; opens nothing.｜检查配置与设备模板，不建立任何连接
    Check(CheckArgs),
    /// Show how a running gateway does.｜查看运行状态
    Status(StatusArgs),
}

#[derive(Debug, Args)]
struct InitArgs {
    /// The folder; made when it is not there, and no file in it is written over.｜目录；不存在则创建，不覆盖已有文件
    #[arg(default_value = ".")]
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file.｜配置文件
    #[arg(short, long, default_value = "/etc/nengliu/gateway.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How long a gateway that is stopped goes on sending what it has (for example 30s).｜停止时继续发送积压数据的时长（如 30s）
    #[arg(long, value_name = "DURATION", value_parser = program::parse_duration)]
    drain: Option<Duration>,
    /// Stop also when standard input ends, as it does when the program that started this one dies, however it dies.｜标准输入结束时也停止，即启动它的程序退出时
    #[arg(long)]
    stop_with_stdin: bool,
    /// When stopped, print the last status as one JSON object.｜停止时以一个 JSON 对象打印最后状态
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Open the ports and read every point once or a few times: says what does not answer and what is not plausible.｜打开端口，将每个测点读取一至数次：指出无应答的设备和不合理的数值
    #[arg(long)]
    online: bool,
    /// With `--online`: how long to wait for what does not answer (for example 30s).｜与 `--online` 合用：等待无应答设备的时长（如 30s）
    #[arg(long, value_name = "DURATION", value_parser = program::parse_duration, requires = "online")]
    wait: Option<Duration>,
    /// Print one JSON object.｜输出一个 JSON 对象
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object.｜输出一个 JSON 对象
    #[arg(long)]
    json: bool,
    /// Show every point, also where there are more than 200; with `--json` one object a line, the first without points.｜显示全部点位，超过 200 个时亦然；与 `--json` 同用时每行一个对象，首行不含点位
    #[arg(long)]
    all: bool,
}

impl Cli {
    /// What is logged unless `RUST_LOG` says otherwise.
    #[must_use]
    pub fn log(&self) -> &'static str {
        match self.command {
            Command::Check(_) => program::ANSWER_LOG,
            _ => program::DEFAULT_LOG,
        }
    }

    /// Carries the command out and returns the exit code.
    pub async fn run(self) -> u8 {
        match self.command {
            Command::Init(args) => init::init(&args.folder),
            Command::Run(args) => {
                let usual = run::Ending::default();
                let drain = args.drain.unwrap_or(usual.drain);
                let (with_stdin, json) = (args.stop_with_stdin, args.json);
                run::run(&args.config.config, &run::Ending { drain, with_stdin, json }).await
            }
            Command::Check(args) => {
                let wait = args.wait.unwrap_or(check::ONLINE_WAIT);
                let online = args.online.then_some(wait);
                check::check(&args.config.config, online, args.json).await
            }
            Command::Status(args) => status::status(&args.config.config, args.json, args.all).await,
        }
    }
}
