//! A made-up plant whose samples are neither kinder nor harsher than real ones: what the codec is measured on.
//!
//! 10 devices of 20 points are read once a second. A device answers 5 to 40 ms after the poll, all its points at once,
//! to the millisecond; the gateway has the answer 1 to 4 ms later. One read in a thousand fails. Of 20 points
//! - 8 are counters of 0.01 kWh that grow by 0.2 to 10 counts a second, with a load that fluctuates by a quarter;
//! - 10 are analogues with a resolution of 0.1 or 0.01, a slow drift and noise of 0.5 to 25 counts (standard
//!   deviation): 5 of them decimals, 3 floats as a 32-bit register gives them, 2 doubles;
//! - 2 are states that change every five minutes on average.

use model::{Batch, DictionaryHash, PointIndex, Quality, Sample, Timestamp, Value};

/// Points of the plant.
pub(crate) const POINTS: usize = DEVICES * POINTS_PER_DEVICE;

const DEVICES: usize = 10;
const POINTS_PER_DEVICE: usize = 20;
const START: i64 = 1_735_689_600_000_000;
const NOISE_COUNTS: [f64; 6] = [0.5, 1.0, 3.0, 5.0, 10.0, 25.0];

/// How the analogues that are floats look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floats {
    /// As many digits as their resolution has.
    Resolved,
    /// All 24 bits of a 32-bit float are noise.
    Raw,
}

/// The plant, second by second.
pub(crate) struct Plant {
    chance: Chance,
    floats: Floats,
    second: i64,
    points: Vec<Point>,
}

struct Point {
    kind: Kind,
    level: f64,
    rate: f64,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Decimal,
    Single { scale: f64 },
    Double { scale: f64 },
    State,
}

/// The generator `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to 1.
    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.bits() >> 32).unwrap_or(0)) / 4_294_967_296.0
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Nearly normal, mean 0, standard deviation 1: twelve uniform numbers, so that no `libm` is asked.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

impl Plant {
    /// A plant whose whole future follows from `seed`.
    pub(crate) fn new(seed: u64, floats: Floats) -> Self {
        let mut chance = Chance(seed);
        let points =
            (0..POINTS).map(|index| point(index % POINTS_PER_DEVICE, &mut chance)).collect();
        Self { chance, floats, second: 0, points }
    }

    /// The samples of the next `seconds`, as one batch.
    pub(crate) fn batch(&mut self, seconds: usize) -> Batch {
        let mut samples: Vec<Sample> = (0..seconds).flat_map(|_| self.read_all()).collect();
        samples.sort_by_key(|sample| (sample.point, sample.source_time));
        Batch { dictionary: DictionaryHash([0x5A; 32]), samples }
    }

    fn read_all(&mut self) -> Vec<Sample> {
        let poll = START + self.second * 1_000_000;
        self.second += 1;
        let mut samples = Vec::with_capacity(POINTS);
        for device in 0..DEVICES {
            let millis = |value: f64| counts(value) * 1_000;
            let source_time = Timestamp(poll + millis(self.chance.between(5.0, 40.0)));
            let gateway_time = Timestamp(source_time.0 + millis(self.chance.between(1.0, 4.0)));
            let failed = self.chance.unit() < 0.001;
            for place in 0..POINTS_PER_DEVICE {
                let index = device * POINTS_PER_DEVICE + place;
                let value = self.points[index].read(&mut self.chance, self.floats);
                let point = PointIndex(u32::try_from(index).expect("there are 200 points"));
                samples.push(if failed {
                    Sample::without_value(point, source_time, gateway_time, Quality::BAD_TIMEOUT)
                } else {
                    Sample::new(point, source_time, gateway_time, Quality::GOOD, value)
                });
            }
        }
        samples
    }
}

fn point(place: usize, chance: &mut Chance) -> Point {
    let scale = if place.is_multiple_of(2) { 10.0 } else { 100.0 };
    let kind = match place {
        0..8 => Kind::Counter,
        8..13 => Kind::Decimal,
        13..16 => Kind::Single { scale },
        16..18 => Kind::Double { scale },
        _ => Kind::State,
    };
    let (level, rate) = match kind {
        Kind::Counter => (chance.between(1e6, 1e8), chance.between(0.2, 10.0)),
        Kind::State => (chance.between(0.0, 5.0), 1.0 / 300.0),
        _ => {
            let noise = NOISE_COUNTS[usize::try_from(chance.bits() % 6).expect("below 6")];
            (chance.between(1_000.0, 10_000.0), noise)
        }
    };
    Point { kind, level, rate }
}

impl Point {
    fn read(&mut self, chance: &mut Chance, floats: Floats) -> Value {
        match self.kind {
            Kind::Counter => {
                self.level += self.rate * chance.between(0.75, 1.25);
                Value::Decimal(counts(self.level))
            }
            Kind::State => {
                if chance.unit() < self.rate {
                    self.level = chance.between(0.0, 5.0);
                }
                Value::Decimal(counts(self.level))
            }
            _ => self.read_analogue(chance, floats),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "what a 32-bit register does")]
    fn read_analogue(&mut self, chance: &mut Chance, floats: Floats) -> Value {
        self.level += chance.normal() * self.rate * 0.05;
        let exact = self.level + chance.normal() * self.rate;
        let rounded = (exact + 0.5).floor();
        match self.kind {
            Kind::Single { scale } | Kind::Double { scale } if floats == Floats::Raw => {
                Value::Float(f64::from((exact / scale) as f32))
            }
            Kind::Single { scale } => Value::Float(f64::from((rounded / scale) as f32)),
            Kind::Double { scale } => Value::Float(rounded / scale),
            _ => Value::Decimal(counts(rounded)),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole counts, far below 2^53")]
fn counts(value: f64) -> i64 {
    value.floor() as i64
}
