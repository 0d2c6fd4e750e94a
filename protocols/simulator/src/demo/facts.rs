//! The declared facts of the demo, drawn from the plant like everything else: output follows the parts counters, coal
//! the steam of the own boiler.

use std::fmt::Write;

use model::Decimal;

use crate::month::Month;
use crate::plant::{Meter, PRODUCTS, Plant};

/// The line of each product, in the order of the products.
const LINES: [&str; 2] = ["line-a", "line-b"];
/// Coal per 1 000 kg of steam, kg.
const COAL_PER_TONNE_OF_STEAM: i64 = 165;
/// Value added of 1 000 of output value.
const VALUE_ADDED_PER_1000: i64 = 286;

/// The whole file: the month and the one before.
pub(super) fn text(plant: &Plant, month: Month) -> String {
    let mut text = "subject,period,measure,value,unit,note\n".to_owned();
    for month in [month.before(), month] {
        rows(&mut text, plant, month).expect("a string takes any text");
    }
    text
}

fn rows(text: &mut String, plant: &Plant, month: Month) -> std::fmt::Result {
    let (from, to) = (month.from(), month.to());
    let mut value_cents = 0;
    for (product, line) in PRODUCTS.iter().zip(LINES) {
        let made = plant.output(product, from, to);
        let good = made * product.good_per_100_000 / 100_000;
        value_cents += good * product.price_cents;
        writeln!(text, "{line},{month},output:{},{made},pcs,", product.id)?;
        writeln!(text, "{line},{month},qualified_output:{},{good},pcs,", product.id)?;
    }
    let own_steam = Meter::of("meter-own-steam").map_or(0, |meter| {
        // The register counts kilograms.
        plant.integral(meter, from, to).mantissa
    });
    // 0.1 t, as a weighbridge prints it.
    let coal =
        Decimal { mantissa: own_steam * COAL_PER_TONNE_OF_STEAM / 1_000 / 100, exponent: -1 };
    // 0.01 万元 are 100 元.
    let value = Decimal { mantissa: value_cents / 10_000, exponent: -2 };
    let added = Decimal { mantissa: value.mantissa * VALUE_ADDED_PER_1000 / 1_000, ..value };
    writeln!(text, "demo,{month},purchased:raw_coal,{coal},t,weighbridge 地磅")?;
    writeln!(text, "demo,{month},gross_output_value,{value},万元,")?;
    writeln!(text, "demo,{month},value_added,{added},万元,")
}
