//! Where a value of a device stands and how it is coded there, read from the keys of a profile's point. Must never know
//! a device's unit id, nor ask for anything.

use std::fmt::{self, Write as _};

use config::{FromToml, Item, Problem, Problems, Spanned, Table};
use model::text;

use crate::settings::ProfileOptions;

/// Code of a problem with the address of a point.
const CODE_ADDRESS: &str = "GW-C064";

/// Values that may mean that there is none, for one point.
pub(crate) const ABSENT_MAX: usize = 4;

/// One of the four tables of a Modbus device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    /// Discrete inputs, function 2.
    Discrete,
    /// Coils, function 1.
    Coil,
    /// Input registers, function 4.
    Input,
    /// Holding registers, function 3.
    Holding,
}

impl Area {
    /// The name in a profile.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Coil => "coil",
            Self::Input => "input",
            Self::Holding => "holding",
        }
    }

    /// The function code that reads it.
    pub(crate) const fn function(self) -> u8 {
        match self {
            Self::Coil => 1,
            Self::Discrete => 2,
            Self::Holding => 3,
            Self::Input => 4,
        }
    }

    /// The other area of registers, or of bits.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Coil => Self::Discrete,
            Self::Discrete => Self::Coil,
            Self::Holding => Self::Input,
            Self::Input => Self::Holding,
        }
    }

    /// The number that manuals give its first register or bit; nothing where they begin at 1.
    const fn first_number(self) -> Option<u32> {
        match self {
            Self::Coil => None,
            Self::Discrete => Some(10_001),
            Self::Input => Some(30_001),
            Self::Holding => Some(40_001),
        }
    }

    /// Whether it holds bits instead of registers.
    pub(crate) const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }
}

impl FromToml for Area {
    const EXPECTED: &'static str = "`\"input\"`, `\"holding\"`, `\"coil\"` or `\"discrete\"`";
    fn from_item(item: Item) -> Result<Self, String> {
        match &item {
            Item::Text(text) => [Self::Discrete, Self::Coil, Self::Input, Self::Holding]
                .into_iter()
                .find(|area| area.name() == text)
                .ok_or_else(|| item.describe()),
            _ => Err(item.describe()),
        }
    }
}

/// What a value is coded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataType {
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    Bool,
    Text,
}

impl DataType {
    /// All types with their names.
    pub(crate) const ALL: [(&'static str, Self); 10] = [
        ("u16", Self::U16),
        ("i16", Self::I16),
        ("u32", Self::U32),
        ("i32", Self::I32),
        ("u64", Self::U64),
        ("i64", Self::I64),
        ("f32", Self::F32),
        ("f64", Self::F64),
        ("bool", Self::Bool),
        ("text", Self::Text),
    ];

    /// The name in a profile.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, of)| *of == self).map_or("", |(name, _)| name)
    }

    /// Registers of one value; a bool takes one register or one bit, a text as many as its point says.
    pub(crate) const fn registers(self) -> u16 {
        match self {
            Self::U16 | Self::I16 | Self::Bool | Self::Text => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
        }
    }

    /// Whether it is a binary floating-point number.
    pub(crate) const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

impl FromToml for DataType {
    const EXPECTED: &'static str =
        "one of `u16`, `i16`, `u32`, `i32`, `u64`, `i64`, `f32`, `f64`, `bool`, `text`";
    fn from_item(item: Item) -> Result<Self, String> {
        let Item::Text(text) = &item else { return Err(item.describe()) };
        let found = Self::ALL.into_iter().find(|(name, _)| name == text);
        found.map(|(_, data_type)| data_type).ok_or_else(|| item.describe())
    }
}

/// In which order the bytes of a value come, named by letters: `A` is the most significant byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// At each place of the wire: which byte of the value, 0 the most significant.
    places: [u8; 8],
    bytes: u8,
}

impl fmt::Display for Order {
    /// `CDAB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |place: usize| char::from(b"ABCDEFGH".get(place).copied().unwrap_or(b'?'));
        self.places().try_for_each(|place| f.write_char(letter(place)))
    }
}

impl Order {
    /// The four orders of a 32-bit value in which its words and their bytes are swapped or not.
    pub(crate) const COMMON32: [Self; 4] = [
        Self { places: [0, 1, 2, 3, 4, 5, 6, 7], bytes: 4 },
        Self { places: [2, 3, 0, 1, 4, 5, 6, 7], bytes: 4 },
        Self { places: [1, 0, 3, 2, 4, 5, 6, 7], bytes: 4 },
        Self { places: [3, 2, 1, 0, 4, 5, 6, 7], bytes: 4 },
    ];
    /// The same of a 64-bit value.
    pub(crate) const COMMON64: [Self; 4] = [
        Self { places: [0, 1, 2, 3, 4, 5, 6, 7], bytes: 8 },
        Self { places: [6, 7, 4, 5, 2, 3, 0, 1], bytes: 8 },
        Self { places: [1, 0, 3, 2, 5, 4, 7, 6], bytes: 8 },
        Self { places: [7, 6, 5, 4, 3, 2, 1, 0], bytes: 8 },
    ];

    /// Most significant byte first.
    pub(crate) const fn big_endian(bytes: u8) -> Self {
        Self { places: [0, 1, 2, 3, 4, 5, 6, 7], bytes }
    }

    /// Bytes of a value.
    pub(crate) fn bytes(self) -> usize {
        usize::from(self.bytes)
    }

    /// For each byte of the wire, its place in the value.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().take(self.bytes()).map(|place| usize::from(*place))
    }
}

impl FromToml for Order {
    const EXPECTED: &'static str =
        "a byte order such as `\"ABCD\"`, `\"CDAB\"`, `\"BADC\"` or `\"DCBA\"`, each letter once";
    fn from_item(item: Item) -> Result<Self, String> {
        let Item::Text(text) = &item else { return Err(item.describe()) };
        let bytes = match text.len() {
            2 => 2_u8,
            4 => 4,
            8 => 8,
            _ => return Err(item.describe()),
        };
        // Those that a shorter value has not are the same of each order, so that orders can be compared.
        let mut places = [0, 1, 2, 3, 4, 5, 6, 7];
        let mut seen = 0_u8;
        for (place, letter) in places.iter_mut().zip(text.bytes()) {
            let byte = letter.wrapping_sub(b'A');
            if byte >= bytes || seen & (1 << byte) != 0 {
                return Err(item.describe());
            }
            seen |= 1 << byte;
            *place = byte;
        }
        Ok(Self { places, bytes })
    }
}

/// Patterns of the bits of a value that mean that there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Absent {
    patterns: [u64; ABSENT_MAX],
    count: usize,
}

impl Absent {
    /// Whether a value of these bits is none.
    pub(crate) fn contains(&self, bits: u64) -> bool {
        self.patterns.iter().take(self.count).any(|pattern| *pattern == bits)
    }

    /// The patterns of these numbers in a value of so many bits: each is written as its bits, or as the signed integer.
    ///
    /// # Errors
    /// The number that such a value cannot hold, or the one that is too many.
    pub(crate) fn new(numbers: &[i64], bits: u32) -> Result<Self, i64> {
        let mut absent = Self::default();
        let mask = u64::MAX >> (64 - bits.clamp(1, 64));
        for number in numbers {
            let pattern = number.cast_unsigned() & mask;
            let lowest = -(1_i128 << (bits.clamp(1, 64) - 1));
            let fits = i128::from(*number) >= lowest && i128::from(*number) <= i128::from(mask);
            match absent.patterns.get_mut(absent.count).filter(|_| fits) {
                Some(place) => *place = pattern,
                None => return Err(*number),
            }
            absent.count += 1;
        }
        Ok(absent)
    }
}

/// `absent` as it stands in a profile: a number or a list of them.
#[derive(Debug, Clone)]
pub(crate) struct AbsentNumbers(pub(crate) Vec<i64>);

impl FromToml for AbsentNumbers {
    const EXPECTED: &'static str = "an integer such as `0x8000`, or a list of them";
    fn from_item(item: Item) -> Result<Self, String> {
        match item {
            Item::Integer(number) => Ok(Self(vec![number])),
            Item::List(items) => {
                let number = |item: Spanned<Item>| match item.value {
                    Item::Integer(number) => Ok(number),
                    other => Err(other.describe()),
                };
                items.into_iter().map(number).collect::<Result<_, _>>().map(Self)
            }
            other => Err(other.describe()),
        }
    }

    fn help(_found: &Item) -> Option<String> {
        Some(
            "as bits (`0x8000`) or as a signed integer: all bits of a value set are `-1`"
                .to_owned(),
        )
    }
}

/// Where a value stands and how it is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    /// In which table.
    pub(crate) area: Area,
    /// Its first register or bit, as on the wire.
    pub(crate) start: u16,
    /// Registers or bits that it takes.
    pub(crate) count: u16,
    /// How it is coded.
    pub(crate) data_type: DataType,
    /// In which order its bytes come.
    pub(crate) order: Order,
    /// Which bit of the register, for a bool in a register.
    pub(crate) bit: Option<u8>,
    /// What means that there is no value.
    pub(crate) absent: Absent,
}

impl Address {
    /// Registers or bits that it takes.
    pub(crate) const fn count(&self) -> u16 {
        self.count
    }

    /// One past its last register or bit.
    pub(crate) fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.count())
    }

    /// Reads the address keys of a point; notes every problem and returns nothing then.
    pub(crate) fn read(
        table: Table,
        metric: &str,
        options: &ProfileOptions,
        problems: &mut Problems,
    ) -> Option<Self> {
        let before = problems.0.len();
        let raw = RawAddress::read(table, metric, problems);
        let (area, data_type) = raw.what(options, before, problems)?;
        raw.check_bit(area, data_type, problems);
        raw.check_form(data_type, problems);
        let absent = raw.absent(area, data_type, options, problems);
        let register = raw.register.as_ref()?.value;
        let count = raw.count(data_type, options, problems);
        raw.check_range(options.address_base, count, problems);
        if problems.0.len() > before {
            return None;
        }
        raw.check_number(area, options.address_base, problems);
        Some(Self {
            area,
            start: u16::try_from(register - u32::from(options.address_base)).ok()?,
            count,
            data_type,
            order: raw.order.map_or_else(|| options.order(data_type), |order| order.value),
            bit: raw.bit.map(|bit| bit.value),
            absent,
        })
    }
}

/// The keys of an address as they stand in the profile, without its defaults.
struct RawAddress<'a> {
    metric: &'a str,
    place: Problem,
    area: Option<Spanned<Area>>,
    register: Option<Spanned<u32>>,
    data_type: Option<Spanned<DataType>>,
    order: Option<Spanned<Order>>,
    bit: Option<Spanned<u8>>,
    absent: Option<Spanned<AbsentNumbers>>,
    length: Option<Spanned<u16>>,
}

impl<'a> RawAddress<'a> {
    fn read(mut table: Table, metric: &'a str, problems: &mut Problems) -> Self {
        let raw = Self {
            metric,
            place: table.problem(CODE_ADDRESS, ""),
            area: table.optional("area", problems),
            register: table.required("register", problems),
            data_type: table.optional("type", problems),
            order: table.optional("order", problems),
            bit: table.optional("bit", problems),
            absent: table.optional("absent", problems),
            length: table.optional("length", problems),
        };
        table.finish(problems);
        raw
    }

    /// A problem with the point as a whole.
    fn at_point(&self, message: &str) -> Problem {
        Problem { message: format!("`{}`{message}", self.metric).into(), ..self.place.clone() }
    }

    /// A problem with the type, which may stand here or in `[modbus]`.
    fn at_type(&self, message: &str) -> Problem {
        match &self.data_type {
            Some(found) => found.problem(CODE_ADDRESS, format!("`{}`{message}", self.metric)),
            None => self.at_point(message),
        }
    }

    /// Area and type, here or as the profile's default. What was of a wrong form counts as absent and was noted already.
    fn what(
        &self,
        options: &ProfileOptions,
        before: usize,
        problems: &mut Problems,
    ) -> Option<(Area, DataType)> {
        let noted = options.noted || problems.0.len() > before;
        let area = self.area.as_ref().map(|area| area.value).or(options.area);
        let default =
            if area.is_some_and(Area::is_bits) { Some(DataType::Bool) } else { options.data_type };
        let data_type = self.data_type.as_ref().map(|found| found.value).or(default);
        if area.is_none() && !noted {
            problems.push(self.at_point(" does not say which area it is read from").help(
                "add `area = \"input\"` (function 4) or `\"holding\"` (function 3), here or in `[modbus]`",
            ));
        }
        if data_type.is_none() && !noted {
            problems.push(
                self.at_point(" does not say how it is coded")
                    .help("add `type = \"f32\"`, here or in `[modbus]`"),
            );
        }
        Some((area?, data_type?))
    }

    /// A bit area holds bools; a bool in a register says which bit it is.
    fn check_bit(&self, area: Area, data_type: DataType, problems: &mut Problems) {
        let bits = area.is_bits();
        if bits && data_type != DataType::Bool {
            let problem = self.at_type(&format!(": a {} holds one bit", area.name()));
            problems.push(problem.help("leave `type` out, or read a register area"));
        }
        match &self.bit {
            Some(bit) if bits || data_type != DataType::Bool || bit.value > 15 => {
                let message =
                    format!("`{}`: bit `{}` cannot be taken here", self.metric, bit.value);
                problems.push(
                    bit.problem(CODE_ADDRESS, message)
                        .help("`bit` is 0 to 15 and needs `type = \"bool\"` in a register area"),
                );
            }
            None if !bits && data_type == DataType::Bool => {
                let message = ": a register has 16 bits, which one is meant?";
                problems.push(
                    self.at_type(message)
                        .help("add `bit = 0` (the least significant) to `bit = 15`"),
                );
            }
            _ => {}
        }
    }

    /// Registers that it takes: a text says how many, and all of them fit into one request.
    fn count(&self, data_type: DataType, options: &ProfileOptions, problems: &mut Problems) -> u16 {
        let max = options.limits.registers_max;
        let is_text = data_type == DataType::Text;
        match &self.length {
            Some(length) if is_text && (1..=max).contains(&length.value) => return length.value,
            Some(length) => {
                let message =
                    format!("`{}`: length `{}` cannot be taken here", self.metric, length.value);
                let help = format!("`length` is 1 to {max} registers and needs `type = \"text\"`");
                problems.push(length.problem(CODE_ADDRESS, message).help(help));
            }
            None if is_text => {
                let problem = self.at_type(" does not say how long the text is");
                problems.push(problem.help("add `length = 10`, in registers of two characters"));
            }
            None => {}
        }
        data_type.registers()
    }

    /// The point's own absent values, else those of its type.
    fn absent(
        &self,
        area: Area,
        data_type: DataType,
        options: &ProfileOptions,
        problems: &mut Problems,
    ) -> Absent {
        let Some(own) = &self.absent else { return options.absent(area, data_type) };
        let none = area.is_bits() || data_type == DataType::Text;
        let bits = if none { 0 } else { u32::from(data_type.registers()) * 16 };
        if bits > 0
            && let Ok(absent) = Absent::new(&own.value.0, bits)
        {
            return absent;
        }
        let message = format!("`{}`: `absent` cannot be taken here", self.metric);
        let help = format!(
            "it takes up to {ABSENT_MAX} values of the point's registers, as bits (`0x8000`) or as an integer"
        );
        problems.push(own.problem(CODE_ADDRESS, message).help(help));
        Absent::default()
    }

    /// As many letters as bytes.
    fn check_form(&self, data_type: DataType, problems: &mut Problems) {
        let bytes = usize::from(data_type.registers()) * 2;
        if let Some(order) = self.order.as_ref().filter(|order| order.value.bytes() != bytes) {
            let found = order.value.bytes();
            let message =
                format!("`{}`: expected an order of {bytes} letters, found {found}", self.metric);
            problems.push(
                order.problem(CODE_ADDRESS, message).help("one letter for each byte of the value"),
            );
        }
    }

    /// Whether the register is written as the number of a manual, in which the first digit is the area: the same number
    /// on the wire is another register. A device may have registers of such numbers, but seldom in just this area.
    fn check_number(&self, area: Area, address_base: u8, problems: &mut Problems) {
        let Some(register) = &self.register else { return };
        let number = register.value;
        let Some(first) =
            area.first_number().filter(|first| (*first..first + 9_999).contains(&number))
        else {
            return;
        };
        let (metric, name, digit) = (self.metric, area.name(), first / 10_000);
        // Said once of a profile: its other points are mostly numbered in the same way.
        let is_such = |known: &Problem| {
            known.warning
                && known.code == CODE_ADDRESS
                && known.file.as_ref() == Some(&register.file)
        };
        if problems.0.iter().any(is_such) {
            return;
        }
        let meant = number - first + u32::from(address_base);
        problems.push(
            register
                .problem(CODE_ADDRESS, text!(
                    en: "`{metric}`: register {number} of the {name} area looks like the number of a manual, whose first digit \
                         {digit} is the area",
                    zh: "`{metric}`：{name} 区的寄存器 {number} 像是手册中的编号，其首位 {digit} 表示寄存器区"
                ))
                .help(text!(
                    en: "write `register = {meant}` for number {number} of the manual (with `address_base = {address_base}`), and the \
                         others likewise; nothing is to be changed where the wire really carries {number}",
                    zh: "手册编号 {number} 应写作 `register = {meant}`（`address_base = {address_base}`），其余同此；若报文中确为 {number}，则无需修改"
                ))
                .warning(),
        );
    }

    /// All registers of the value exist.
    fn check_range(&self, address_base: u8, count: u16, problems: &mut Problems) {
        let Some(register) = &self.register else { return };
        let base = u32::from(address_base);
        let max = u32::from(u16::MAX) + base;
        let last = register.value.saturating_add(u32::from(count) - 1);
        if register.value < base || last > max {
            let which = if last == register.value {
                format!("register {last} does not exist")
            } else {
                format!("registers {} to {last} do not exist", register.value)
            };
            let message = format!("`{}`: {which}: expected {base} to {max}", self.metric);
            problems.push(register.problem(CODE_ADDRESS, message).help(
                "a 3X or 4X number of a manual, such as 30053, is register 53 with `address_base = 1`, and register \
                 52 with `address_base = 0`",
            ));
        }
    }
}
