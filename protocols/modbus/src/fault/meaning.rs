//! What a technician is told of registers that do not mean what the profile says: the reading that would fit, and the key
//! to change.

use driver::Fault;
use model::{Language, Localized, text};

use crate::plausibility::{Candidate, Implausible, Meaning, Reading, Verdict};

/// The fault of a device that gives values which cannot be right.
pub(crate) fn implausible(device: &str, verdict: &Verdict, meaning: &Meaning) -> Fault {
    let Implausible { metric, value, unit, expected } = &verdict.first;
    let profile = &meaning.profile.id;
    let (count, numbers) = (verdict.count, verdict.numbers);
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let expected_zh = expected.get(Language::Chinese);
    let what = text!(
        en: "`{metric}` of `{device}` = {value}{unit} is not plausible (expected {expected}; {count} of {numbers} values are not)",
        zh: "`{device}` 的 `{metric}` = {value}{unit}，不合理（应为 {expected_zh}；{numbers} 个数值中有 {count} 个不合理）"
    );
    let message = match verdict.candidates.as_slice() {
        [] => {
            let next = text!(
                en: "; no other byte order, and no register one lower or higher, gives all of them plausible values: compare \
                     `register`, `type` and `scale` in profile `{profile}` with the device's manual, or state `min` and `max`; \
                     `nengliu-gateway check --online` tries the other area too",
                zh: "；其他字节序以及寄存器前移、后移一位均不能使全部数值合理：请对照设备手册核对设备模板 `{profile}` 中的 `register`、`type`、`scale`，\
                     或写明 `min`、`max`；`nengliu-gateway check --online` 还会尝试另一寄存器区"
            );
            Localized::join([&what, &next], "")
        }
        [one] => {
            let (how, fix) = (how(&one.reading), fix(&one.reading, meaning));
            let value = &one.value;
            let (how_zh, fix_zh) = (how.get(Language::Chinese), fix.get(Language::Chinese));
            let next = text!(
                en: "; read {how} it would be {value}{unit}: {fix} in profile `{profile}`",
                zh: "；{how_zh}读取则为 {value}{unit}：请在设备模板 `{profile}` 中{fix_zh}"
            );
            Localized::join([&what, &next], "")
        }
        several => {
            let each = several.iter().map(|one| {
                let (how, fix) = (how(&one.reading), fix(&one.reading, meaning));
                let value = &one.value;
                let (how_zh, fix_zh) = (how.get(Language::Chinese), fix.get(Language::Chinese));
                text!(
                    en: "{how} ({value}{unit}: {fix})",
                    zh: "{how_zh}（{value}{unit}：{fix_zh}）"
                )
            });
            let each: Vec<Localized> = each.collect();
            let readings = Localized::join(&each, " · ");
            let readings_zh = readings.get(Language::Chinese);
            let next = text!(
                en: "; all values would be plausible read {readings}: compare them with the display of the device, and correct profile `{profile}`",
                zh: "；按下列方式读取全部数值均合理：{readings_zh}：请与设备显示值比对后修改设备模板 `{profile}`"
            );
            Localized::join([&what, &next], "")
        }
    };
    Fault::new("GW-M206", message)
}

/// The fault of a device that gives nothing, or only zeros, where its profile says that its values stand, and that gives
/// plausible ones elsewhere.
pub(crate) fn elsewhere(
    device: &str,
    (first, candidates): &(Implausible, Vec<Candidate>),
    meaning: &Meaning,
) -> Fault {
    let Implausible { metric, unit, .. } = first;
    let profile = &meaning.profile.id;
    let each = candidates.iter().map(|one| {
        let (how, fix, value) = (how(&one.reading), fix(&one.reading, meaning), &one.value);
        let (how_zh, fix_zh) = (how.get(Language::Chinese), fix.get(Language::Chinese));
        text!(en: "{how} ({value} {unit}: {fix})", zh: "{how_zh}（{value} {unit}：{fix_zh}）")
    });
    let each: Vec<Localized> = each.collect();
    let readings = Localized::join(&each, " · ");
    let readings_zh = readings.get(Language::Chinese);
    Fault::new(
        "GW-M207",
        text!(
            en: "`{device}` gives nothing but zeros or refusals where profile `{profile}` reads it; `{metric}` and the others would be \
                 plausible read {readings}",
            zh: "`{device}` 在设备模板 `{profile}` 所读位置只有零值或拒绝应答；`{metric}` 等测点按下列方式读取则合理：{readings_zh}"
        ),
    )
}

/// How registers are read then.
fn how(reading: &Reading) -> Localized {
    let mut parts = Vec::new();
    for order in [reading.order32, reading.order64].into_iter().flatten() {
        parts.push(text!(en: "as {order}", zh: "按 {order} "));
    }
    match reading.shift {
        0 => {}
        ..0 => parts.push(text!(en: "one register lower", zh: "按前一个寄存器")),
        1.. => parts.push(text!(en: "one register higher", zh: "按后一个寄存器")),
    }
    if reading.other_area {
        parts.push(text!(en: "from the other area", zh: "按另一寄存器区"));
    }
    Localized::join(&parts, ", ")
}

/// What is to be changed in the profile.
fn fix(reading: &Reading, meaning: &Meaning) -> Localized {
    let mut parts = Vec::new();
    for (key, order) in [("order32", reading.order32), ("order64", reading.order64)] {
        parts.extend(
            order.map(
                |order| text!(en: "set `{key} = \"{order}\"`", zh: "设 `{key} = \"{order}\"`"),
            ),
        );
    }
    match (reading.shift, meaning.address_base) {
        (0, _) => {}
        (..0, 0) => parts.push(text!(en: "set `address_base = 1`", zh: "设 `address_base = 1`")),
        (1.., 1) => parts.push(text!(en: "set `address_base = 0`", zh: "设 `address_base = 0`")),
        (..0, _) => {
            parts.push(text!(en: "lower each `register` by 1", zh: "将每个 `register` 减 1"));
        }
        (1.., _) => {
            parts.push(text!(en: "raise each `register` by 1", zh: "将每个 `register` 加 1"));
        }
    }
    if reading.other_area {
        parts.push(text!(
            en: "swap `area = \"input\"` and `area = \"holding\"`",
            zh: "互换 `area = \"input\"` 与 `area = \"holding\"`"
        ));
    }
    Localized::join(&parts, ", ")
}

/// The fault of a device of which each number is 0.
pub(crate) fn blank(device: &str) -> Fault {
    Fault::new(
        "GW-M207",
        text!(
            en: "each number of `{device}` is 0, its counters and its voltage too: they are not used. Either it has never been \
                 switched on, or other registers are read than its own: compare `register` and `area` with its manual; \
                 `nengliu-gateway check --online` tries the other area",
            zh: "`{device}` 的所有数值（含电压和累计值）均为 0，暂不采用：设备可能从未通电，或读取的不是其寄存器。请对照手册核对 `register` 和 `area`；\
                 `nengliu-gateway check --online` 会尝试另一寄存器区"
        ),
    )
}
