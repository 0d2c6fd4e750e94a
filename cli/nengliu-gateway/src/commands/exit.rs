//! The exit codes: one meaning, one code; `--help` lists them. A service manager or a script can tell by them what to do.

/// Done, healthy.
pub const EXIT_OK: u8 = 0;
/// Failed for a reason that has no code of its own.
pub const EXIT_FAILED: u8 = 1;
/// The configuration is invalid.
pub const EXIT_CONFIG: u8 = 3;
/// Another process has the spool or a port open.
pub const EXIT_LOCKED: u8 = 4;
/// The broker is not connected.
pub const EXIT_UPLINK: u8 = 5;
/// Access denied.
pub const EXIT_ACCESS: u8 = 6;
/// Some devices do not answer, or answer without one usable value.
pub const EXIT_PARTIAL: u8 = 7;
/// The broker is connected, but nothing is committed, or the centre refuses this log.
pub const EXIT_NO_ACK: u8 = 8;
/// The disk is full.
pub const EXIT_DISK_FULL: u8 = 10;
/// The disk cannot be written: it is read-only, failing or hanging.
pub const EXIT_DISK: u8 = 11;
/// Readings were lost or refused since the start.
pub const EXIT_LOST: u8 = 12;
/// A task of the gateway failed; for `run` the one that owns the spool.
pub const EXIT_TASK: u8 = 13;
/// No gateway runs on this spool, or it does not answer.
pub const EXIT_NO_ANSWER: u8 = 14;
/// The host's clock cannot be right.
pub const EXIT_CLOCK: u8 = 15;
/// Devices give values that are not plausible.
pub const EXIT_IMPLAUSIBLE: u8 = 16;

/// For `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes (several things wrong: the worst; the text lists all)｜退出码（多项异常时取最严重的，正文列出全部）
   0  done; `status`: healthy｜0  完成；`status`：正常
   1  failed for another reason｜1  其他原因失败
   2  wrong arguments｜2  参数有误
   3  the configuration is invalid｜3  配置无效
   4  another process uses the spool or a port｜4  缓存或端口正被其他进程使用
   5  the broker is not connected｜5  未连接消息代理
   6  access denied｜6  无权限
   7  some devices do not answer, or give no usable value｜7  部分设备无应答或无有效值
   8  connected, but nothing is committed, or the centre refuses this log｜8  已连接但未入库，或中心拒收此日志
  10  the disk is full｜10  磁盘已满
  11  the disk cannot be written: read-only, failing or hanging｜11  磁盘不可写：只读、故障或无响应
  12  readings were lost or refused since the start｜12  启动以来有读数丢失或被拒
  13  a task failed and does not run; `run`: the keeper of the spool failed, start it again｜13  有任务失败停止；`run`：缓存任务失败，请重新启动
  14  no gateway runs on this spool, or it does not answer｜14  此缓存上没有运行中的网关，或其无应答
  15  the host's clock cannot be right: readings have a wrong time and are flagged｜15  主机时钟明显有误：读数时间错误并已标记
  16  devices give values that are not plausible｜16  有设备数值不合理";

#[cfg(test)]
mod tests {
    use super::*;

    /// Every constant of this file has its line in `--help`, and no line is without one; 2 is clap's.
    #[test]
    fn help_lists_every_exit_code() {
        let constants = include_str!("exit.rs").lines().filter_map(|line| {
            let (_, value) = line.strip_prefix("pub const ")?.split_once(": u8 = ")?;
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
