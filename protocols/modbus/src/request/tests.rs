//! From points to requests: limits, holes and poll groups.

use config::{Problems, SourceFile, Table};
use driver::{RawKind, Scaling};
use model::{Decimal, PointKind, Unit};
use proptest::prelude::*;

use super::*;
use crate::address::{Absent, DataType, Order};

fn point(index: u32, area: Area, start: u16, data_type: DataType) -> Point {
    let profile = device_profiles::ProfilePoint {
        metric: "m".to_owned(),
        unit: Unit::One,
        kind: PointKind::Gauge,
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
        resolution: None,
        modulus: None,
        range: device_profiles::PlausibleRange::default(),
        states: Vec::new(),
        source: None,
        unverified: true,
        poll: None,
        history: None,
        address: Table::parse(&SourceFile::new("p", ""), &mut Problems::default()),
    };
    let order = Order::big_endian(2);
    Point {
        index: PointIndex(index),
        address: Address {
            area,
            start,
            count: data_type.registers(),
            data_type,
            order,
            bit: None,
            absent: Absent::default(),
        },
        form: Form::Number(Scaling::new(&profile, RawKind::Integer).unwrap()),
        at: 0,
    }
}

/// The requests for points of `area` at these starts.
fn planned(starts: &[u16], data_type: DataType, limits: Limits) -> String {
    let area = if data_type == DataType::Bool { Area::Coil } else { Area::Input };
    let mut points: Vec<Point> =
        (0..).zip(starts).map(|(index, start)| point(index, area, *start, data_type)).collect();
    let blocks = plan(&mut points, &limits);
    let requests =
        blocks.iter().map(|block| Request::covering(&points[block.clone()]).unwrap().to_string());
    requests.collect::<Vec<_>>().join(", ")
}

#[test]
fn as_few_requests_as_the_limits_allow() {
    let plain = Limits::default();
    let check = |starts: &[u16], data_type, limits, expected: &str| {
        assert_eq!(planned(starts, data_type, limits), expected);
    };
    check(&[4, 0, 2], DataType::F32, plain, "input 0..=5");
    check(&[0, 2, 5], DataType::F32, plain, "input 0..=3, input 5..=6");
    let holes = Limits { register_holes_max: 1, ..plain };
    check(&[0, 2, 5, 9], DataType::F32, holes, "input 0..=6, input 9..=10");
    let few = Limits { registers_max: 5, ..plain };
    check(&[0, 2, 4, 6], DataType::F32, few, "input 0..=3, input 4..=7");
    let single = Limits { single_reads: true, ..plain };
    check(&[0, 1], DataType::U16, single, "input 0..=0, input 1..=1");
    check(&[65_535], DataType::U16, plain, "input 65535..=65535");
    check(&[7, 7, 8], DataType::U16, plain, "input 7..=8");
    check(&[0, 1, 2], DataType::Bool, plain, "coil 0..=2");
    check(&[], DataType::U16, plain, "");
}

#[test]
fn sixty_two_floats_fill_a_request() {
    let starts: Vec<u16> = (0..100).map(|at| at * 2).collect();
    let plan = planned(&starts, DataType::F32, Limits::default());
    assert_eq!(plan, "input 0..=123, input 124..=199");
}

#[test]
fn probes_cannot_be_mistaken_for_one_another() {
    let check = |starts: &[u16], data_type, expected: &[u16]| {
        let area = if data_type == DataType::Bool { Area::Coil } else { Area::Input };
        let mut points: Vec<Point> =
            starts.iter().map(|start| point(0, area, *start, data_type)).collect();
        let blocks = plan(&mut points, &Limits::default());
        let probes = probes(&points, &blocks);
        let (first, elsewhere) = probes.split_at(expected.len());
        let counts: Vec<u16> = first.iter().map(|probe| probe.count).collect();
        assert_eq!(counts, expected);
        let kind = |probe: &Request| first.iter().find(|other| other.may_be_mistaken_for(*probe));
        assert!(elsewhere.iter().all(|probe| kind(probe).is_some_and(|kind| kind != probe)));
    };
    check(&[0, 2, 4], DataType::F32, &[2, 4, 6]);
    check(&[0, 10, 12], DataType::F32, &[2, 4]);
    check(&[5], DataType::U16, &[1, 2, 3]);
    check(&[65_535], DataType::U16, &[1]);
    check(&[0, 1, 2], DataType::Bool, &[1, 9, 17]);
    check(&[], DataType::U16, &[]);
}

proptest! {
    /// Every point is in exactly one request, whole, and no request asks for more than the limits allow.
    #[test]
    fn every_point_is_read_once(
        starts in proptest::collection::vec((0..2_u8, 0..500_u16), 0..80),
        registers_max in 4..=125_u16,
        register_holes_max in 0..20_u16,
    ) {
        let limits = Limits { registers_max, register_holes_max, ..Limits::default() };
        let mut points: Vec<Point> = (0..).zip(&starts).map(|(index, (area, start))| {
            let area = if *area == 0 { Area::Input } else { Area::Holding };
            point(index, area, *start, DataType::U32)
        }).collect();
        let blocks = plan(&mut points, &limits);
        let mut next = 0;
        for block in &blocks {
            prop_assert_eq!(block.start, next);
            next = block.end;
            let run = &points[block.clone()];
            let request = Request::covering(run).unwrap();
            prop_assert!(request.count <= registers_max);
            for point in run {
                prop_assert_eq!(point.address.area, request.area);
                prop_assert!(point.address.start >= request.start);
                prop_assert!(
                    point.address.end() <= u32::from(request.start) + u32::from(request.count)
                );
            }
        }
        prop_assert_eq!(next, points.len());
    }
}
