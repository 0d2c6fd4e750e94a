//! The keys of `[[coefficient]]`.

use config::reference::{Form, Key, Section};

use crate::coefficient::{CoalRateKind, EnergyClass, Evidence, Role, ValueUnit};

pub(super) const COEFFICIENT: Section = Section {
    path: "coefficient",
    many: true,
    required: false,
    en: "A coefficient of the site: what the shipped tables leave open, or a measured value.",
    zh: "本单位的折标系数：标准未给定的，或实测的。",
    keys: &[
        Key::optional("rule_set", Form::Text, "that of `[plant]`", "Its rule set.", "所属标准。"),
        Key::optional("edition", Form::Text, "that of `[plant]`", "Its edition.", "标准版本。"),
        Key::required(
            "energy_kind",
            Form::Text,
            "The energy kind in the table's words.",
            "系数表中的能源名称。",
        ),
        Key::optional("name", Form::Text, "", "Its Chinese name.", "中文名称。"),
        Key::optional("class", Form::Words(EnergyClass::WORDS), "", "Its class.", "类别。"),
        Key::required(
            "role",
            Form::Words(Role::WORDS),
            "What the value is: 当量值 equivalent, 等价值 equal_value, 耗能工质 medium, or a coal rate.",
            "系数的含义：当量值、等价值、耗能工质或发电煤耗。",
        ),
        Key::required(
            "value",
            Form::Number,
            "The value; computed from `heat_value` where that is given alone.",
            "数值；仅给出 `heat_value` 时由其计算。",
        ),
        Key::optional(
            "value_unit",
            Form::Words(ValueUnit::WORDS),
            "`kgce`",
            "What the value counts.",
            "数值的计量单位。",
        ),
        Key::required("unit", Form::Unit, "Per what.", "每何单位。"),
        Key::optional("heat_value", Form::Number, "", "The heat value behind it.", "对应的热值。"),
        Key::optional(
            "heat_unit",
            Form::Text,
            "",
            "Its unit, such as `kJ/kg`.",
            "热值单位，如 `kJ/kg`。",
        ),
        Key::optional(
            "batch",
            Form::Text,
            "",
            "The delivery that it belongs to; facts name it in the column `batch`.",
            "所属批次，与申报数据的“批次”列对应。",
        ),
        Key::optional("region", Form::Text, "", "Where it holds.", "适用地区。"),
        Key::optional(
            "data_year",
            Form::Whole,
            "",
            "The year of its data; whether that of the period or the year before counts, the rule set says.",
            "数据年份；用于当年还是次年由标准规定。",
        ),
        Key::required("notice", Form::Text, "The document that it stands in.", "出处文件。"),
        Key::optional(
            "coal_rate_kind",
            Form::Words(CoalRateKind::WORDS),
            "",
            "Which coal rate a 等价 value was taken from.",
            "等价值取自发电煤耗还是供电煤耗。",
        ),
        Key::optional("valid_from", Form::Date, "", "First day on which it holds.", "生效日期。"),
        Key::optional("valid_to", Form::Date, "", "Last day on which it holds.", "失效日期。"),
        Key::required(
            "evidence",
            Form::Words(Evidence::WORDS),
            "How far it can be relied on.",
            "可信程度。",
        ),
        Key::optional(
            "override_reason",
            Form::Text,
            "",
            "Why it stands in place of a shipped row.",
            "替代自带系数的理由。",
        ),
        Key::optional("note", Form::Text, "", "A remark.", "备注。"),
    ],
};
