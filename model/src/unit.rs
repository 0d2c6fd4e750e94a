//! The units a point can be measured in, each a member of one dimension with an exact factor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decimal::Decimal;

/// A text that is not a unit of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a unit")]
pub struct UnitError {
    /// What was given.
    pub text: String,
}

/// What a unit measures; only units of one dimension can be converted into one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say all there is to say")]
pub enum Dimension {
    Energy,
    ReactiveEnergy,
    ApparentEnergy,
    Power,
    ReactivePower,
    ApparentPower,
    Voltage,
    Current,
    Frequency,
    Ratio,
    Temperature,
    Pressure,
    Volume,
    VolumeFlow,
    Mass,
    MassFlow,
    Time,
    Speed,
    Count,
    Length,
    Area,
}

macro_rules! units {
    ($($name:ident $symbol:literal $dimension:ident $mantissa:literal e $exponent:literal;)*) => {
        /// A unit of measurement. Its text is the symbol that is printed: `kWh`, `m3`, `°C`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[expect(missing_docs, reason = "the symbol in the table says all there is to say")]
        pub enum Unit { $($name,)* }

        impl Unit {
            /// All units, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The printed symbol.
            #[must_use]
            pub const fn symbol(self) -> &'static str {
                match self { $(Self::$name => $symbol,)* }
            }

            /// What it measures.
            #[must_use]
            pub const fn dimension(self) -> Dimension {
                match self { $(Self::$name => Dimension::$dimension,)* }
            }

            /// How many base units of its dimension one of it is, exactly.
            #[must_use]
            pub const fn factor(self) -> Decimal {
                match self { $(Self::$name => Decimal { mantissa: $mantissa, exponent: $exponent },)* }
            }
        }
    };
}

units! {
    Joule "J" Energy 1 e 0;
    Kilojoule "kJ" Energy 1 e 3;
    Megajoule "MJ" Energy 1 e 6;
    Gigajoule "GJ" Energy 1 e 9;
    WattHour "Wh" Energy 36 e 2;
    KilowattHour "kWh" Energy 36 e 5;
    MegawattHour "MWh" Energy 36 e 8;
    TenThousandKilowattHours "万kWh" Energy 36 e 9;
    VarHour "varh" ReactiveEnergy 1 e 0;
    KilovarHour "kvarh" ReactiveEnergy 1 e 3;
    VoltAmpereHour "VAh" ApparentEnergy 1 e 0;
    KilovoltAmpereHour "kVAh" ApparentEnergy 1 e 3;
    Watt "W" Power 1 e 0;
    Kilowatt "kW" Power 1 e 3;
    Megawatt "MW" Power 1 e 6;
    Var "var" ReactivePower 1 e 0;
    Kilovar "kvar" ReactivePower 1 e 3;
    VoltAmpere "VA" ApparentPower 1 e 0;
    KilovoltAmpere "kVA" ApparentPower 1 e 3;
    Volt "V" Voltage 1 e 0;
    Kilovolt "kV" Voltage 1 e 3;
    Ampere "A" Current 1 e 0;
    Kiloampere "kA" Current 1 e 3;
    Hertz "Hz" Frequency 1 e 0;
    One "1" Ratio 1 e 0;
    Percent "%" Ratio 1 e -2;
    Celsius "°C" Temperature 1 e 0;
    Pascal "Pa" Pressure 1 e 0;
    Kilopascal "kPa" Pressure 1 e 3;
    Megapascal "MPa" Pressure 1 e 6;
    Bar "bar" Pressure 1 e 5;
    CubicMetre "m3" Volume 1 e 0;
    NormalCubicMetre "Nm3" Volume 1 e 0;
    TenThousandCubicMetres "万m3" Volume 1 e 4;
    Litre "L" Volume 1 e -3;
    CubicMetrePerHour "m3/h" VolumeFlow 1 e 0;
    NormalCubicMetrePerHour "Nm3/h" VolumeFlow 1 e 0;
    Kilogram "kg" Mass 1 e 0;
    Tonne "t" Mass 1 e 3;
    KilogramPerHour "kg/h" MassFlow 1 e 0;
    TonnePerHour "t/h" MassFlow 1 e 3;
    Second "s" Time 1 e 0;
    Minute "min" Time 60 e 0;
    Hour "h" Time 3600 e 0;
    RevolutionPerMinute "rpm" Speed 1 e 0;
    MillimetrePerMinute "mm/min" Speed 1 e 0;
    Piece "pcs" Count 1 e 0;
    Item "件" Count 1 e 0;
    SetOf "套" Count 1 e 0;
    Machine "台" Count 1 e 0;
    Vehicle "辆" Count 1 e 0;
    Each "个" Count 1 e 0;
    TenThousandItems "万件" Count 1 e 4;
    TenThousandSets "万套" Count 1 e 4;
    TenThousandMachines "万台" Count 1 e 4;
    TenThousandEach "万个" Count 1 e 4;
    Metre "m" Length 1 e 0;
    Kilometre "km" Length 1 e 3;
    TenThousandMetres "万m" Length 1 e 4;
    SquareMetre "m2" Area 1 e 0;
    TenThousandSquareMetres "万m2" Area 1 e 4;
    TenThousandTonnes "万t" Mass 1 e 7;
    TenThousandNormalCubicMetres "万Nm3" Volume 1 e 4;
    TenThousandGigajoules "万GJ" Energy 1 e 13;
}

/// What people write for a symbol, in files that they fill in. Powers of ten (`万`) stand before either.
const WORDS: &[(&str, &str)] = &[
    ("千瓦时", "kWh"),
    ("度", "kWh"),
    ("兆瓦时", "MWh"),
    ("焦耳", "J"),
    ("千焦", "kJ"),
    ("兆焦", "MJ"),
    ("吉焦", "GJ"),
    ("百万千焦", "GJ"),
    ("立方米", "m3"),
    ("立方", "m3"),
    ("方", "m3"),
    ("m³", "m3"),
    ("㎥", "m3"),
    ("标准立方米", "Nm3"),
    ("标立方米", "Nm3"),
    ("标方", "Nm3"),
    ("Nm³", "Nm3"),
    ("升", "L"),
    ("千克", "kg"),
    ("公斤", "kg"),
    ("吨", "t"),
    ("平方米", "m2"),
    ("m²", "m2"),
    ("㎡", "m2"),
    ("米", "m"),
    ("千米", "km"),
    ("公里", "km"),
    ("只", "个"),
];

impl Unit {
    /// The unit that a person means who fills in a file: its symbol, or its Chinese name, also with `³` for `3` and in
    /// full-width characters.
    ///
    /// `万千瓦时` → `万kWh`; `m³` → `m3`; `吨` → `t`
    #[must_use]
    pub fn written(text: &str) -> Option<Self> {
        let plain = |c: char| match c {
            '\u{FF01}'..='\u{FF5E}' => {
                u32::from(c).checked_sub(0xFEE0).and_then(char::from_u32).unwrap_or(c)
            }
            other => other,
        };
        let text: String = text.trim().chars().map(plain).collect();
        let symbol =
            |text: &str| WORDS.iter().find(|(word, _)| *word == text).map(|(_, symbol)| *symbol);
        let in_ten_thousands = || Some(format!("万{}", symbol(text.strip_prefix('万')?)?));
        text.parse()
            .ok()
            .or_else(|| symbol(&text)?.parse().ok())
            .or_else(|| in_ten_thousands()?.parse().ok())
    }
}

impl FromStr for Unit {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        Self::ALL
            .iter()
            .copied()
            .find(|unit| unit.symbol() == text)
            .ok_or_else(|| UnitError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Unit {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> String {
        unit.symbol().to_owned()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_is_read_back() {
        for &unit in Unit::ALL {
            assert_eq!(unit.to_string().parse(), Ok(unit));
            let json = serde_json::to_string(&unit).unwrap();
            assert_eq!(serde_json::from_str::<Unit>(&json).unwrap(), unit);
        }
    }

    #[test]
    fn refuses_what_is_no_symbol_of_ours() {
        for text in ["", "KWH", "kwh", "kWh ", "m³", "degC"] {
            let error = text.parse::<Unit>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` is not a unit"));
        }
    }

    #[test]
    fn words_of_people_are_units() {
        let check =
            |text: &str, expected: Unit| assert_eq!(Unit::written(text), Some(expected), "{text}");
        check("kWh", Unit::KilowattHour);
        check("千瓦时", Unit::KilowattHour);
        check("万千瓦时", Unit::TenThousandKilowattHours);
        check("万度", Unit::TenThousandKilowattHours);
        check("m³", Unit::CubicMetre);
        check("万立方米", Unit::TenThousandCubicMetres);
        check("万m³", Unit::TenThousandCubicMetres);
        check("万标方", Unit::TenThousandNormalCubicMetres);
        check(" 吨 ", Unit::Tonne);
        check("万吨", Unit::TenThousandTonnes);
        check("ｔ", Unit::Tonne);
        check("百万千焦", Unit::Gigajoule);
        check("m²", Unit::SquareMetre);
        check("台", Unit::Machine);
        check("件", Unit::Item);
        check("万件", Unit::TenThousandItems);
        for text in ["", "万", "万万kWh", "千吨", "KWH", "亿元", "标煤"] {
            assert_eq!(Unit::written(text), None, "{text}");
        }
        for (word, symbol) in WORDS {
            assert!(symbol.parse::<Unit>().is_ok(), "{word}");
            assert!(word.parse::<Unit>().is_err(), "{word}");
        }
    }

    #[test]
    fn factors_are_exact() {
        let check = |unit: Unit, dimension: Dimension, factor: &str| {
            assert_eq!(
                (unit.dimension(), unit.factor().to_string()),
                (dimension, factor.to_owned())
            );
        };
        check(Unit::KilowattHour, Dimension::Energy, "3600000");
        check(Unit::TenThousandKilowattHours, Dimension::Energy, "36000000000");
        check(Unit::Percent, Dimension::Ratio, "0.01");
        check(Unit::Litre, Dimension::Volume, "0.001");
        check(Unit::Hour, Dimension::Time, "3600");
        assert!(Unit::ALL.iter().all(|unit| unit.factor().mantissa > 0));
    }
}
