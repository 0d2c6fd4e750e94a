"""Random plants of declared facts, deterministic by seed: plant.toml and facts.csv in a folder.

    python random_plants.py 17 FOLDER                      # plant 17, with everything
    python random_plants.py 17 FOLDER generated stocks     # with these features alone
"""

import random
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

# kind -> (units of the plant file, units of facts, annual quantity in the first unit)
CATALOGUE = {
    "raw_coal": (["t", "kg"], ["t", "kg"], 4000),
    "electricity": (["万kWh", "kWh", "MWh"], ["万kWh", "kWh", "MWh"], 900),
    "natural_gas": (["万m3", "m3"], ["万m3", "m3"], 60),
    "diesel": (["t", "kg"], ["t", "kg"], 90),
    "gasoline": (["t", "kg"], ["t", "kg"], 30),
    "coke": (["t"], ["t", "kg"], 300),
    "lpg": (["t", "kg"], ["t", "kg"], 50),
    "steam": (["t", "kg"], ["t", "kg"], 6000),
    "heat": (["GJ", "MJ"], ["GJ", "MJ"], 9000),
    "water": (["t", "m3"], ["t", "m3"], 52000),
    "compressed_air": (["万m3", "m3"], ["万m3", "m3"], 700),
    "oxygen": (["m3"], ["m3", "万m3"], 40000),
}
MEASURABLE = {"raw_coal": ("0.7143", "kg"), "natural_gas": ("1.2500", "m3"), "diesel": ("1.4571", "kg"), "coke": ("0.9714", "kg")}
UNIT_SIZE = {"t": 1000, "kg": 1, "万kWh": 10_000, "MWh": 1000, "kWh": 1, "万m3": 10_000, "m3": 1, "GJ": 1000, "MJ": 1}
ENTERPRISE = "acme"
# What a plant may have besides what every plant has.
FEATURES = ("generated", "stocks", "batches", "dated", "heat values", "products", "makers not stated")


@dataclass
class RandomPlant:
    seed: int
    features: tuple = FEATURES
    plant: list = field(default_factory=list)
    facts: list = field(default_factory=list)
    remarks: list = field(default_factory=list)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.edition = self.random.choice(["2008", "2020"])
        self.year = self.random.randint(2021, 2024)
        self.monthly = self.random.random() < 0.6
        self.ends_only = False
        self.units = {}
        self.fact_units = {}
        self.plant_header()
        self.subjects()
        self.kinds()
        self.flows()
        self.coefficients()
        self.use()
        self.products()
        self.money()

    def periods(self):
        """The periods to ask for; only the year where stocks are known at its ends alone."""
        if not self.monthly or self.ends_only:
            return [str(self.year)]
        first, last = sorted(self.random.sample(range(1, 13), 2))
        one = f"{self.year}-{first:02}"
        return [str(self.year), one, f"{one}..{self.year}-{last:02}"][: 3 if last - first < 11 else 2]

    def fact_periods(self):
        return [f"{self.year}-{month:02}" for month in range(1, 13)] if self.monthly else [str(self.year)]

    def is_likely(self, probability):
        return self.random.random() < probability

    def states_makers(self, probability):
        return self.is_likely(probability) or "makers not stated" not in self.features

    def table(self, table_name, /, **keys):
        self.plant.append(f"\n[[{table_name}]]")
        for key, value in keys.items():
            if value is not None and value != []:
                self.plant.append(f"{key} = {as_toml(value)}")

    def fact(self, subject, period, measure, value, unit, batch=""):
        self.facts.append([subject, period, measure, plain(value), unit, "", batch])

    def plant_header(self):
        keys = dict(name=f"plant {self.seed}", enterprise=ENTERPRISE, time_zone="Asia/Shanghai")
        keys |= dict(rule_set="GB/T 2589", edition=self.edition, facts=["facts.csv"])
        self.plant.append("[plant]")
        self.plant += [f"{key} = {as_toml(value)}" for key, value in keys.items()]

    def subjects(self):
        self.sites = [f"site-{number}" for number in range(1, self.random.choice([1, 1, 2, 3]) + 1)]
        self.lines = [f"line-{number}" for number in range(1, self.random.randint(1, 4) + 1)]
        self.helpers = [f"helper-{number}" for number in range(1, self.random.choice([0, 1, 1, 2, 3]) + 1)]
        self.inner = {f"inner-{number}": self.random.choice(self.lines) for number in range(1, self.random.choice([0, 0, 1, 2]) + 1)}
        self.home = {id: self.random.choice(self.sites) for id in self.lines + self.helpers + ["boiler", "chp"]}
        for site in self.sites:
            self.table("subject", id=site, kind="site", name=f"site {site}")
        for id in self.lines:
            self.table("subject", id=id, kind="line", parent=self.home[id], name=f"name of {id}")
        for id in self.helpers + ["boiler", "chp"]:
            self.table("subject", id=id, kind="equipment", parent=self.home[id], name=f"name of {id}")
        for id, line in self.inner.items():
            self.table("subject", id=id, kind="equipment", parent=line, name=f"name of {id}")

    def kinds(self):
        self.chosen = self.random.sample(sorted(CATALOGUE), self.random.randint(1, 6))
        if "electricity" not in self.chosen and self.is_likely(0.7):
            self.chosen.append("electricity")
        self.has_boiler = "steam" in self.chosen and self.is_likely(0.5)
        self.has_chp = "electricity" in self.chosen and self.is_likely(0.2)
        if (self.has_boiler or self.has_chp) and "raw_coal" not in self.chosen:
            self.chosen.append("raw_coal")
        self.steam = self.random.choice(["enthalpy", "contract"] + ["fixed"] * (self.edition == "2008"))
        for kind in self.chosen:
            units, fact_units, _ = CATALOGUE[kind]
            self.units[kind] = self.random.choice(units)
            self.fact_units[kind] = self.random.choice(fact_units)
            self.table("energy_kind", **self.kind_keys(kind))

    def kind_keys(self, kind):
        keys = dict(id=kind, name=f"name of {kind}", unit=self.units[kind])
        if kind == "water":
            keys["coefficient"] = "fresh_water"
            keys["treatment"] = self.random.choice([None, None, "annex", "excluded"])
            factor = self.random.choice(["1", "0.998"])
            keys["conversion"] = [{"from": "m3", "to": "t", "factor": Decimal(factor)}]
            if self.units[kind] == "m3":
                self.fact_units[kind] = "m3"  # conversions go one way
        if kind == "natural_gas" and self.edition == "2008":
            keys["coefficient"] = "gasfield_gas"
        if kind == "steam":
            keys["steam_rule"] = self.steam
            if self.steam == "fixed":
                keys["coefficient"] = "steam_low_pressure"
            if self.steam == "enthalpy":
                keys["steam_kj_per_kg"] = self.number(2650, 3400, 2)
                keys["feed_kj_per_kg"] = self.random.choice([None, Decimal("84.01"), self.number(60, 500, 2)])
        if kind == "electricity":
            self.export_source_stated(keys)
            keys["made_by"] = ["chp"] if self.has_chp and self.states_makers(0.5) else None
        if kind == "steam" and self.has_boiler and self.states_makers(0.4):
            keys["made_by"] = ["boiler"]
        return keys

    def export_source_stated(self, keys):
        self.has_generated = "generated" in self.features and self.is_likely(0.45)
        self.exports = self.is_likely(0.5)
        both = self.has_generated and self.has_chp
        if "generated" in self.features and self.exports and (both or self.is_likely(0.25)):
            sources = ["purchased"] + ["generated"] * self.has_generated + ["own"] * self.has_chp
            keys["exported_from"] = self.random.choice(sources)
        self.exported_from = keys.get("exported_from") or (
            "generated" if self.has_generated else "own" if self.has_chp else "purchased"
        )

    def number(self, low, high, digits):
        scale = 10**digits
        return Decimal(self.random.randint(int(low * scale), int(high * scale))) / scale

    def amount(self, kind, share=1.0):
        """A quantity of one fact's period in the fact's unit, with random digits."""
        first_unit, year = CATALOGUE[kind][0][0], CATALOGUE[kind][2]
        in_base = year * UNIT_SIZE[first_unit] * share * self.random.uniform(0.4, 1.6) / len(self.fact_periods())
        digits = self.random.choice([0, 1, 2, 3])
        return round(Decimal(in_base / UNIT_SIZE[self.fact_units[kind]]), digits) + 1

    def flows(self):
        """Quantities that the enterprise bought, made, exported and kept; `self.supply` is what can be used, per kind and period."""
        self.supply = {}
        self.chp_is_metered_at = self.random.choice(["chp", ENTERPRISE])
        for kind in self.chosen:
            unit = self.fact_units[kind]
            made_only = kind == "compressed_air" and self.is_likely(0.4) and "makers not stated" in self.features
            # Steam is made or bought: how a line's use divides between both is a question of its own.
            made_only = made_only or (kind == "steam" and self.has_boiler)
            buyers = self.buyers(kind)
            maker = "boiler" if kind == "steam" and self.is_likely(0.5) else ENTERPRISE
            for period in self.fact_periods():
                there = Decimal(0)
                if made_only:
                    there = self.amount(kind, 0.15 if kind == "steam" else 1)
                    self.fact(maker, period, f"own:{kind}", there, unit)
                else:
                    for buyer in buyers:
                        there += self.bought(kind, buyer, period)
                if kind == "electricity":
                    there += self.made_electricity(period, there)
                self.supply[kind, period] = there
            if "stocks" in self.features and not made_only and kind in MEASURABLE and self.is_likely(0.4):
                self.stocks(kind, buyers)

    def buyers(self, kind):
        if len(self.sites) > 1 and self.is_likely(0.4):
            return self.random.sample(self.sites, self.random.randint(1, len(self.sites)))
        return [ENTERPRISE]

    def bought(self, kind, buyer, period):
        unit, amount = self.fact_units[kind], self.amount(kind)
        if self.has_batches(kind):
            parts = {"B1": amount / 4, "B2": amount - amount / 4}
            for batch, part in parts.items():
                self.fact(buyer, period, f"purchased:{kind}", part, unit, batch)
        else:
            self.fact(buyer, period, f"purchased:{kind}", amount, unit)
        return amount

    def has_batches(self, kind):
        return "batches" in self.features and kind == "raw_coal" and self.seed % 7 == 3

    def made_electricity(self, period, bought):
        unit, more = self.fact_units["electricity"], Decimal(0)
        made = {"purchased": bought}
        if self.has_generated:
            made["generated"] = self.amount("electricity", 0.3)
            self.fact(ENTERPRISE, period, "generated:electricity", made["generated"], unit)
        if self.has_chp:
            made["own"] = self.amount("electricity", 0.08)
            self.fact(self.chp_is_metered_at, period, "own:electricity", made["own"], unit)
        more += sum(made.values()) - bought
        if self.exports:
            too_much = "generated" in self.features and self.seed % 29 == 11
            exported = round(made[self.exported_from] * (self.number(1.1, 3, 2) if too_much else self.number(0.05, 0.9, 2)), 3)
            self.fact(ENTERPRISE, period, "exported:electricity", exported, unit)
            more -= exported
        return more

    def stocks(self, kind, buyers):
        unit, periods = self.fact_units[kind], self.fact_periods()
        buyer, stock = buyers[0], self.amount(kind, 0.2)
        ends_only = self.monthly and self.is_likely(0.15)
        self.ends_only |= ends_only
        for number, period in enumerate(periods):
            left = self.amount(kind, 0.1)
            if not ends_only or number == 0:
                self.fact(buyer, period, f"opening_stock:{kind}", stock, unit)
            if not ends_only or number == len(periods) - 1:
                self.fact(buyer, period, f"closing_stock:{kind}", left, unit)
                self.supply[kind, period] += stock - left
                # In some plants a closing stock is not the next opening.
                stock = left + (7 if self.seed % 31 == 13 and number == 0 else 0)

    def coefficients(self):
        for kind in self.chosen:
            if kind in ("electricity", "heat", "steam") and self.is_likely(0.8):
                self.equal_value(kind)
            if kind == "steam" and self.steam == "contract":
                value = self.number(0.09, 0.13, 4)
                self.row(kind, "equivalent", value, "kg", cls="secondary")
            if kind in MEASURABLE:
                self.measured(kind)

    def row(self, kind, role, value, unit, cls=None, **keys):
        key = {"water": "fresh_water"}.get(kind, kind)
        if kind == "natural_gas" and self.edition == "2008":
            key = "gasfield_gas"
        if kind == "steam" and self.steam == "fixed":
            key = "steam_low_pressure"
        keys = {"notice": "a document", "evidence": "measured", **keys}
        self.table("coefficient", energy_kind=key, role=role, value=value, unit=unit, **({"class": cls} if cls else {}), **keys)

    def equal_value(self, kind):
        if kind == "electricity":
            data_year = self.year - (self.edition == "2020")
            for year in [data_year] + ([data_year - 1] if self.is_likely(0.3) else []):
                value, unit, value_unit = self.number(0.26, 0.34, 4), "kWh", None
                if self.is_likely(0.5):
                    value, unit, value_unit = value * 10, "万kWh", "tce"
                self.row(kind, "equal_value", value, unit, value_unit=value_unit, region="CN", data_year=year, coal_rate_kind="gross")
        elif kind == "heat":
            data_year = self.year - (self.edition == "2020")
            self.row(kind, "equal_value", self.number(0.0345, 0.045, 4), "MJ", region="CN", data_year=data_year)
        else:
            self.row(kind, "equal_value", self.number(0.13, 0.15, 4), "kg")

    def measured(self, kind):
        """Nothing, one value, two halves of the year, each month, each month but one, by batch, or by heat value."""
        forms = ["none", "one"] + ["halves", "months"] * ("dated" in self.features)
        if kind == "natural_gas" and self.edition == "2020":
            forms.remove("none")
        forms += ["all but one month", "within a month"] * ("dated" in self.features and self.seed % 5 == 0)
        forms += ["heat value"] * ("heat values" in self.features)
        form = "batches" if self.has_batches(kind) else self.random.choice(forms)
        self.remarks.append(f"{kind}: {form}")
        value, unit = MEASURABLE[kind]
        cls = {"raw_coal": "primary", "natural_gas": "primary"}.get(kind, "secondary")
        around = lambda: round(Decimal(value) * self.number(0.92, 1.05, 3), 4)
        year = self.year
        spans = {"one": [(None, None)], "halves": [(f"{year}-01-01", f"{year}-06-30"), (f"{year}-07-01", f"{year}-12-31")]}
        months = [(f"{year}-{month:02}-01", f"{year}-{month:02}-{last_day(year, month):02}") for month in range(1, 13)]
        spans["within a month"] = [(f"{year}-01-01", f"{year}-05-14"), (f"{year}-05-15", f"{year}-12-31")]
        spans |= {"months": months, "all but one month": months[: self.random.randint(1, 11)] + months[-1:]}
        for start, end in spans.get(form, []):
            dates = {} if start is None else {"valid_from": Bare(start), "valid_to": Bare(end)}
            self.row(kind, "equivalent", around(), unit, cls, **dates)
        if form == "batches":
            for batch in ("B1", "B2"):
                self.row(kind, "equivalent", around(), unit, cls, batch=batch)
        if form == "heat value":
            heat = round(around() * Decimal("29.3076"), 3)
            self.row(kind, "equivalent", None, unit, cls, heat_value=heat, heat_unit=f"MJ/{unit}")

    def use(self):
        """What lines and helpers consumed: parts of the supply, and keys that divide the helpers' use."""
        users = self.lines + self.helpers
        for kind in self.chosen:
            self.feed_makers(kind)
            taking = [user for user in users if self.is_likely(0.6)]
            # What a line uses is given at the line, or at the equipment inside it.
            taking += [id for id, line in self.inner.items() if line not in taking and self.is_likely(0.6)]
            for period in self.fact_periods():
                rest = max(self.supply[kind, period], Decimal(0)) * self.number(0.7, 1, 2)
                for user in taking:
                    part = round(rest * self.number(0.1, 0.5, 2), 3)
                    rest -= part
                    self.fact(user, period, f"consumed:{kind}", part, self.fact_units[kind])
            for helper in self.helpers:
                if helper in taking and self.is_likely(0.85):
                    self.key(helper, kind)

    def feed_makers(self, kind):
        makers = ["boiler"] * (self.has_boiler and kind == "raw_coal") + ["chp"] * (self.has_chp and kind == "raw_coal")
        makers += ["boiler"] * (self.has_boiler and kind == "electricity" and self.is_likely(0.4))
        for maker in makers:
            for period in self.fact_periods():
                part = round(max(self.supply[kind, period], Decimal(0)) * self.number(0.1, 0.4, 2), 3)
                self.supply[kind, period] -= part
                self.fact(maker, period, f"consumed:{kind}", part, self.fact_units[kind])
            if self.is_likely(0.8):
                self.key(maker, kind)

    def key(self, maker, kind):
        lines = self.random.sample(self.lines, self.random.randint(1, len(self.lines)))
        weights = [self.random.choice([1, 2, 3, 40, 60, Decimal("12.5")]) for _ in lines]
        share = [dict(to=line, weight=weight) for line, weight in zip(lines, weights)]
        self.table("allocation", **{"from": maker, "energy_kind": kind, "share": share})

    def products(self):
        for line in self.lines:
            if not self.is_likely(0.85):
                continue
            several = "products" in self.features and self.is_likely(0.35)
            for number in range(self.random.randint(2, 3) if several else 1):
                weight = self.random.choice([1, 2, Decimal("0.35"), Decimal("1.8")]) if several else None
                self.product(line, f"product-{number}-of-{line}", self.random.choice(["t", "pcs"]), weight)

    def product(self, line, product, unit, weight):
        self.table("product", id=product, name=f"name of {product}", unit=unit, line=line, weight=weight)
        for period in self.fact_periods():
            made = self.number(10, 5000, self.random.choice([0, 1, 3]) if unit == "t" else 0)
            good = round(made * self.number(0.8, 1, 3), 0)
            good = Decimal(0) if self.is_likely(0.02) else good
            self.fact(line, period, f"output:{product}", made, unit)
            self.fact(line, period, f"qualified_output:{product}", good, unit)

    def money(self):
        for measure, size in (("gross_output_value", 20000), ("value_added", 5000)):
            if self.is_likely(0.9):
                for period in self.fact_periods():
                    value = self.number(size * 0.2, size * 1.5, 2) / len(self.fact_periods())
                    value = Decimal(0) if self.is_likely(0.03) else round(value, 2)
                    if size == 5000 and self.seed % 4 == 0:
                        self.fact(ENTERPRISE, period, measure, value * 10_000, "元")
                    else:
                        self.fact(ENTERPRISE, period, measure, value, "万元")

    def write(self, folder):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plant.toml").write_text("\n".join(self.plant) + "\n", encoding="utf-8")
        with_batch = any(row[6] for row in self.facts)
        header = ["subject", "period", "measure", "value", "unit", "note"] + ["batch"] * with_batch
        lines = [",".join(row[: len(header)]) for row in [header, *self.facts]]
        (folder / "facts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


class Bare(str):
    """A TOML value without quotes, such as a date."""


def as_toml(value):
    if isinstance(value, Bare):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(entry) for entry in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(entry)}" for key, entry in value.items()) + " }"
    return plain(value)


def plain(value):
    """Digits with at most one point, never an exponent."""
    return format(Decimal(value), "f")


def last_day(year, month):
    if month == 2:
        return 29 if year % 4 == 0 else 28
    return 30 if month in (4, 6, 9, 11) else 31


if __name__ == "__main__":
    RandomPlant(int(sys.argv[1]), tuple(sys.argv[3:]) or FEATURES).write(sys.argv[2])
