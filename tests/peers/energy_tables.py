"""Units and annex values for the independent energy calculator.

Typed from the rules (`../shared/notes/energy-rules.md`), not from the product: a value that is wrong there is found here.
"""

from fractions import Fraction

# unit -> (dimension, factor to the base unit of the dimension: kg, m3, kWh, MJ, 万元, piece)
UNITS = {
    "kg": ("mass", Fraction(1)),
    "t": ("mass", Fraction(1000)),
    "万t": ("mass", Fraction(10_000_000)),
    "m3": ("volume", Fraction(1)),
    "万m3": ("volume", Fraction(10_000)),
    "kWh": ("electric", Fraction(1)),
    "MWh": ("electric", Fraction(1000)),
    "万kWh": ("electric", Fraction(10_000)),
    "MJ": ("heat", Fraction(1)),
    "GJ": ("heat", Fraction(1000)),
    "kJ": ("heat", Fraction(1, 1000)),
    "元": ("money", Fraction(1, 10_000)),
    "万元": ("money", Fraction(1)),
    "亿元": ("money", Fraction(10_000)),
    "pcs": ("piece", Fraction(1)),
}

# 1 kgce in kJ of each rule set's edition (section 3). The 2008 edition's own kJ column implies 29 271.2.
KGCE_KJ = {("GB/T 2589", "2020"): Fraction("29307.6"), ("GB/T 2589", "2008"): Fraction("29271.2")}

HEAT_KGCE_PER_MJ = Fraction("0.03412")

# 1 kgoe in kgce as printed; 41.868 ÷ 29.3076 is 2.0e-5 more (section 3). The worked example E1 has both.
KGOE_KGCE = Fraction("1.4286")

# Kinds whose 等价值 is a number of its own; every other kind has one value for both bases (section 2).
NEEDS_EQUAL_VALUE = {"electricity", "heat", "steam", "steam_low_pressure"}


def _both(value):
    return {"2008": value, "2020": value}


# kind -> (class, unit of the value, {edition: kgce per unit}); None: a range or a dated row, no default.
ANNEX = {
    "raw_coal": ("primary", "kg", _both("0.7143")),
    "washed_clean_coal": ("secondary", "kg", _both("0.9000")),
    "coke": ("secondary", "kg", _both("0.9714")),
    "crude_oil": ("primary", "kg", _both("1.4286")),
    "fuel_oil": ("secondary", "kg", _both("1.4286")),
    "gasoline": ("secondary", "kg", _both("1.4714")),
    "kerosene": ("secondary", "kg", _both("1.4714")),
    "diesel": ("secondary", "kg", _both("1.4571")),
    "lpg": ("secondary", "kg", _both("1.7143")),
    "oilfield_gas": ("primary", "m3", {"2008": "1.3300"}),
    "gasfield_gas": ("primary", "m3", {"2008": "1.2143"}),
    "natural_gas": ("primary", "m3", {"2020": None}),
    "lng": ("secondary", "kg", {"2020": "1.7572"}),
    "coke_oven_gas": ("secondary", "m3", _both(None)),
    "blast_furnace_gas": ("secondary", "m3", _both("0.1286")),
    "water_gas": ("secondary", "m3", _both("0.3571")),
    "electricity": ("secondary", "kWh", _both("0.1229")),
    "heat": ("secondary", "MJ", _both("0.03412")),
    "steam_low_pressure": ("secondary", "kg", {"2008": "0.1286"}),
    "fresh_water": ("medium", "t", {"2008": "0.0857", "2020": "0.2571"}),
    "softened_water": ("medium", "t", _both("0.4857")),
    "deaerated_water": ("medium", "t", _both("0.9714")),
    "compressed_air": ("medium", "m3", _both("0.0400")),
    "oxygen": ("medium", "m3", _both("0.4000")),
    "nitrogen_main": ("medium", "m3", _both("0.6714")),
    "carbon_dioxide": ("medium", "m3", _both("0.2143")),
    "acetylene": ("medium", "m3", _both("8.3143")),
}


def annex_class(kind):
    """Class of a kind in the annexes, or None where they do not have it."""
    return ANNEX[kind][0] if kind in ANNEX else None


def annex_value(kind, edition):
    """kgce per base unit (kg, m3, kWh, MJ) that the edition prints for this kind, or None where it has no single value."""
    if kind not in ANNEX:
        return None
    _, unit, values = ANNEX[kind]
    printed = values.get(edition)
    return None if printed is None else Fraction(printed) / UNITS[unit][1]


def convert(value, unit, wanted):
    """The value in another unit of the same dimension."""
    dimension, factor = UNITS[unit]
    other, divisor = UNITS[wanted]
    if dimension != other:
        raise ValueError(f"{unit} is no {wanted}")
    return value * factor / divisor
