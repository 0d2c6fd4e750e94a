//! The command line. Must never do the work itself.

use std::path::PathBuf;

use analytics::Kpi;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{commands, exit};

/// From a meter to a tonne of coal equivalent: broker, ingest, lake and figures.｜能流：从电表到吨标准煤——消息代理、入库、数据湖与指标
#[derive(Debug, Parser)]
#[command(name = "nengliu", version, propagate_version = true, after_help = exit::EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented plant.toml, facts.csv and nengliu.toml to begin with.｜生成带注释的 plant.toml、facts.csv 和 nengliu.toml，供起步使用
    Init(InitArgs),
    /// Run a simulated plant with everything, and print its Table 1.｜运行模拟工厂的完整链路，并打印其表 1
    Demo(DemoArgs),
    /// Run the centre: broker, ingest, lake, and figures on a timer.｜运行中心：消息代理、入库、数据湖、定时计算指标
    Serve(ServeArgs),
    /// Compute figures: Table 1, unit-product energy, energy per 10k yuan.｜计算指标：表 1、单位产品能耗、万元产值能耗
    Kpi(KpiArgs),
    /// Show where one figure comes from.｜说明一个数字的来历
    Explain(ExplainArgs),
    /// List the points of the lake: unit, kind, first and last reading, place, name.｜列出数据湖中的测点：单位、类型、首个和最新读数、位置、名称
    Points(PointsArgs),
    /// Print samples.｜查询采样值
    Query(QueryArgs),
    /// List damaged files of the lake, and list, show and drop frames that could not be read.｜隔离区：列出损坏的文件，列出、查看、删除无法读取的数据帧
    Quarantine(QuarantineArgs),
    /// Print the rights that another broker must have.｜打印其他消息代理所需的权限配置
    Acl(AclArgs),
}

/// `nengliu init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder; made when it is not there, and no file in it is written over.｜目录；不存在则创建，不覆盖已有文件
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
}

/// `nengliu quarantine`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineArgs {
    /// The settings of the centre; the lake is taken from them.｜中心的配置文件，从中取数据湖位置
    #[arg(short, long, global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The folder of the lake.｜数据湖目录
    #[arg(long, global = true)]
    pub(crate) lake: Option<PathBuf>,
    /// Print JSON: `list` one array, `show` one object.｜输出 JSON：`list` 为数组，`show` 为对象
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: QuarantineCommand,
}

/// What to do with the quarantine.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// One line for each frame: name, time, samples, what is wrong; then one for each damaged file of the lake: name, when
    /// it was found (`-` where that is not noted), rows, what is wrong and whose frames they came in. With `--json` the
    /// frames alone; damaged files are in `_nengliu/ingest-status.json`.
    List,
    /// What is known of one frame.｜查看一个数据帧
    Show {
        /// Its name, as `list` gives it.｜名称，见 `list`
        name: String,
        /// Write the frame into this file.｜把数据帧写入此文件
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Remove one frame. Its samples stay counted as lost. The room counts after the next start of `serve`.｜删除一个数据帧：其采样值仍计为丢失，空间在 `serve` 下次启动后释放
    Drop {
        /// Its name, as `list` gives it.｜名称，见 `list`
        name: String,
    },
}

/// `nengliu acl`.
#[derive(Debug, Args)]
pub(crate) struct AclArgs {
    /// Which broker.｜哪种消息代理
    #[arg(value_enum)]
    pub(crate) broker: AclBroker,
    /// User name of the centre.｜中心的用户名
    #[arg(long, default_value = "nengliu")]
    pub(crate) user: String,
    /// As `[live] prefix`.｜同 `[live] prefix`
    #[arg(long)]
    pub(crate) prefix: Option<String>,
}

/// Brokers whose rights can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AclBroker {
    /// Eclipse Mosquitto: its `acl_file`.
    Mosquitto,
}

/// `nengliu demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Stop by itself after so long, counted from the line "plant started" (for example 90s).｜运行多久后自动停止，从“plant started”一行算起（如 90s）
    #[arg(long = "for", value_name = "DURATION", value_parser = program::parse_duration)]
    pub(crate) run_for: Option<std::time::Duration>,
    /// End with one line of JSON.｜最后输出一行 JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the demo keeps its files; emptied at the start.｜演示的文件目录，启动时清空
    #[arg(long, default_value = "demo")]
    pub(crate) folder: PathBuf,
    /// Seed of the simulated plant.｜模拟工厂的随机种子
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// `nengliu serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The settings; defaults are used when left out (embedded broker on 127.0.0.1:1883, lake in ./lake).｜配置文件；省略时用缺省值（内嵌消息代理 127.0.0.1:1883，数据湖 ./lake）
    #[arg(short, long)]
    pub(crate) config: Option<PathBuf>,
}

/// Where figures come from.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The settings of the centre; the lake and the plant file are taken from them.｜中心的配置文件，从中取数据湖与工厂文件
    #[arg(short, long)]
    pub(crate) config: Option<PathBuf>,
    /// The plant file.｜工厂文件 plant.toml
    #[arg(long)]
    pub(crate) plant: Option<PathBuf>,
    /// The folder of the lake; not needed when every figure is declared.｜数据湖目录；全部数据均为填报时不需要
    #[arg(long)]
    pub(crate) lake: Option<PathBuf>,
    /// Only what this ingest commit and those before it brought; no higher than the newest commit of the lake.｜只取到此入库提交为止的数据，不得高于数据湖的最新提交
    #[arg(long, value_name = "COMMIT")]
    pub(crate) as_of: Option<u64>,
}

/// Where samples come from.
#[derive(Debug, Args)]
pub(crate) struct LakeArgs {
    /// The settings of the centre; the lake is taken from them.｜中心的配置文件，从中取数据湖位置
    #[arg(short, long)]
    pub(crate) config: Option<PathBuf>,
    /// The folder of the lake; `lake` in this folder when it is not named here or in the settings.｜数据湖目录；此处与配置均未写时为当前目录下的 `lake`
    #[arg(long)]
    pub(crate) lake: Option<PathBuf>,
    /// Only what this ingest commit and those before it brought; no higher than the newest commit of the lake.｜只取到此入库提交为止的数据，不得高于数据湖的最新提交
    #[arg(long, value_name = "COMMIT")]
    pub(crate) as_of: Option<u64>,
}

/// `nengliu kpi`.
#[derive(Debug, Args)]
pub(crate) struct KpiArgs {
    /// Which figures.｜哪些指标
    #[arg(value_enum)]
    pub(crate) table: KpiTable,
    /// A year `2018`, a quarter `2018-Q1`, a month `2018-01`, a day `2018-01-31`, a range `2018-01..2018-06`, or `2018-YTD` up to the last complete month; in the plant's time zone.｜年 `2018`、季度 `2018-Q1`、月 `2018-01`、日 `2018-01-31`、区间 `2018-01..2018-06`，或 `2018-YTD`（年初至上一个完整月），按工厂时区
    #[arg(long)]
    pub(crate) period: String,
    /// Beside it another period, with the difference and its percentage.｜与另一时段比较，列出增减与增减率
    #[arg(long, value_name = "PERIOD", conflicts_with = "by")]
    pub(crate) compare: Option<String>,
    /// The parts of the period side by side.｜按月、季或年分列
    #[arg(long, value_enum)]
    pub(crate) by: Option<PartArg>,
    /// Calorific value `equivalent`, equal value `equal-value`, or both.｜当量值 `equivalent`、等价值 `equal-value`，或两者
    #[arg(long, value_enum, default_value_t = BasisChoice::Both)]
    pub(crate) basis: BasisChoice,
    /// How the figures are written: what the name of the output file ends in, else `text`.｜输出格式：按输出文件的扩展名，否则 `text`
    #[arg(long, value_enum)]
    pub(crate) format: Option<KpiFormat>,
    /// Write into this file instead of standard output: `.xlsx`, `.csv`, `.json` or `.txt`.｜写入此文件而不是标准输出：`.xlsx`、`.csv`、`.json` 或 `.txt`
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    /// Below the tables, every rule and coefficient with its document.｜在表后列出每条规则和系数的出处
    #[arg(long)]
    pub(crate) notes: bool,
    /// `form` rounds as the printed form does, `all` prints every digit.｜`form` 按报表位数修约，`all` 打印全部位数
    #[arg(long, value_enum, default_value_t = DigitsArg::Form)]
    pub(crate) digits: DigitsArg,
    /// Most columns of a line of text; those of the terminal when left out, 100 without one.｜文本每行最多列数；默认取终端宽度，无终端时 100
    #[arg(long, value_parser = clap::value_parser!(u16).range(60..=1000))]
    pub(crate) width: Option<u16>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// Parts of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartArg {
    /// Months.｜月
    Month,
    /// Quarters.｜季度
    Quarter,
    /// Years.｜年
    Year,
}

/// How many digits are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DigitsArg {
    /// Those of the form, rounded once, half to even.｜报表位数，四舍六入五成双，只修约一次
    Form,
    /// All.｜全部
    All,
}

/// Which figures `kpi` computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KpiTable {
    /// 表1 能源消耗统计表
    Table1,
    /// 单位产品综合能耗
    UnitProduct,
    /// 万元产值、万元增加值综合能耗
    Intensity,
}

impl KpiTable {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Table1 => "table1",
            Self::UnitProduct => "unit-product",
            Self::Intensity => "intensity",
        }
    }

    /// What computes them.
    pub(crate) fn kpi(self) -> &'static dyn Kpi {
        analytics::kpi(self.name()).expect("each of these is in the list of figures")
    }
}

/// Which basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BasisChoice {
    /// 当量值
    Equivalent,
    /// 等价值
    EqualValue,
    /// Both.
    Both,
}

/// How figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KpiFormat {
    /// A table for people.
    Text,
    /// One JSON object, decimals as text.
    Json,
    /// Comma-separated.
    Csv,
    /// An Excel workbook.
    Xlsx,
}

/// `nengliu explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Name of a figure as `kpi --format json` gives it, e.g. `table1/2018/electricity/equivalent`.｜指标名，见 `kpi --format json`，如 `table1/2018/electricity/equivalent`
    pub(crate) figure: String,
    /// Print one JSON object.｜输出一个 JSON 对象
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// `nengliu points`.
#[derive(Debug, Args)]
pub(crate) struct PointsArgs {
    /// Words that are in the id, name, place or unit of a point; `*` stands for anything; all points when left out.｜测点 id、名称、位置或单位中的词，`*` 代表任意字符；省略则全部
    pub(crate) pattern: Vec<String>,
    /// Print one JSON object.｜输出一个 JSON 对象
    #[arg(long)]
    pub(crate) json: bool,
    /// The settings of the centre; the lake, and the plant file for the time zone, are taken from them.｜中心的配置文件；数据湖以及工厂文件（用其时区）取自其中
    #[arg(short, long)]
    pub(crate) config: Option<PathBuf>,
    /// The folder of the lake; `lake` in this folder when it is not named here or in the settings.｜数据湖文件夹；此处和配置中都未给出时为当前文件夹下的 `lake`
    #[arg(long)]
    pub(crate) lake: Option<PathBuf>,
}

/// `nengliu query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Points whose id begins with one of these (`nengliu points` lists them); all when left out.｜测点 id 的前缀（用 `nengliu points` 列出）；省略则全部
    pub(crate) points: Vec<String>,
    /// Source time, first that is wanted: a day `2026-10-01`, a month, a year or a time `2026-10-01T08:00` in the time zone of the plant file (without one, of this host), or a time with its offset.｜源时间起点（含）：日期 `2026-10-01`、月、年或时间 `2026-10-01T08:00`，按工厂文件的时区（没有则按本机时区）；也可写带时差的时间
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Source time, first that is no longer wanted; later than `--from`: October is `--from 2026-10 --to 2026-11`.｜源时间终点（不含），晚于 `--from`：十月即 `--from 2026-10 --to 2026-11`
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// The plant file, for its time zone; taken from the settings when it is not named here.｜工厂文件，用其时区；省略时取自配置
    #[arg(long)]
    pub(crate) plant: Option<PathBuf>,
    /// Every row, also those that the reader's rule passes over, with all columns of the lake.｜所有行，包括读取规则略过的行，并输出数据湖的全部列
    #[arg(long)]
    pub(crate) all: bool,
    /// How the samples are written.｜输出格式
    #[arg(long, value_enum, default_value_t = QueryFormatArg::Csv)]
    pub(crate) format: QueryFormatArg,
    /// Write into this file instead of standard output; needed for `parquet` and `arrow` on a terminal.｜写入此文件而不是标准输出；`parquet`、`arrow` 在终端上必须给出
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: LakeArgs,
}

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormatArg {
    /// Comma-separated.
    Csv,
    /// One JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC stream, for polars, pandas and `DuckDB`.
    Arrow,
}

impl KpiFormat {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
        }
    }

    /// What the name of a file says.
    pub(crate) fn of_name(path: &std::path::Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "txt" | "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "xlsx" => Some(Self::Xlsx),
            _ => None,
        }
    }
}

impl Cli {
    /// Whether the command runs until stopped, and so tells what happens.
    pub(crate) fn is_long_running(&self) -> bool {
        matches!(self.command, Command::Serve(_))
    }

    /// Carries the command out and returns the exit code.
    pub(crate) async fn run(self) -> u8 {
        match self.command {
            Command::Init(args) => commands::init::init(&args.folder),
            Command::Demo(args) => commands::demo::demo(args).await,
            Command::Serve(args) => commands::serve::serve(args).await,
            Command::Kpi(args) => commands::blocking(move || commands::kpi::kpi(&args)).await,
            Command::Explain(args) => {
                commands::blocking(move || commands::explain::explain(&args)).await
            }
            Command::Points(args) => {
                commands::blocking(move || commands::points::points(&args)).await
            }
            Command::Query(args) => commands::blocking(move || commands::query::query(&args)).await,
            Command::Quarantine(args) => {
                commands::blocking(move || commands::quarantine::quarantine(&args)).await
            }
            Command::Acl(args) => {
                commands::acl::acl(args.broker, &args.user, args.prefix.as_deref())
            }
        }
    }
}
