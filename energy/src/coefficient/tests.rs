//! The shipped rows are in order; keys resolve to one row or to an error that names them.

use config::Problem;

use super::*;
use crate::period::Period;

fn request(edition: &'static str, energy_kind: &'static str) -> Request<'static> {
    let period: Period = "2023".parse().unwrap();
    Request { rule_set: "GB/T 2589", edition, energy_kind, region: "CN", period, batch: None }
}

fn site_row(energy_kind: &str, role: Role, value: &str, unit: Unit) -> Coefficient {
    Coefficient {
        rule_set: "GB/T 2589".to_owned(),
        edition: "2020".to_owned(),
        energy_kind: energy_kind.to_owned(),
        zh_name: String::new(),
        class: EnergyClass::Secondary,
        role,
        value: value.parse().unwrap(),
        value_max: None,
        value_unit: ValueUnit::Kgce,
        unit,
        heat_value: None,
        heat_value_max: None,
        heat_unit: None,
        kj_per_kgce: None,
        batch: None,
        region: Some("CN".to_owned()),
        data_year: Some(2022),
        notice: "example".to_owned(),
        coal_rate_kind: None,
        valid_from: None,
        valid_to: None,
        evidence: Evidence::Illustrative,
        usage: Use::Resolves,
        override_reason: None,
        note: String::new(),
        place: "plant.toml:1".to_owned(),
        site: true,
    }
}

#[test]
fn the_shipped_rows_are_in_order() {
    let mut problems = Problems::default();
    let file = SourceFile::new("coefficients.csv", include_str!("../../data/coefficients.csv"));
    let rows = import::coefficients(&file, &mut problems);
    let file = SourceFile::new("rule_sets.csv", include_str!("../../data/rule_sets.csv"));
    import::rule_sets(&file, &mut problems);
    assert_eq!(problems, Problems::default());
    assert_eq!(rows.len(), 108);
    let registry = Registry::shipped();
    for row in &rows {
        assert_eq!(check(row, &registry), [], "{}", row.place);
        assert!(registry.rule_set(&row.rule_set, &row.edition).is_some(), "{}", row.place);
    }
}

#[test]
fn no_equal_value_of_electricity_heat_or_steam_is_a_default() {
    let registry = Registry::shipped();
    for edition in ["2008", "2020"] {
        for kind in ["electricity", "heat", "steam_low_pressure"] {
            let missing = registry.resolve(&request(edition, kind), Basis::EqualValue).unwrap_err();
            assert_eq!(missing.key.role, Role::EqualValue);
        }
    }
    let nbs = Request {
        rule_set: "NBS reference list",
        edition: "undated",
        ..request("", "electricity")
    };
    assert!(registry.resolve(&nbs, Basis::EqualValue).is_err());
}

#[test]
fn a_missing_coefficient_names_its_full_key_and_what_to_add() {
    let missing = Registry::shipped()
        .resolve(&request("2020", "electricity"), Basis::EqualValue)
        .unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no coefficient for rule set `GB/T 2589`, edition `2020`, energy kind `electricity`, role \
         `equal_value`, region `CN`, data year `2022`: no row has this rule set, edition, kind and \
         role, and none is shipped as a default"
    );
    assert!(missing.add.contains("data_year = 2022\n"), "{}", missing.add);
    assert!(missing.add.contains("value = …  # kgce per kWh"), "{}", missing.add);
}

#[test]
fn resolves_by_the_single_value_rule() {
    let registry = Registry::shipped();
    let check = |kind, basis, value: &str, rule| {
        let found = registry.resolve(&request("2008", kind), basis).unwrap();
        assert_eq!((found.kgce_per_unit.to_string().as_str(), found.rule), (value, rule));
    };
    check("raw_coal", Basis::Equivalent, "0.7143", Rule::Row);
    check("raw_coal", Basis::EqualValue, "0.7143", Rule::SingleValue);
    check("fresh_water", Basis::Equivalent, "0.0857", Rule::Row);
    check("fresh_water", Basis::EqualValue, "0.0857", Rule::SingleValue);
    check("electricity", Basis::Equivalent, "0.1229", Rule::Row);
}

#[test]
fn a_range_never_resolves_by_itself() {
    let registry = Registry::shipped();
    for basis in [Basis::Equivalent, Basis::EqualValue] {
        let missing = registry.resolve(&request("2020", "natural_gas"), basis).unwrap_err();
        assert_eq!(missing.key.role, Role::Equivalent);
        assert!(missing.reason.contains("1.1 to 1.33 kgce/m3"), "{}", missing.reason);
    }
    let pinned = site_row("natural_gas", Role::Equivalent, "1.3300", Unit::CubicMetre);
    let pinned = Coefficient { data_year: None, ..pinned };
    let registry = registry.with_site_rows(vec![pinned]);
    let found = registry.resolve(&request("2020", "natural_gas"), Basis::EqualValue).unwrap();
    assert_eq!(found.kgce_per_unit.to_string(), "1.33");
}

#[test]
fn another_year_or_region_is_never_taken_instead() {
    let row = site_row("electricity", Role::EqualValue, "0.300", Unit::KilowattHour);
    let fits = |row: Coefficient, edition: &'static str| {
        let registry = Registry::shipped()
            .with_site_rows(vec![Coefficient { edition: edition.to_owned(), ..row }]);
        registry.resolve(&request(edition, "electricity"), Basis::EqualValue).is_ok()
    };
    // The edition of 2020 asks for the data of the year before, that of 2008 for the year's own.
    assert!(fits(row.clone(), "2020"));
    assert!(!fits(row.clone(), "2008"));
    assert!(!fits(Coefficient { data_year: Some(2021), ..row.clone() }, "2020"));
    assert!(!fits(Coefficient { region: Some("Zhejiang".to_owned()), ..row.clone() }, "2020"));
    assert!(!fits(Coefficient { role: Role::CoalRateGross, ..row.clone() }, "2020"));
    assert!(!fits(Coefficient { valid_to: Some(jiff::civil::date(2023, 12, 30)), ..row }, "2020"));
}

#[test]
fn a_row_that_does_not_hold_any_more_says_so() {
    let row = site_row("electricity", Role::EqualValue, "0.300", Unit::KilowattHour);
    let day = |month, day| Some(jiff::civil::date(2023, month, day));
    let row = Coefficient { valid_from: day(1, 1), valid_to: day(12, 30), ..row };
    let registry = Registry::shipped().with_site_rows(vec![row]);
    let missing = registry.resolve(&request("2020", "electricity"), Basis::EqualValue).unwrap_err();
    assert_eq!(
        &*missing.reason,
        "no row of the plant file fits 2023: `plant.toml:1`: `valid_to` is 2023-12-30, before 2023-12-31"
    );
    assert!(
        missing.add.contains("valid_from = 2023-01-01\nvalid_to = 2023-12-31\n"),
        "{}",
        missing.add
    );
}

#[test]
fn two_rows_for_one_key_are_an_error() {
    let row = site_row("electricity", Role::EqualValue, "0.300", Unit::KilowattHour);
    let registry = Registry::shipped().with_site_rows(vec![row.clone(), row]);
    let missing = registry.resolve(&request("2020", "electricity"), Basis::EqualValue).unwrap_err();
    assert!(missing.reason.starts_with("more than one row fits"), "{}", missing.reason);
}

#[test]
fn import_checks_catch_what_real_sheets_got_wrong() {
    let registry = Registry::shipped();
    let bad = |row: Coefficient, part: &str| {
        let wrong = check(&row, &registry);
        assert!(
            wrong.iter().any(|fault| fault.message.contains(part)),
            "expected `{part}`, found {wrong:?}"
        );
    };
    let electricity = site_row("electricity", Role::EqualValue, "0.300", Unit::KilowattHour);
    assert_eq!(check(&electricity, &registry), []);
    let net = Coefficient { coal_rate_kind: Some(CoalRateKind::Net), ..electricity.clone() };
    bad(net.clone(), "net coal rate");
    let excused = Coefficient { override_reason: Some("demanded by the city".to_owned()), ..net };
    assert_eq!(check(&excused, &registry), []);
    bad(Coefficient { data_year: None, ..electricity.clone() }, "dated number per authority");
    // 3.00 is per 万kWh.
    bad(
        Coefficient { value: constant("3.00"), ..electricity.clone() },
        "electricity is 0.18 to 0.8 kgce/kWh; found `3`",
    );
    // Energy of 10.89 MJ/kWh where 8.792 applies.
    let heat = Coefficient {
        heat_value: Some(constant("10.89")),
        heat_unit: Some("MJ/kWh".to_owned()),
        ..electricity
    };
    bad(heat, "does not fit");
    // kgoe in an MJ column.
    let water = Coefficient {
        heat_value: Some(constant("0.18")),
        heat_unit: Some("MJ/t".to_owned()),
        ..site_row("fresh_water", Role::Medium, "0.2571", Unit::Tonne)
    };
    bad(water, "does not fit");
    bad(site_row("raw_coal", Role::Equivalent, "0", Unit::Kilogram), "above zero");
}

#[test]
fn the_set_id_changes_with_a_row_and_not_with_a_remark() {
    let row = site_row("electricity", Role::EqualValue, "0.300", Unit::KilowattHour);
    let id = |row: Coefficient| {
        let registry = Registry::shipped().with_site_rows(vec![row]);
        set_id([&registry.resolve(&request("2020", "electricity"), Basis::EqualValue).unwrap()])
    };
    let same = Coefficient { note: "seen".to_owned(), place: "x".to_owned(), ..row.clone() };
    assert_eq!(id(row.clone()), id(same));
    assert_ne!(id(row.clone()), id(Coefficient { value: constant("0.301"), ..row }));
}

#[test]
fn steam_by_enthalpy() {
    let request = request("2020", "steam");
    let per_tonne = |steam: &str, feed: &str| {
        let found = Registry::shipped()
            .resolve_enthalpy(&request, &constant(steam), &constant(feed))
            .unwrap();
        (&found.kgce_per_unit * &Number::from(1000)).to_string()
    };
    assert_eq!(per_tonne("2768.30", "0"), "94.454396");
    assert_eq!(per_tonne("2768.30", "84.01"), "91.5879748");
}

#[test]
fn a_table_with_faults_names_each_line() {
    let mut problems = Problems::default();
    let text = "rule_set,edition,energy_kind,zh_name,class,role,value,value_unit,unit,notice,evidence,use\n\
                GB/T 2589,2008,x,,first,equivalent,1,kgce,kg,n,secondary,resolves\n\
                GB/T 2589,2008,x,名,primary,equivalent,1.5,kgce,kg,n\n\
                GB/T 2589,2008,x,名,primary,equivalent,1.5,kgce,stone,n,secondary,resolves\n";
    import::coefficients(&SourceFile::new("c.csv", text), &mut problems);
    let found: Vec<String> = problems.0.iter().map(Problem::to_string).collect();
    assert_eq!(
        found,
        [
            "EN-C301 c.csv:3:1: expected 12 fields as in the first line, found 10; a field that is left blank keeps its comma",
            "EN-C201 c.csv:2:18: `zh_name` is blank; every row needs it",
            "EN-C201 c.csv:4:48: `unit`: `stone` is not a unit",
        ]
    );
}
