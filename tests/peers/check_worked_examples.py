"""The independent calculator on the worked examples: C1, C2, C5, E1 and E2, steam by enthalpy, and hand-made vectors.

    python check_worked_examples.py EXAMPLES     # the folder `examples` of the project
"""

import json
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

from energy_calculator import calculate

SIX = Fraction(1, 2_000_000)
PLANT = '[plant]\nname = "T"\nenterprise = "acme"\ntime_zone = "Asia/Shanghai"\nrule_set = "GB/T 2589"\nedition = "{edition}"\nfacts = ["facts.csv"]\n'
failures = []


def equal(what, found, wanted, within=SIX):
    wanted = Fraction(wanted)
    if isinstance(found, str) or abs(found - wanted) > within:
        failures.append(f"{what}: expected {float(wanted)}, found {found if isinstance(found, str) else float(found)}")


def refused(what, found):
    if not isinstance(found, str):
        failures.append(f"{what}: expected to be refused, found {float(found)}")


def figures(plant, facts, period="2023", edition="2020"):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "plant.toml").write_text(PLANT.format(edition=edition) + plant, encoding="utf-8")
        rows = "subject,period,measure,value,unit,note,batch\n" + "".join(f"{row}\n" for row in facts.split())
        Path(folder, "facts.csv").write_text(rows, encoding="utf-8")
        table1, unit_product = calculate(Path(folder, "plant.toml"), period)
    return table1.values, unit_product.values


def kind(id, unit, more=""):
    return f'[[energy_kind]]\nid = "{id}"\nunit = "{unit}"\n{more}\n'


def examples(folder):
    for example in sorted(folder.glob("table1-c1-*")):
        wanted = json.loads((example / "expected.json").read_text(encoding="utf-8"))
        period, basis = wanted["period"], wanted["basis"]
        found, _ = calculate(example / "plant.toml", period)
        for row in wanted["rows"]:
            equal(f"{example.name} {row['kind']}", found.values[f"table1/{period}/{row['kind']}/{basis}"], row["tce"])
        equal(f"{example.name} total", found.values[f"table1/{period}/total/{basis}"], wanted["total"])
        for name in ("output_value_intensity", "value_added_intensity"):
            equal(f"{example.name} {name}", found.values[f"table1/{period}/{name}/{basis}"], wanted[name])
    _, found = calculate(folder / "unit-product" / "plant.toml", "2023")
    for name, wanted in (
        ("line-a/energy/equivalent", "222.943"), ("line-a/equivalent", "0.232232"), ("line-a/energy/equal_value", "456.715"),
        ("line-a/equal_value", "0.475745"), ("line-a/electricity", "0.1375"), ("line-a/natural_gas", "52.083333"),
        ("line-b/energy/equivalent", "108.152"), ("undistributed/equivalent", 0),
    ):
        equal(f"C5 {name}", found.values[f"unit-product/2023/{name}"], wanted)


def conversion():
    """C2: own power and heat of a plant that buys coal; the boundary form."""
    plant = kind("raw_coal", "t") + kind("electricity", "万kWh") + kind("heat", "GJ")
    facts = """acme,2023,purchased:raw_coal,10000,t,, acme,2023,purchased:electricity,200,万kWh,, acme,2023,own:electricity,1500,万kWh,,
        acme,2023,exported:electricity,300,万kWh,, acme,2023,own:heat,60000,GJ,, acme,2023,exported:heat,12000,GJ,,"""
    equal("C2", figures(plant, facts)[0]["table1/2023/total/equivalent"], "6610.66")
    stocks = facts + " acme,2023,opening_stock:raw_coal,500,t,, acme,2023,closing_stock:raw_coal,300,t,,"
    equal("C2 with stocks", figures(plant, stocks)[0]["table1/2023/total/equivalent"], Fraction("6610.66") + Fraction("142.86"))


def photovoltaic():
    """500 bought, 100 generated, 30 of them exported; and more generated than bought."""
    plant, facts = kind("electricity", "万kWh"), "acme,2023,purchased:electricity,{},万kWh,, acme,2023,generated:electricity,{},万kWh,, acme,2023,exported:electricity,{},万kWh,,"
    for amounts, total, without in (((500, 100, 30), "700.53", "614.50"), ((20, 200, 60), "196.64", "24.58")):
        found, _ = figures(plant, facts.format(*amounts))
        equal("generated", found["table1/2023/total/equivalent"], total)
        equal("without generated", found["table1/2023/total_without_generated/equivalent"], without)
    refused("more exported than generated", figures(plant, facts.format(500, 20, 30))[0]["table1/2023/total/equivalent"])


def coefficients():
    """Measured coal of each month: 798.00 tce; a month without one, or one that fits only partly, is refused."""
    month = '[[coefficient]]\nenergy_kind = "raw_coal"\nrole = "equivalent"\nvalue = {}\nunit = "kg"\nvalid_from = {}\nvalid_to = {}\n'
    ends = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    rows = [month.format(f"0.{60 + number}", f"2023-{number:02}-01", f"2023-{number:02}-{ends[number - 1]}") for number in range(1, 13)]
    facts = " ".join(f"acme,2023-{number:02},purchased:raw_coal,100,t,," for number in range(1, 13))
    name = "table1/2023/total/equivalent"
    equal("measured each month", figures(kind("raw_coal", "t") + "".join(rows), facts)[0][name], 798)
    refused("eleven months of twelve", figures(kind("raw_coal", "t") + "".join(rows[:11]), facts)[0][name])
    refused("months for a year", figures(kind("raw_coal", "t") + "".join(rows), "acme,2023,purchased:raw_coal,1200,t,,")[0][name])
    batch = '[[coefficient]]\nenergy_kind = "raw_coal"\nrole = "equivalent"\nvalue = {}\nunit = "kg"\nbatch = "{}"\n'
    batches = kind("raw_coal", "t") + batch.format("0.6", "A") + batch.format("0.7", "B")
    of_batches = "acme,2023,purchased:raw_coal,100,t,,A acme,2023,purchased:raw_coal,200,t,,B"
    equal("by batch", figures(batches, of_batches)[0][name], 200)
    refused("a batch without a row", figures(batches, of_batches + " acme,2023,purchased:raw_coal,1,t,,C")[0][name])


def steam():
    facts = "acme,2023,purchased:steam,1000,t,,"
    for enthalpy, wanted in (("2768.30", "94.454396"), ("2943.22", "100.42"), ("3333.47", "113.74")):
        plant = kind("steam", "t", f'steam_rule = "enthalpy"\nsteam_kj_per_kg = {enthalpy}')
        equal(f"steam of {enthalpy} kJ/kg", figures(plant, facts)[0]["table1/2023/total/equivalent"], wanted, Fraction(1, 200))


def refinery():
    """E1, with media, kgoe by 1.4286."""
    row = '[[coefficient]]\nenergy_kind = "{}"\nrole = "{}"\nclass = "secondary"\nvalue = {}\nvalue_unit = "kgoe"\nunit = "{}"\n'
    rows = [("electricity", "equivalent", "0.086", "kWh"), ("electricity", "equal_value", "0.21", "kWh"), ("fuel_gas", "equivalent", "0.85", "m3"),
            ("vapour", "equivalent", "76", "t"), ("nitrogen", "medium", "0.15", "m3"), ("air", "medium", "0.038", "m3")]
    units = {"electricity": "kWh", "fuel_gas": "m3", "vapour": "t", "nitrogen": "m3", "air": "m3"}
    amounts = {"electricity": "61480591.1", "fuel_gas": "24694992", "vapour": "29668.716", "nitrogen": "504000", "air": "5292000"}
    plant = "".join(kind(id, unit) for id, unit in units.items()) + "".join(row.format(*values) for values in rows)
    found, _ = figures(plant, " ".join(f"acme,2023,purchased:{id},{amount},{units[id]},," for id, amount in amounts.items()))
    equal("E1 当量", found["table1/2023/total/equivalent"], "41157.38", Fraction(1, 100))
    equal("E1 等价", found["table1/2023/total/equal_value"], "52048.449", Fraction(1, 1000))


def saving():
    """E2: two intensities and what they save."""
    base, report = Fraction(22_400, 56_000), Fraction(29_640, 78_000)
    equal("E2", (base - report) * 78_000, 1560)


if __name__ == "__main__":
    examples(Path(sys.argv[1]))
    for check in (conversion, photovoltaic, coefficients, steam, refinery, saving):
        check()
    print("\n".join(failures) or "the worked examples agree")
    sys.exit(1 if failures else 0)
