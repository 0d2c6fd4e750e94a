"""Two plants in which everything is right, for `typing_faults.py`: one of declared facts over two years, one with meters.

A plant is a tree of its plant file and a list of rows of its facts; `write` makes the files.
"""

import random
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

from random_plants import Bare, as_toml, plain

COLUMNS = ["subject", "period", "measure", "value", "unit", "note"]
YEARS = (2022, 2023)
CHINA = timezone(timedelta(hours=8))


class RightPlant:
    def __init__(self, tree, facts, periods, lake=None):
        self.tree, self.facts, self.periods, self.lake = tree, facts, periods, lake
        self.header = list(COLUMNS)

    def copy(self):
        return RightPlant(deepcopy(self.tree), deepcopy(self.facts), self.periods, self.lake)

    def write(self, folder):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for key, value in self.tree.items():
            for entry in value if isinstance(value, list) else [value]:
                lines.append(f"[[{key}]]" if isinstance(value, list) else f"[{key}]")
                nested = {name: part for name, part in entry.items() if name in ("replacement", "ratio")}
                lines += [f"{name} = {as_toml(part)}" for name, part in entry.items() if name not in nested]
                for name, parts in nested.items():
                    for part in parts:
                        lines.append(f"[[{key}.{name}]]")
                        lines += [f"{inner} = {as_toml(value)}" for inner, value in part.items()]
        (folder / "plant.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        rows = [",".join(row) for row in [self.header, *self.facts]]
        (folder / "facts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    def find(self, table, **keys):
        return [entry for entry in self.tree.get(table, []) if all(entry.get(key) == value for key, value in keys.items())]


def header(**more):
    return dict(name="right", enterprise="acme", time_zone="Asia/Shanghai", rule_set="GB/T 2589", edition="2020", facts=["facts.csv"], **more)


def kinds():
    return [
        dict(id="raw_coal", name="原煤", unit="t"),
        dict(id="electricity", name="电力", unit="万kWh"),
        dict(id="natural_gas", name="天然气", unit="万m3"),
        dict(id="steam", name="蒸汽", unit="t", steam_rule="enthalpy", steam_kj_per_kg=Decimal("2768.30"), feed_kj_per_kg=Decimal("84.01")),
        dict(id="heat", name="热力", unit="GJ"),
        dict(id="water", name="新水", unit="m3", coefficient="fresh_water", conversion=[{"from": "m3", "to": "t", "factor": Decimal(1)}]),
    ]


def coefficients(data_years):
    rows = [
        dict(energy_kind="natural_gas", role="equivalent", value=Decimal("1.2143"), unit="m3", notice="供气合同", evidence="measured"),
        dict(energy_kind="steam", role="equal_value", value=Decimal("0.1286"), unit="kg", notice="供汽合同", evidence="measured"),
    ]
    rows[0]["class"] = "primary"
    for year in data_years:
        number = Decimal(3050 - 10 * (year - 2020)) / 1000
        dated = dict(region="CN", data_year=year, notice=f"公告 {year}", evidence="printed")
        rows.append(dict(energy_kind="electricity", role="equal_value", value=number, value_unit="tce", unit="万kWh", coal_rate_kind="gross", **dated))
        rows.append(dict(energy_kind="heat", role="equal_value", value=Decimal("0.0385"), unit="MJ", **dated))
    return rows


def measured_coal(years):
    rows = []
    for year in years:
        for half, (start, end) in enumerate((("01-01", "06-30"), ("07-01", "12-31"))):
            row = dict(energy_kind="raw_coal", role="equivalent", value=Decimal(7050 + 60 * half) / 10000, unit="kg", notice="化验单", evidence="measured")
            rows.append(row | {"class": "primary", "valid_from": Bare(f"{year}-{start}"), "valid_to": Bare(f"{year}-{end}")})
    return rows


def subjects():
    return [
        dict(id="line-a", kind="line", name="A线"),
        dict(id="line-b", kind="line", name="B线"),
        dict(id="compressor", kind="equipment", name="空压机"),
        dict(id="boiler", kind="equipment", name="锅炉"),
    ]


def shares(maker, kind, a, b):
    return {"from": maker, "energy_kind": kind, "share": [dict(to="line-a", weight=a), dict(to="line-b", weight=b)]}


def declared_plant():
    """24 months of bills, sub-readings, products and money; own steam of a coal boiler goes to the lines by a key."""
    draw = random.Random(1)
    tree = dict(
        plant=header(),
        subject=subjects(),
        energy_kind=kinds(),
        product=[dict(id="shaft", name="轴", unit="pcs", line="line-a"), dict(id="housing", name="壳体", unit="t", line="line-b")],
        allocation=[shares("compressor", "electricity", 60, 40), shares("boiler", "raw_coal", 55, 45)],
        coefficient=coefficients([2021, 2022]) + measured_coal(YEARS),
    )
    facts = []

    def fact(subject, period, measure, value, unit, digits=2):
        facts.append([subject, period, measure, plain(round(Decimal(value), digits)), unit, ""])

    for year in YEARS:
        for month in range(1, 13):
            period = f"{year}-{month:02}"
            level = draw.uniform(0.92, 1.08)
            near = lambda size: size * level * draw.uniform(0.97, 1.03)
            power, gas = near(80), near(2.6)
            fact("acme", period, "purchased:raw_coal", near(300), "t")
            fact("acme", period, "purchased:electricity", power, "万kWh", 4)
            fact("acme", period, "purchased:natural_gas", gas, "万m3", 4)
            fact("acme", period, "purchased:heat", near(420), "GJ")
            fact("acme", period, "purchased:water", near(4300), "m3", 0)
            fact("acme", period, "own:steam", near(1500), "t")
            fact("boiler", period, "consumed:raw_coal", facts[-6][3], "t")
            fact("line-a", period, "consumed:electricity", power * 0.5, "万kWh", 4)
            fact("line-b", period, "consumed:electricity", power * 0.3, "万kWh", 4)
            fact("compressor", period, "consumed:electricity", power * 0.15, "万kWh", 4)
            fact("line-a", period, "consumed:natural_gas", gas * 0.95, "万m3", 4)
            for product, line, size, unit, digits in (("shaft", "line-a", 18000, "pcs", 0), ("housing", "line-b", 900, "t", 1)):
                made = near(size)
                fact(line, period, f"output:{product}", made, unit, digits)
                fact(line, period, f"qualified_output:{product}", made * 0.97, unit, digits)
            fact("acme", period, "gross_output_value", near(1500), "万元")
            fact("acme", period, "value_added", near(400), "万元")
    return RightPlant(tree, facts, ["2023", "2023-05"])


METERS = {
    # id: (unit, resolution, kWh or m3 per quarter hour in secondary terms, first index)
    "main": ("kWh", "0.01", 5.0, 4000.0),
    "line-a": ("kWh", "0.01", 125.0, 700_000.0),
    "line-b": ("kWh", "0.01", 75.0, 310_000.0),
    "compressor": ("kWh", "0.01", 2.0, 90_000.0),
    "gas": ("m3", "0.1", 9.0, 75_000.0),
    "office": ("kWh", "0.01", 10.0, 55_000.0),
}
FIRST, LAST = datetime(2023, 1, 29, tzinfo=CHINA), datetime(2023, 3, 3, tzinfo=CHINA)
REPLACED = datetime(2023, 2, 12, 10, 5, tzinfo=CHINA)
RATIO_CHANGED = datetime(2023, 2, 20, 8, 0, tzinfo=CHINA)


def readings():
    """A quarter-hourly index of each meter: line-b's meter is replaced on 12 February, the gas register rolls over at 100 000,
    the compressor's transformer is changed from 20 to 30 on 20 February (its secondary index goes on more slowly)."""
    draw = random.Random(2)
    of_meter = {meter: [] for meter in METERS}
    index = {meter: Decimal(str(values[3])) for meter, values in METERS.items()}
    ends = {}
    at = FIRST
    while at <= LAST:
        busy = 1.25 if 7 <= at.hour < 20 else 0.6
        for meter, (_, resolution, rate, _) in METERS.items():
            if meter == "line-b" and at - timedelta(minutes=15) < REPLACED <= at:
                ends["old_final"], index[meter] = plain(index[meter] + 20), Decimal("12.50")
            of_meter[meter].append((int(at.timestamp() * 1000), index[meter]))
            if meter == "main":
                continue
            slower = Decimal(20) / Decimal(30) if meter == "compressor" and at >= RATIO_CHANGED else Decimal(1)
            step = Decimal(str(rate * busy * draw.uniform(0.9, 1.1))) * slower
            index[meter] = (index[meter] + step).quantize(Decimal(resolution))
            if meter == "gas":
                index[meter] %= 100_000
        # The main meter (CT 50) sees the four sub-meters and a loss.
        used = Decimal(str((125 + 75 + 40 + 10) * busy * draw.uniform(1.0, 1.02)))
        index["main"] = (index["main"] + used / 50).quantize(Decimal("0.01"))
        at += timedelta(minutes=15)
    return of_meter, ends


def metered_plant(lake, ends):
    def meter(id, kind, role, unit, subject=None, **more):
        keys = dict(id=id, point=f"acme/one/{id}/e", energy_kind=kind, role=role, unit=unit)
        return keys | ({"subject": subject} if subject else {}) | more

    tree = dict(
        plant=header(),
        subject=subjects()[:3] + [dict(id="office", kind="area", name="办公楼")],
        energy_kind=[kinds()[1], kinds()[2], kinds()[0]],
        meter=[
            meter("main", "electricity", "incoming", "kWh", ratio=[{"ct": Decimal(50), "pt": Decimal(1)}]),
            meter("line-a", "electricity", "sub", "kWh", "line-a", parent="main"),
            meter(
                "line-b", "electricity", "sub", "kWh", "line-b", parent="main",
                replacement=[dict(at=Bare(REPLACED.isoformat()), old_final=Decimal(ends["old_final"]), new_initial=Decimal("12.50"))],
            ),
            meter(
                "compressor", "electricity", "sub", "kWh", "compressor", parent="main",
                ratio=[
                    {"ct": Decimal(20), "pt": Decimal(1)},
                    {"from": Bare(RATIO_CHANGED.isoformat()), "ct": Decimal(30), "pt": Decimal(1)},
                ],
            ),
            meter("office", "electricity", "sub", "kWh", "office", parent="main"),
            meter("gas", "natural_gas", "incoming", "m3", modulus=Decimal("100000.0")),
        ],
        product=[dict(id="shaft", name="轴", unit="pcs", line="line-a"), dict(id="housing", name="壳体", unit="t", line="line-b")],
        allocation=[shares("compressor", "electricity", 60, 40)],
        coefficient=coefficients([2022])[:1] + coefficients([2022])[2:3],
    )
    return RightPlant(tree, metered_facts(), ["2023-02"], lake)


def metered_facts():
    """February as it was, and a year before it, in which there was no gateway yet: electricity and gas by the bills."""
    february = (
        ("acme", "purchased:raw_coal", "310", "t"), ("line-a", "output:shaft", "18200", "pcs"), ("line-a", "qualified_output:shaft", "17900", "pcs"),
        ("line-b", "output:housing", "905", "t"), ("line-b", "qualified_output:housing", "881", "t"),
        ("acme", "gross_output_value", "1480", "万元"), ("acme", "value_added", "402", "万元"),
    )  # fmt: skip
    bills = (("acme", "purchased:electricity", "64.5", "万kWh"), ("acme", "purchased:natural_gas", "2.30", "万m3"))
    facts, draw = [], random.Random(3)
    for period in [f"2022-{month:02}" for month in range(2, 13)] + ["2023-01"]:
        level = draw.uniform(0.93, 1.07)
        for subject, measure, value, unit in february + bills:
            # What a line makes and what of it is good go up and down together.
            near = level if "output:" in measure else level * draw.uniform(0.97, 1.03)
            exponent = max(Decimal(value).as_tuple().exponent, -2)
            facts.append([subject, period, measure, plain(round(Decimal(value) * Decimal(near), -exponent)), unit, ""])
    facts += [[subject, "2023-02", measure, value, unit, ""] for subject, measure, value, unit in february]
    return facts
