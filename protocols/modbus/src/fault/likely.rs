//! The likely causes of a fault, the likeliest first, and what to do.

use std::io::ErrorKind;

use model::{Localized, text};

use crate::error::LinkError;

pub(super) fn silent_device() -> Localized {
    text!(
        en: "Likely: 1. another id is set at the device   2. it is off, or A and B are swapped at its terminals",
        zh: "可能原因：1. 设备上设置的是另一地址   2. 设备断电，或其端子 A、B 接反"
    )
}

pub(super) fn only() -> Localized {
    text!(
        en: "it answers other requests. Likely: 1. it does not have all of these registers: compare them with its \
             manual; the ones that it has are found in the next rounds   2. it gives fewer at once: `registers_per_request_max`",
        zh: "其他请求有应答。可能原因：1. 设备没有其中某些寄存器：请对照手册，其余寄存器会在随后几轮中找出   2. 单次可读的寄存器较少：`registers_per_request_max`"
    )
}

pub(super) fn slow() -> Localized {
    text!(
        en: "3. it thinks longer than `timeout` about them",
        zh: "3. 处理这些寄存器的时间超过 `timeout`"
    )
}

pub(super) fn silent_line() -> Localized {
    text!(
        en: "Likely: 1. `baud`, `format` or ids differ from the devices'   2. A and B are swapped, or \
             the converter is not in RS-485 mode   3. all devices are off",
        zh: "可能原因：1. `baud`、`format` 或地址与设备不一致   2. A、B 接反，或转换器未处于 RS-485 模式   3. 设备全部断电"
    )
}

pub(super) fn silent_endpoint() -> Localized {
    text!(
        en: "The TCP connection is open. Likely: 1. another id is set at the device, or the converter passes none on to it   \
             2. a serial server that passes bytes on as they are: set `framing = \"rtu\"` at the port   3. what listens there does \
             not speak Modbus TCP: check the TCP port   4. it thinks longer than `timeout`",
        zh: "TCP 连接已建立。可能原因：1. 设备上设置的是另一地址，或转换器未向其转发   2. 串口服务器为透明传输：请在端口设 `framing = \"rtu\"`   \
             3. 对端服务不是 Modbus TCP：请核对 TCP 端口   4. 设备处理时间超过 `timeout`"
    )
}

pub(super) fn silent_converter() -> Localized {
    text!(
        en: "The TCP connection is open. Likely: 1. another id is set at the device   2. baud rate or format of the serial \
             server differ from the device's   3. the server speaks Modbus TCP: remove `framing`   4. A and B are swapped",
        zh: "TCP 连接已建立。可能原因：1. 设备上设置的是另一地址   2. 串口服务器的波特率或格式与设备不一致   3. 服务器使用 Modbus TCP：请去掉 `framing`   \
             4. A、B 接反"
    )
}

pub(super) fn garbled_line() -> Localized {
    text!(
        en: "Likely: 1. `baud` or `format` differs from the device's   2. two masters on this line, or two devices with this id   \
             3. no termination, or a disturbed line   4. the device speaks another protocol",
        zh: "可能原因：1. `baud` 或 `format` 与设备不一致   2. 总线上有两个主站，或两台设备同地址   3. 缺少终端电阻，或线路受干扰   4. 设备使用其他协议"
    )
}

pub(super) fn garbled_endpoint() -> Localized {
    text!(
        en: "Likely: what listens there does not speak Modbus TCP: check the TCP port; a serial server that \
             passes bytes on as they are needs `framing = \"rtu\"` at the port",
        zh: "可能原因：对端服务不是 Modbus TCP：请核对 TCP 端口；透明传输的串口服务器需在端口设 `framing = \"rtu\"`"
    )
}

pub(super) fn garbled_converter() -> Localized {
    text!(
        en: "Likely: 1. baud rate or format of the serial server differ from the device's   2. the server speaks \
             Modbus TCP: remove `framing`   3. two masters on this line   4. a disturbed line",
        zh: "可能原因：1. 串口服务器的波特率或格式与设备不一致   2. 服务器使用 Modbus TCP：请去掉 `framing`   3. 总线上有两个主站   4. 线路受干扰"
    )
}

pub(super) fn broken() -> Localized {
    text!(
        en: "Likely: the device or converter was restarted, or allows fewer connections than are open; close other programs that \
             are connected to it",
        zh: "可能原因：设备或转换器重启，或其允许的连接数已满；请关闭与其相连的其他程序"
    )
}

/// Why a reply came that does not fit its request.
pub(super) fn other_reply(error: &LinkError) -> Localized {
    match error {
        LinkError::Transaction { .. } => text!(
            en: "Likely: 1. its firmware does not bring back the transaction id of the request, as Modbus TCP demands: ask its \
                 maker   2. it answers later than `timeout`",
            zh: "可能原因：1. 设备固件未按 Modbus TCP 要求返回请求的事务标识：请咨询厂家   2. 应答晚于 `timeout`"
        ),
        LinkError::Count { .. } => text!(
            en: "Likely: 1. it does not have all of the registers that were asked for, or gives fewer at once: compare them with \
                 its manual, set `registers_per_request_max`   2. it answers later than `timeout`",
            zh: "可能原因：1. 设备没有所读的全部寄存器，或单次可读的较少：请对照手册，设 `registers_per_request_max`   2. 应答晚于 `timeout`"
        ),
        LinkError::Unit { .. } => text!(
            en: "Likely: 1. another master talks on this line: only one may   2. another id is set at the device",
            zh: "可能原因：1. 总线上有另一主站，只允许一个   2. 设备上设置的是另一地址"
        ),
        _ => text!(
            en: "Likely: 1. two devices with one id, or another master on this line   2. replies later than `timeout`",
            zh: "可能原因：1. 两台设备同地址，或总线上有另一主站   2. 应答晚于 `timeout`"
        ),
    }
}

/// What to do about a serial line that cannot be opened.
pub(super) fn serial_hint(source: &std::io::Error, path: &str) -> Localized {
    match source.kind() {
        ErrorKind::PermissionDenied => text!(
            en: "The user of this program may not open it: add that user to the group of the file (often `dialout`)",
            zh: "运行本程序的用户无权打开：请将其加入该文件所属的组（通常为 `dialout`）"
        ),
        ErrorKind::ResourceBusy => text!(
            en: "One program may use a line: stop that one. `fuser -v {path}` as root names it",
            zh: "一条串口只能由一个程序使用：请停止该程序。以 root 运行 `fuser -v {path}` 可查出"
        ),
        _ => text!(
            en: "Check the name and that the converter is plugged in; a name under /dev/serial/by-id stays the same",
            zh: "请核对名称及转换器是否插好；/dev/serial/by-id 下的名称固定不变"
        ),
    }
}

/// What to do about a TCP endpoint that cannot be reached.
pub(super) fn tcp_hint(source: &std::io::Error) -> Localized {
    match source.kind() {
        ErrorKind::ConnectionRefused => text!(
            en: "The host answers, but nothing listens there: check the TCP port and that Modbus TCP is switched on",
            zh: "主机可达，但该端口无服务：请核对 TCP 端口，并确认已启用 Modbus TCP"
        ),
        ErrorKind::TimedOut => text!(
            en: "Check the address, the cable and the firewall",
            zh: "请检查地址、网线和防火墙"
        ),
        _ => text!(
            en: "Check that the address is right and that no other program uses it",
            zh: "请核对地址，并确认没有其他程序占用"
        ),
    }
}
