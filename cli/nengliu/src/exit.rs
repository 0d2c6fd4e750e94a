//! The exit codes: one meaning, one code; `--help` lists them. A service manager or a script can tell by them what to do.

/// Done, healthy.
pub(crate) const OK: u8 = 0;
/// Failed for a reason that has no code of its own.
pub(crate) const FAILED: u8 = 1;
/// A file or an argument is invalid.
pub(crate) const CONFIG: u8 = 3;
/// The broker cannot be reached or its port cannot be had.
pub(crate) const BROKER: u8 = 5;
/// Access denied, or in use by another program.
pub(crate) const ACCESS: u8 = 6;
/// The disk is full.
pub(crate) const DISK_FULL: u8 = 7;
/// The lake is damaged; rows that could be read were printed.
pub(crate) const LAKE: u8 = 8;
/// Figures are there, but not all: a coefficient is missing.
pub(crate) const MISSING_COEFFICIENT: u8 = 9;
/// The lake is of another version, or of another program.
pub(crate) const OTHER_LAKE: u8 = 10;
/// Figures are there, but a total is unknown: something that belongs to it is missing.
pub(crate) const UNKNOWN_TOTAL: u8 = 11;
/// A task that the centre cannot do without has failed; a service manager starts the program again.
pub(crate) const TASK: u8 = 13;

/// For `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes｜退出码
   0  done｜0  完成
   1  failed for another reason｜1  其他原因失败
   2  wrong arguments｜2  参数有误
   3  a file or an argument is invalid｜3  文件或参数无效
   5  the broker cannot be reached, or its port cannot be had｜5  消息代理不可达，或其端口被占用
   6  access denied, or another program uses the folder｜6  无权限，或目录正被其他程序使用
   7  the disk is full｜7  磁盘已满
   8  the lake is damaged; what could be read was printed｜8  数据湖损坏，已打印可读部分
   9  figures are there, but not all: a coefficient is missing｜9  指标不全：缺少折标系数
  10  the lake is of another version, or of another program｜10  数据湖属于其他版本或其他程序
  11  figures are there, but a total is unknown: something that belongs to it is missing｜11  合计未知：缺少计入合计的数据
  13  a task that the centre cannot do without has failed｜13  中心的关键任务失败";

#[cfg(test)]
mod tests {
    use super::*;

    /// Every constant of this file has its line in `--help`, and no line is without one; 2 is clap's.
    #[test]
    fn help_lists_every_exit_code() {
        let constants = include_str!("exit.rs").lines().filter_map(|line| {
            let (_, value) = line.strip_prefix("pub(crate) const ")?.split_once(": u8 = ")?;
            value.strip_suffix(';')?.parse::<u8>().ok()
        });
        let mut expected: Vec<u8> = constants.chain([2]).collect();
        expected.sort_unstable();
        let first_word = |line: &str| line.split_whitespace().next()?.parse().ok();
        let listed: Vec<u8> = EXIT_CODES.lines().filter_map(first_word).collect();
        assert!(expected.len() > 5, "{expected:?}");
        assert_eq!(listed, expected);
    }
}
