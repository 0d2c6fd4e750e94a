//! The keys of `plant.toml` as data, for its reference page and its JSON Schema.

mod coefficient;

use coefficient::COEFFICIENT;
use config::reference::{Form, Key, Reference, Section};

use super::{ExportSource, MeterRole, SteamRule, SubjectKind, Treatment};
use crate::coefficient::EnergyClass;
use crate::resets::ResetInterval;

/// All keys of a plant file.
pub const PLANT: Reference = Reference {
    file: "plant.toml",
    en: "What the plant is made of: subjects, energy kinds, meters, products, allocation keys, and the site's own coefficients.",
    zh: "工厂的构成：对象、能源品种、表计、产品、分摊比例，以及本单位自己的折标系数。",
    sections: &[
        HEAD,
        SUBJECT,
        KIND,
        CONVERSION,
        METER,
        RATIO,
        REPLACEMENT,
        STRIKE,
        PRODUCT,
        ALLOCATION,
        SHARE,
        COEFFICIENT,
    ],
};

const HEAD: Section = Section {
    path: "plant",
    many: false,
    required: true,
    en: "The enterprise as a whole, and what other sections take as their default.",
    zh: "企业整体，以及其他段的缺省值。",
    keys: &[
        Key::optional("name", Form::Text, "", "Printed above tables.", "打印在表头的名称。"),
        Key::required(
            "enterprise",
            Form::Text,
            "Id of the enterprise, a-z 0-9 _ -.",
            "企业标识，小写字母、数字、_ 和 -。",
        ),
        Key::optional(
            "site",
            Form::Text,
            "",
            "Site of what lies in no `[[subject]]` of kind `site`, as in gateway.toml.",
            "不在任何 `site` 对象内的部分所属的厂区，与 gateway.toml 一致。",
        ),
        Key::required(
            "time_zone",
            Form::Text,
            "IANA zone in which days, months and years begin, such as `Asia/Shanghai`.",
            "日、月、年起算的时区，如 `Asia/Shanghai`。",
        ),
        Key::optional(
            "region",
            Form::Text,
            "`CN`",
            "Region whose dated coefficients hold.",
            "采用哪个地区的逐年折标系数。",
        ),
        Key::optional(
            "facts",
            Form::Texts,
            "none",
            "Files of declared facts, CSV or .xlsx, relative to this file: [facts.md](facts.md).",
            "申报数据文件，CSV 或 .xlsx，相对于本文件：见 [facts.md](facts.md)。",
        ),
        Key::optional(
            "rule_set",
            Form::Text,
            "",
            "Rule set of coefficients where a section states none, such as `GB/T 2589`.",
            "各段未写时采用的标准，如 `GB/T 2589`。",
        ),
        Key::optional(
            "edition",
            Form::Text,
            "",
            "Its edition, such as `2020`.",
            "标准版本，如 `2020`。",
        ),
        Key::optional(
            "interpolation_max",
            Form::Duration,
            "`3d`",
            "Longest gap over which an index is interpolated at the end of a period.",
            "期末读数缺失时允许内插的最长间隔。",
        ),
    ],
};

const SUBJECT: Section = Section {
    path: "subject",
    many: true,
    required: false,
    en: "A part of the enterprise that figures are about.",
    zh: "企业的一个组成部分，指标按它统计。",
    keys: &[
        Key::required("id", Form::Text, "Its name in files.", "文件中使用的标识。"),
        Key::required(
            "kind",
            Form::Words(SubjectKind::WORDS),
            "What it is.",
            "类型：企业、厂区、车间、产线、设备。",
        ),
        Key::optional("name", Form::Text, "the id", "Its display name.", "显示名称。"),
        Key::optional(
            "parent",
            Form::Text,
            "the enterprise",
            "The subject that it is a part of.",
            "上级对象。",
        ),
        Key::optional(
            "place",
            Form::Text,
            "",
            "Area or area/line, as `place` of its devices in gateway.toml: the path of its live figures.",
            "车间或 车间/产线，与 gateway.toml 中设备的 `place` 一致，是其实时指标的路径。",
        ),
    ],
};

const KIND: Section = Section {
    path: "energy_kind",
    many: true,
    required: false,
    en: "An energy kind or energy-consumed medium, in the order of Table 1.",
    zh: "能源品种或耗能工质，按表1的顺序。",
    keys: &[
        Key::required(
            "id",
            Form::Text,
            "Its name in files, as in `purchased:ID`.",
            "文件中使用的标识，如 `purchased:ID`。",
        ),
        Key::optional(
            "name",
            Form::Text,
            "the id",
            "Its display name; facts may name it so too.",
            "显示名称，申报数据中也可使用。",
        ),
        Key::required(
            "unit",
            Form::Unit,
            "Unit that its quantities are computed and printed in.",
            "计算和打印用的单位。",
        ),
        Key::optional(
            "class",
            Form::Words(EnergyClass::WORDS),
            "that of the coefficient table",
            "Which subtotal it belongs to.",
            "归入哪个小计：一次能源、二次能源、耗能工质。",
        ),
        Key::optional(
            "coefficient",
            Form::Text,
            "the id",
            "Its name in the coefficient table.",
            "在折标系数表中的名称。",
        ),
        Key::optional(
            "rule_set",
            Form::Text,
            "that of `[plant]`",
            "Rule set of its coefficient.",
            "折标系数所属的标准。",
        ),
        Key::optional(
            "edition",
            Form::Text,
            "that of `[plant]`",
            "Edition of the rule set.",
            "标准版本。",
        ),
        Key::optional(
            "treatment",
            Form::Words(Treatment::WORDS),
            "`annex`",
            "Whether it is converted into coal equivalent.",
            "是否折算为标准煤。",
        ),
        Key::optional(
            "exported_from",
            Form::Words(ExportSource::WORDS),
            "what the kind has, in this order: generated, own, purchased",
            "What export is taken off; needed where a kind has both generated and own.",
            "外供从哪一来源中扣除；既有自发又有自产时必填。",
        ),
        Key::optional(
            "made_by",
            Form::Texts,
            "",
            "Equipment whose energy it is made from; an empty list where nothing that is counted made it.",
            "由哪些设备的能耗转换而来；不由任何已计入的能源产生时写空列表。",
        ),
        Key::optional(
            "steam_rule",
            Form::Words(SteamRule::WORDS),
            "",
            "How steam is converted.",
            "蒸汽的折算方法：固定值、按焓值、按合同。",
        ),
        Key::optional(
            "steam_kj_per_kg",
            Form::Number,
            "",
            "Enthalpy of the steam in kJ/kg, with `steam_rule = \"enthalpy\"`.",
            "蒸汽焓值，kJ/kg。",
        ),
        Key::optional(
            "feed_kj_per_kg",
            Form::Number,
            "0",
            "Enthalpy of the feed water in kJ/kg.",
            "给水焓值，kJ/kg。",
        ),
    ],
};

const CONVERSION: Section = Section {
    path: "energy_kind.conversion",
    many: true,
    required: false,
    en: "A factor between units of different dimensions, such as m3 and t of water.",
    zh: "不同量纲单位之间的换算，例如水的 m3 与 t。",
    keys: &[
        Key::required("from", Form::Unit, "One of this …", "1 个该单位 …"),
        Key::required("to", Form::Unit, "… is `factor` of this.", "… 等于 `factor` 个该单位。"),
        Key::required("factor", Form::Number, "How many.", "换算系数。"),
    ],
};

const METER: Section = Section {
    path: "meter",
    many: true,
    required: false,
    en: "A point that is a cumulative register of one energy kind.",
    zh: "一个累计量测点，计量一种能源。",
    keys: &[
        Key::optional("id", Form::Text, "the point", "Its name in files.", "文件中使用的标识。"),
        Key::required(
            "point",
            Form::Text,
            "The point whose readings it has, as `nengliu-gateway status` shows it.",
            "测点标识，见 `nengliu-gateway status`。",
        ),
        Key::required("energy_kind", Form::Text, "What it counts.", "计量的能源品种。"),
        Key::optional("subject", Form::Text, "the enterprise", "Where it stands.", "所在对象。"),
        Key::required(
            "role",
            Form::Words(MeterRole::WORDS),
            "What its energy is to the subject: incoming is purchased, sub is used inside, generated is own primary energy, own is made of energy counted already, export is sold.",
            "计量的是什么：incoming 外购、sub 内部使用、generated 自有一次能源、own 由已计入能源自产、export 外供。",
        ),
        Key::required(
            "unit",
            Form::Unit,
            "Unit of the register, after the ratio.",
            "表底数（乘倍率后）的单位。",
        ),
        Key::optional(
            "parent",
            Form::Text,
            "",
            "The meter that counts this one's energy too.",
            "上级表计，其读数已包含本表。",
        ),
        Key::optional(
            "independent",
            Form::Boolean,
            "`false`",
            "It counts nothing of another meter, although its subject lies in a metered one.",
            "其所在对象虽在另一表计范围内，但不被该表计量。",
        ),
        Key::optional(
            "modulus",
            Form::Number,
            "that of the profile",
            "The reading, before the ratio, at which the register starts again from zero.",
            "满量程：到此读数（未乘倍率）后从零开始。",
        ),
        Key::optional(
            "rise_per_hour_max",
            Form::Number,
            "",
            "The most that its energy can rise in an hour, after the ratio.",
            "每小时最大增量（乘倍率后）。",
        ),
        Key::optional(
            "resets",
            Form::Words(ResetInterval::WORDS),
            "",
            "When its register is set back to zero.",
            "定期清零：每日或每月。",
        ),
        Key::optional(
            "accept_uncertain",
            Form::Boolean,
            "`false`",
            "Whether readings of Uncertain quality count.",
            "质量为 Uncertain 的读数是否计入。",
        ),
    ],
};

const RATIO: Section = Section {
    path: "meter.ratio",
    many: true,
    required: false,
    en: "Ratios of the transformers, where the register does not include them; the first has no `from`.",
    zh: "表底数不含倍率时的互感器变比；第一条不写 `from`。",
    keys: &[
        Key::optional("from", Form::Time, "the beginning", "Since when.", "自何时起。"),
        Key::optional("ct", Form::Number, "1", "Current transformer.", "电流互感器变比。"),
        Key::optional("pt", Form::Number, "1", "Voltage transformer.", "电压互感器变比。"),
    ],
};

const REPLACEMENT: Section = Section {
    path: "meter.replacement",
    many: true,
    required: false,
    en: "The meter was exchanged.",
    zh: "换表。",
    keys: &[
        Key::required("at", Form::Time, "When.", "时间。"),
        Key::required("old_final", Form::Number, "Last reading of the old meter.", "旧表止数。"),
        Key::required("new_initial", Form::Number, "First reading of the new one.", "新表起数。"),
    ],
};

const STRIKE: Section = Section {
    path: "strike",
    many: true,
    required: false,
    en: "Readings of a time that are put aside, until the section is deleted; `explain` shows them.",
    zh: "剔除一段时间的读数，删除本段即恢复；`explain` 中可见。",
    keys: &[
        Key::optional(
            "meter",
            Form::Text,
            "",
            "Of which meter; either this or `point`.",
            "哪块表计；与 `point` 二选一。",
        ),
        Key::optional("point", Form::Text, "", "Of which point.", "哪个测点。"),
        Key::required(
            "from",
            Form::Date,
            "The first time that is struck out; that of the plant's zone where it has no offset.",
            "剔除区间的起点；不写时区偏移则按工厂时区。",
        ),
        Key::required("to", Form::Date, "The first time behind it.", "剔除区间的终点（不含）。"),
        Key::required("reason", Form::Text, "Why these readings do not count.", "剔除理由。"),
    ],
};

const PRODUCT: Section = Section {
    path: "product",
    many: true,
    required: false,
    en: "A product, made on one line.",
    zh: "产品，由一条产线生产。",
    keys: &[
        Key::required(
            "id",
            Form::Text,
            "Its name in files, as in `output:ID`.",
            "文件中使用的标识，如 `output:ID`。",
        ),
        Key::optional(
            "name",
            Form::Text,
            "",
            "Its display name; facts may name it so too.",
            "显示名称，申报数据中也可使用。",
        ),
        Key::required("unit", Form::Unit, "What its output is counted in.", "产量单位。"),
        Key::required("line", Form::Text, "The subject that makes it.", "生产它的产线。"),
        Key::optional(
            "weight",
            Form::Number,
            "",
            "What one unit of output counts among the products of its line.",
            "同一产线有多种产品时的折合系数。",
        ),
    ],
};

const ALLOCATION: Section = Section {
    path: "allocation",
    many: true,
    required: false,
    en: "A declared key by which the energy of shared equipment is divided.",
    zh: "公用设备能耗的分摊比例。",
    keys: &[
        Key::required("from", Form::Text, "The shared equipment.", "公用设备。"),
        Key::required("energy_kind", Form::Text, "Which energy of it.", "哪种能源。"),
    ],
};

const SHARE: Section = Section {
    path: "allocation.share",
    many: true,
    required: true,
    en: "One receiver; at least one is needed.",
    zh: "一个受益对象，至少一个。",
    keys: &[
        Key::required("to", Form::Text, "Who gets it.", "分摊给谁。"),
        Key::required("weight", Form::Number, "Its weight among all.", "权重。"),
    ],
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use config::SourceFile;

    use super::*;
    use crate::Plant;

    const LEAST: &[(&str, &str)] = &[(
        "plant",
        "enterprise = \"a\"\ntime_zone = \"UTC\"\nrule_set = \"GB/T 2589\"\nedition = \"2020\"\n",
    )];

    /// A key that the reader asks for and that is not described here, or the other way round, fails this test: add it above,
    /// then `UPDATE_DOCS=1 cargo test -p energy keys`.
    #[test]
    fn the_reference_page_is_what_the_reader_does() {
        let read = |text: &str| match Plant::read(&SourceFile::new("plant.toml", text)) {
            Ok(plant) => plant.warnings,
            Err(problems) => problems,
        };
        assert_eq!(PLANT.drift(LEAST, read), Vec::<String>::new());
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        PLANT.agrees(&docs).unwrap();
    }
}
