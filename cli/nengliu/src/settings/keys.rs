//! The keys of `nengliu.toml` as data, for its reference page and its JSON Schema.

use config::reference::{Form, Key, Reference, Section};

/// All keys of the settings of the centre.
pub(crate) const NENGLIU: Reference = Reference {
    file: "nengliu.toml",
    en: "Settings of the central program `nengliu`. Every section may be left out.",
    zh: "中心程序 `nengliu` 的设置，各段均可省略。",
    sections: &[LAKE, BROKER, GATEWAY, LIVE, INGEST, ANALYTICS],
};

const LAKE: Section = Section {
    path: "lake",
    many: false,
    required: false,
    en: "Where readings are kept, as a Delta Lake table.",
    zh: "读数的存放位置（Delta Lake 表）。",
    keys: &[
        Key::optional(
            "folder",
            Form::Text,
            "`lake`",
            "The folder, relative to this file.",
            "目录，相对于本文件。",
        ),
        Key::optional(
            "keep",
            Form::Duration,
            "`1d`",
            "How long replaced files stay for readers of older versions; `1min` to `366d`.",
            "被替换的文件保留多久，供读旧版本的程序使用；`1min` 至 `366d`。",
        ),
        Key::optional(
            "keep_size",
            Form::Size,
            "`20 GiB`",
            "Most bytes of replaced files; whichever of the two is reached first.",
            "被替换的文件最多占用多少；与 `keep` 先到为准。",
        ),
        Key::optional(
            "free",
            Form::Size,
            "`64 MiB`",
            "With less free space no commit is begun: gateways keep what they read.",
            "剩余空间低于此值时不再入库，数据由网关保留。",
        ),
        Key::optional(
            "group",
            Form::Text,
            "",
            "A group that may read the lake; others see nothing of it.",
            "可读取数据的用户组。",
        ),
    ],
};

const BROKER: Section = Section {
    path: "broker",
    many: false,
    required: false,
    en: "The embedded MQTT broker, or another MQTT 5 broker by `url`.",
    zh: "内置 MQTT 代理，或用 `url` 指定其他 MQTT 5 代理。",
    keys: &[
        Key::optional(
            "tcp_port",
            Form::Whole,
            "1883",
            "Port of the embedded broker, on 127.0.0.1.",
            "内置代理的端口，监听 127.0.0.1。",
        ),
        Key::optional(
            "url",
            Form::Text,
            "",
            "Another broker: mqtt://, mqtts://, ws:// or wss://.",
            "其他代理的地址。",
        ),
        Key::optional(
            "ca_file",
            Form::Text,
            "the certificates of the system",
            "Certificates to trust with mqtts:// and wss://.",
            "信任的证书文件。",
        ),
        Key::optional(
            "user",
            Form::Text,
            "",
            "User name at that broker; with `password_file`.",
            "用户名，与 `password_file` 同时填写。",
        ),
        Key::optional(
            "password_file",
            Form::Text,
            "",
            "File of mode 0600 with the password on its first line.",
            "密码文件，权限 0600，首行为密码。",
        ),
    ],
};

const GATEWAY: Section = Section {
    path: "gateway",
    many: true,
    required: false,
    en: "A gateway that may send to the embedded broker; with any, only those listed.",
    zh: "允许向内置代理发送数据的网关；写了则仅限所列网关。",
    keys: &[
        Key::required(
            "id",
            Form::Text,
            "As `[gateway] id` of its gateway.toml.",
            "与其 gateway.toml 的 `[gateway] id` 一致。",
        ),
        Key::required(
            "password_file",
            Form::Text,
            "File of mode 0600 with its password on the first line.",
            "密码文件，权限 0600，首行为密码。",
        ),
    ],
};

const LIVE: Section = Section {
    path: "live",
    many: false,
    required: false,
    en: "Live values for screens and other programs: [mqtt.md](mqtt.md).",
    zh: "供大屏和其他程序使用的实时值：见 [mqtt.md](mqtt.md)。",
    keys: &[
        Key::optional(
            "enabled",
            Form::Boolean,
            "`true`",
            "Whether they are published.",
            "是否发布。",
        ),
        Key::optional("prefix", Form::Text, "", "Levels in front of `v1`.", "`v1` 之前的层级。"),
        Key::optional(
            "only",
            Form::Texts,
            "all",
            "Places that are published, such as `acme/nb-1`.",
            "只发布这些位置，如 `acme/nb-1`。",
        ),
        Key::optional(
            "budget",
            Form::Whole,
            "5000",
            "Messages a second in all.",
            "每秒消息总数上限。",
        ),
        Key::optional(
            "rate",
            Form::Duration,
            "`500ms`",
            "Shortest time between two messages on one topic.",
            "同一主题两条消息的最短间隔。",
        ),
        Key::optional(
            "deadband",
            Form::Whole,
            "0",
            "Whole percent of the value published last; a smaller change is not published.",
            "相对上次发布值的百分比（整数），变化更小则不发布。",
        ),
        Key::optional(
            "qos",
            Form::Whole,
            "0",
            "Quality of service of live values, 0 or 1.",
            "实时值的 QoS。",
        ),
        Key::optional(
            "groups",
            Form::Boolean,
            "`false`",
            "Whether values of a device are published together too.",
            "是否另按设备合并发布。",
        ),
    ],
};

const INGEST: Section = Section {
    path: "ingest",
    many: false,
    required: false,
    en: "How frames become commits.",
    zh: "数据帧如何入库。",
    keys: &[
        Key::optional(
            "commit_interval",
            Form::Duration,
            "`2s`",
            "Frames gathered so long become one commit; `50ms` to `1min`.",
            "攒够多久提交一次；`50ms` 至 `1min`。",
        ),
        Key::optional(
            "retry_max",
            Form::Duration,
            "the usual one",
            "Longest wait between two tries to commit or to reach the broker.",
            "提交或连接代理失败后的最长重试间隔。",
        ),
    ],
};

const ANALYTICS: Section = Section {
    path: "analytics",
    many: false,
    required: false,
    en: "Figures on a timer.",
    zh: "定时计算指标。",
    keys: &[
        Key::required(
            "plant",
            Form::Text,
            "The plant file, relative to this file: [plant.md](plant.md).",
            "工厂文件，相对于本文件：见 [plant.md](plant.md)。",
        ),
        Key::optional("every", Form::Duration, "`5min`", "How often.", "多久计算一次。"),
        Key::optional(
            "figures_folder",
            Form::Text,
            "`figures`",
            "Where Table 1 of this month and the last is written as JSON.",
            "本月和上月表1（JSON）的输出目录。",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use config::{Problems, SourceFile};

    use super::*;

    /// A key that is read and not described here, or the other way round, fails this test: add it above, then
    /// `UPDATE_DOCS=1 cargo test -p nengliu keys`.
    #[test]
    fn the_reference_page_is_what_the_reader_does() {
        let read = |text: &str| {
            let mut problems = Problems::default();
            let file = SourceFile::new("nengliu.toml", text);
            super::super::read(&file, Path::new("."), &mut problems);
            problems
        };
        assert_eq!(NENGLIU.drift(&[], read), Vec::<String>::new());
        NENGLIU.agrees(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")).unwrap();
    }
}
