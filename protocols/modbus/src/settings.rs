//! The keys of a port, of a device and of a profile's `[modbus]`, checked. Must never open anything.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{FromToml, Item, Problems, Spanned, Table};
use driver::{Exclusive, SerialSettings};

use crate::address::{ABSENT_MAX, Absent, AbsentNumbers, Area, DataType, Order};
use crate::request::{BITS_PER_REQUEST_MAX, Limits, REGISTERS_PER_REQUEST_MAX};
use crate::wire::Framing;

const CODE_LINK: &str = "GW-C060";
const CODE_UNIT: &str = "GW-C061";
const CODE_PROFILE: &str = "GW-C063";

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(30);
const GAP_MAX: Duration = Duration::from_secs(5);
const RETRIES_DEFAULT: u8 = 1;
const RETRIES_MAX: u8 = 5;
const TCP_PORT_DEFAULT: u16 = 502;
const BAUD_DEFAULT: u32 = 9_600;
/// The formats of Modbus RTU, the default first.
const FORMATS: [&str; 6] = ["8N1", "8E1", "8O1", "8N2", "8E2", "8O2"];

/// Where a port leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// A Modbus TCP endpoint.
    Tcp {
        /// Name or address of the host.
        host: String,
        /// Its TCP port.
        tcp_port: u16,
    },
    /// A serial line.
    Serial(SerialSettings),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, tcp_port } if host.contains(':') => {
                write!(f, "tcp://[{host}]:{tcp_port}")
            }
            Self::Tcp { host, tcp_port } => write!(f, "tcp://{host}:{tcp_port}"),
            Self::Serial(serial) => serial.fmt(f),
        }
    }
}

impl Link {
    /// How long so many characters take on a serial wire; nothing over TCP.
    pub(crate) fn wire_time(&self, characters: u32) -> Duration {
        match self {
            Self::Tcp { .. } => Duration::ZERO,
            Self::Serial(serial) => serial.wire_time(characters),
        }
    }
}

/// A port as configured.
#[derive(Debug, Clone)]
pub(crate) struct PortSettings {
    /// Where it leads to.
    pub(crate) link: Link,
    /// The serial line, which no other port may use.
    pub(crate) exclusive: Option<Exclusive>,
    /// How frames are cut.
    pub(crate) framing: Framing,
    /// How long a device hears nothing after its link was opened, when that is known.
    pub(crate) connect_pause: Option<Duration>,
    /// How long a device may think.
    pub(crate) timeout: Duration,
    /// Silence before each request.
    pub(crate) gap: Duration,
    /// Further tries of a request without an answer.
    pub(crate) retries: u8,
}

impl PortSettings {
    /// Reads and finishes the keys of a port.
    pub(crate) fn read(mut table: Table, problems: &mut Problems) -> Option<Self> {
        let before = problems.0.len();
        let place = table.clone();
        let address = table.optional::<String>("address", problems);
        let path = table.optional::<String>("path", problems);
        let baud = table.optional::<u32>("baud", problems);
        let format = table.optional::<String>("format", problems);
        let framing = table.optional::<Framing>("framing", problems);
        let connect_pause = table.optional::<Duration>("connect_pause", problems);
        let timeout = table.optional::<Duration>("timeout", problems);
        let gap = table.optional::<Duration>("gap", problems);
        let retries = table.optional::<u8>("retries", problems);
        table.finish(problems);

        let link = match (&address, &path) {
            (Some(address), None) => {
                let places = [baud.map(|key| key.map(drop)), format.map(|key| key.map(drop))];
                for place in places.into_iter().flatten() {
                    let message = "a Modbus TCP port has no baud rate and no format";
                    problems.push(place.problem(CODE_LINK, message).help("remove this key"));
                }
                tcp(address, problems)
            }
            (None, Some(path)) => {
                let defaults = (BAUD_DEFAULT, FORMATS.as_slice());
                SerialSettings::check(path, baud.as_ref(), format.as_ref(), defaults, problems)
                    .map(Link::Serial)
            }
            (Some(address), Some(_)) => {
                let message = "a port is either a TCP endpoint or a serial line, this one is both";
                problems
                    .push(address.problem(CODE_LINK, message).help("remove `address` or `path`"));
                None
            }
            (None, None) => {
                // A key of the wrong type was reported already and counts as absent.
                if problems.0.len() == before {
                    problems.push(
                        place.problem(CODE_LINK, "this port leads nowhere").help(
                            "add `address = \"tcp://10.0.0.5:502\"` or `path = \"/dev/ttyS1\"`",
                        ),
                    );
                }
                None
            }
        };
        if let (Some(framing), None) = (&framing, &address)
            && framing.value == Framing::Tcp
        {
            let message = "a serial line carries RTU frames, and no others";
            problems.push(framing.problem(CODE_LINK, message).help("remove `framing`"));
        }
        let pauses = Duration::ZERO..=CONNECT_PAUSE_MAX;
        in_range(connect_pause.as_ref(), &pauses, CODE_LINK, "connect_pause", problems);
        in_range(timeout.as_ref(), &TIMEOUTS, CODE_LINK, "timeout", problems);
        in_range(gap.as_ref(), &(Duration::ZERO..=GAP_MAX), CODE_LINK, "gap", problems);
        if let Some(retries) = retries.as_ref().filter(|retries| retries.value > RETRIES_MAX) {
            let message =
                format!("`retries`: expected 0 to {RETRIES_MAX}, found {}", retries.value);
            problems.push(
                retries
                    .problem(CODE_LINK, message)
                    .help("each further try lets the other devices of the port wait"),
            );
        }
        if problems.0.len() > before {
            return None;
        }
        let link_framing = if path.is_some() { Framing::Rtu } else { Framing::Tcp };
        let framing = framing.map_or(link_framing, |framing| framing.value);
        let exclusive = path.map(SerialSettings::exclusive);
        Some(Self {
            link: link?,
            exclusive,
            framing,
            connect_pause: connect_pause.map(|pause| pause.value),
            timeout: timeout.map_or(TIMEOUT_DEFAULT, |timeout| timeout.value),
            gap: gap.map_or(Duration::ZERO, |gap| gap.value),
            retries: retries.map_or(RETRIES_DEFAULT, |retries| retries.value),
        })
    }
}

fn in_range(
    found: Option<&Spanned<Duration>>,
    range: &RangeInclusive<Duration>,
    code: &'static str,
    key: &str,
    problems: &mut Problems,
) {
    if let Some(found) = found.filter(|found| !range.contains(&found.value)) {
        let [least, most, found_text] =
            [*range.start(), *range.end(), found.value].map(config::written);
        let message = format!("`{key}`: expected {least} to {most}, found {found_text}");
        problems.push(found.problem(code, message).help("choose a duration in that range"));
    }
}

fn tcp(address: &Spanned<String>, problems: &mut Problems) -> Option<Link> {
    let parsed = address.value.strip_prefix("tcp://").and_then(|rest| {
        let (host, tcp_port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']')?;
                (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
            }
            None => match rest.split_once(':') {
                Some((host, tcp_port)) => (host, Some(tcp_port)),
                None => (rest, None),
            },
        };
        let tcp_port = match tcp_port {
            Some(digits) => digits.parse::<u16>().ok().filter(|tcp_port| *tcp_port > 0)?,
            None => TCP_PORT_DEFAULT,
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        (!host.is_empty() && host.chars().all(legal))
            .then(|| Link::Tcp { host: host.to_owned(), tcp_port })
    });
    if parsed.is_none() {
        let message = format!("`{}` is not the address of a Modbus TCP device", address.value);
        problems.push(
            address
                .problem(CODE_LINK, message)
                .help("write it as `tcp://<host>:<tcp port>`, such as `tcp://10.0.0.5:502`"),
        );
    }
    parsed
}

impl FromToml for Framing {
    const EXPECTED: &'static str = "`\"tcp\"` or `\"rtu\"`";
    fn from_item(item: Item) -> Result<Self, String> {
        match &item {
            Item::Text(text) if text == "tcp" => Ok(Self::Tcp),
            Item::Text(text) if text == "rtu" => Ok(Self::Rtu),
            _ => Err(item.describe()),
        }
    }
}

/// The keys of a device.
#[derive(Debug)]
pub(crate) struct DeviceKeys {
    /// The unit id that it is asked by.
    pub(crate) unit: Spanned<u8>,
    /// The unit id that its replies carry.
    pub(crate) reply_unit: u8,
}

/// Reads and finishes the keys of a device.
///
/// # Source
/// MODBUS over Serial Line V1.02, §2.2: individual addresses are 1 to 247, 248 to 255 are reserved, 0 is the broadcast.
/// MODBUS Messaging on TCP/IP V1.0b, §4.4.2.1: a device addressed by its IP address is asked with 0xFF, and 0 is also
/// accepted; devices use others too.
pub(crate) fn device_keys(
    mut table: Table,
    framing: Option<Framing>,
    problems: &mut Problems,
) -> Option<DeviceKeys> {
    let unit = table.required::<u8>("unit", problems);
    let reply_unit = table.optional::<u8>("reply_unit", problems);
    table.finish(problems);
    let unit = unit?;
    if framing == Some(Framing::Rtu) {
        let help = "it is set at the device, often on its keypad";
        match unit.value {
            1..=247 => {}
            0 => {
                let message = "`unit`: expected 1 to 247, found 0, which nobody answers";
                problems.push(unit.problem(CODE_UNIT, message).help(help));
                return None;
            }
            reserved => {
                let message = format!("`unit`: {reserved} is reserved: 1 to 247 are for devices");
                problems.push(unit.problem(CODE_UNIT, message).help(help).warning());
            }
        }
    }
    if let Some(reply_unit) = reply_unit.as_ref().filter(|_| framing == Some(Framing::Rtu)) {
        let message =
            "`reply_unit` is for Modbus TCP: with RTU frames only the unit id tells replies apart";
        problems.push(reply_unit.problem(CODE_UNIT, message).help("remove it"));
        return None;
    }
    let reply_unit = reply_unit.map_or(unit.value, |reply_unit| reply_unit.value);
    Some(DeviceKeys { unit, reply_unit })
}

/// What a profile's `[modbus]` says.
#[derive(Debug, Clone)]
pub(crate) struct ProfileOptions {
    /// The number by which the profile's registers are higher than those on the wire.
    pub(crate) address_base: u8,
    /// Area of points that state none.
    pub(crate) area: Option<Area>,
    /// Type of points that state none.
    pub(crate) data_type: Option<DataType>,
    /// Whether one of the two is missing because it was wrong, which was said already.
    pub(crate) noted: bool,
    order32: Order,
    order64: Order,
    absent: Vec<(DataType, Absent)>,
    /// What the device stands at once.
    pub(crate) limits: Limits,
    /// Silence that it needs before each request.
    pub(crate) request_gap: Duration,
}

impl ProfileOptions {
    /// The byte order of points of `data_type` that state none.
    pub(crate) fn order(&self, data_type: DataType) -> Order {
        match data_type.registers() {
            1 => Order::big_endian(2),
            2 => self.order32,
            _ => self.order64,
        }
    }

    /// What means that there is no value, for points of `data_type` that state nothing.
    pub(crate) fn absent(&self, area: Area, data_type: DataType) -> Absent {
        let found = self.absent.iter().find(|(of, _)| *of == data_type && !area.is_bits());
        found.map(|(_, absent)| *absent).unwrap_or_default()
    }

    /// Reads and finishes `[modbus]`; what is wrong is noted and replaced by its default.
    pub(crate) fn read(mut table: Table, problems: &mut Problems) -> Self {
        let before = problems.0.len();
        let base = table.optional::<u8>("address_base", problems);
        if let Some(base) = base.as_ref().filter(|base| base.value > 1) {
            let message = format!("`address_base`: expected 0 or 1, found {}", base.value);
            problems.push(base.problem(CODE_PROFILE, message).help(
                "0: registers are numbered as on the wire; 1: one higher, as in many manuals",
            ));
        }
        let area = table.optional::<Area>("area", problems).map(|area| area.value);
        let data_type = table.optional::<DataType>("type", problems).map(|found| found.value);
        let noted = problems.0.len() > before;
        let mut order = |key, bytes: u8| {
            let Some(order) = table.optional::<Order>(key, problems) else {
                return Order::big_endian(bytes);
            };
            if order.value.bytes() != usize::from(bytes) {
                let message = format!("`{key}`: expected {bytes} letters");
                problems
                    .push(order.problem(CODE_PROFILE, message).help("one letter for each byte"));
            }
            order.value
        };
        let (order32, order64) = (order("order32", 4), order("order64", 8));
        let mut number = |key, range: RangeInclusive<u16>, default| {
            let Some(number) = table.optional::<u16>(key, problems) else { return default };
            if range.contains(&number.value) {
                return number.value;
            }
            let message = format!(
                "`{key}`: expected {} to {}, found {}",
                range.start(),
                range.end(),
                number.value
            );
            let help = if number.value > *range.end() {
                "the protocol allows no more than that"
            } else {
                "with fewer not every value fits one request, and its parts would be of different times"
            };
            problems.push(number.problem(CODE_PROFILE, message).help(help));
            default
        };
        let plain = Limits::default();
        // A 64-bit value must fit into one request, else its halves could be of different times.
        let registers = 4..=REGISTERS_PER_REQUEST_MAX;
        let registers_max = number("registers_per_request_max", registers, plain.registers_max);
        let bits_max = number("bits_per_request_max", 1..=BITS_PER_REQUEST_MAX, plain.bits_max);
        let register_holes_max = number("register_holes_max", 0..=REGISTERS_PER_REQUEST_MAX, 0);
        let bit_holes_max = number("bit_holes_max", 0..=BITS_PER_REQUEST_MAX, 0);
        let absent = absent_of_types(&mut table, problems);
        let single_reads = table.or("single_reads", false, problems);
        let gap = table.optional::<Duration>("request_gap", problems);
        in_range(gap.as_ref(), &(Duration::ZERO..=GAP_MAX), CODE_PROFILE, "request_gap", problems);
        table.finish(problems);
        Self {
            address_base: base.filter(|base| base.value <= 1).map_or(0, |base| base.value),
            area,
            data_type,
            noted,
            order32,
            order64,
            absent,
            limits: Limits {
                registers_max,
                bits_max,
                register_holes_max,
                bit_holes_max,
                single_reads,
            },
            request_gap: gap.map_or(Duration::ZERO, |gap| gap.value),
        }
    }
}

/// `absent = { f32 = 0x80008000, i16 = 0x8000 }`.
fn absent_of_types(table: &mut Table, problems: &mut Problems) -> Vec<(DataType, Absent)> {
    let Some(section) = table.optional::<Table>("absent", problems) else { return Vec::new() };
    let mut section = section.value;
    let mut found = Vec::new();
    for (name, data_type) in DataType::ALL.into_iter().filter(|(_, of)| *of != DataType::Text) {
        let Some(numbers) = section.optional::<AbsentNumbers>(name, problems) else { continue };
        match Absent::new(&numbers.value.0, u32::from(data_type.registers()) * 16) {
            Ok(absent) => found.push((data_type, absent)),
            Err(number) => {
                let message = format!("`absent.{name}`: {number} cannot be taken here");
                let help = format!("up to {ABSENT_MAX} values, as bits or as an integer");
                problems.push(numbers.problem(CODE_PROFILE, message).help(help));
            }
        }
    }
    section.finish(problems);
    found
}

#[cfg(test)]
mod tests;
