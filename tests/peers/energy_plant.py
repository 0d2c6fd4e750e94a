"""Reads plant.toml and its facts for the independent energy calculator, and resolves coefficients.

The sections named in comments are those of `../shared/notes/energy-rules.md`.
"""

import csv
import tomllib
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

from energy_tables import ANNEX, HEAT_KGCE_PER_MJ, KGCE_KJ, KGOE_KGCE, NEEDS_EQUAL_VALUE, UNITS, annex_class, annex_value, convert


class Refused(Exception):
    """No figure is possible; the text names what is missing or contradictory."""


@dataclass(frozen=True, order=True)
class Period:
    """Whole days from `start` up to, not including, `end`."""

    start: date
    end: date

    @staticmethod
    def parse(text):
        """`2023`, `2023-01`, `2023-01-31`, or a range of two of them, `2023-01..2023-03`."""
        first, dots, last = text.partition("..")
        if dots:
            return Period(Period.parse(first).start, Period.parse(last).end)
        parts = [int(part) for part in text.split("-")]
        if len(parts) == 1:
            return Period(date(parts[0], 1, 1), date(parts[0] + 1, 1, 1))
        if len(parts) == 2:
            year, month = parts
            return Period(date(year, month, 1), date(year + month // 12, month % 12 + 1, 1))
        day = date(*parts)
        return Period(day, day + timedelta(days=1))

    def covers(self, other):
        return self.start <= other.start and other.end <= self.end

    def meets(self, other):
        return self.start < other.end and other.start < self.end


@dataclass
class Fact:
    subject: str
    period: Period
    measure: str
    value: Fraction
    unit: str
    batch: str | None = None

    @property
    def flow(self):
        return self.measure.partition(":")[0]

    @property
    def about(self):
        return self.measure.partition(":")[2]


@dataclass
class Plant:
    settings: dict
    kinds: dict
    subjects: dict
    products: dict
    allocations: list
    coefficients: list
    facts: list = field(default_factory=list)
    index: dict | None = None

    @staticmethod
    def read(plant_file):
        plant_file = Path(plant_file)
        # Decimals stay text until they are a fraction: no float anywhere.
        tree = tomllib.loads(plant_file.read_text(encoding="utf-8"), parse_float=Fraction)
        by_id = lambda key: {entry["id"]: entry for entry in tree.get(key, [])}
        plant = Plant(
            settings=tree["plant"],
            kinds=by_id("energy_kind"),
            subjects=by_id("subject"),
            products=by_id("product"),
            allocations=tree.get("allocation", []),
            coefficients=tree.get("coefficient", []),
        )
        for name in plant.settings.get("facts", []):
            plant.facts += read_facts(plant_file.parent / name)
        return plant

    @property
    def enterprise(self):
        return self.settings["enterprise"]

    @property
    def edition(self):
        return self.settings["edition"]

    def find(self, flow, about=None, subject=None, period=None):
        """Facts of a flow, kind or product, and subject that lie in the period."""
        return [
            fact
            for fact in self.of_flow(flow, about)
            if (subject is None or fact.subject == subject)
            and (period is None or period.covers(fact.period))
        ]

    def of_flow(self, flow, about):
        if self.index is None:
            self.index = {}
            for fact in self.facts:
                self.index.setdefault((fact.flow, None), []).append(fact)
                self.index.setdefault((fact.flow, fact.about), []).append(fact)
        return self.index.get((flow, about), [])

    def with_ancestors(self, subject):
        """The subject and all that it lies in; what equipment of a line uses is the line's."""
        while subject is not None:
            yield subject
            subject = self.subjects.get(subject, {}).get("parent")

    def coefficient_key(self, kind):
        return self.kinds[kind].get("coefficient", kind)

    def is_excluded(self, kind):
        return self.kinds[kind].get("treatment") == "excluded"

    def energy_class(self, kind):
        """primary, secondary or medium: of the site's row where it states one, else of the annex."""
        key = self.coefficient_key(kind)
        for row in self.coefficients:
            if row["energy_kind"] == key and "class" in row:
                return row["class"]
        return annex_class(key) or ("secondary" if kind_is_steam(self.kinds[kind]) else None)

    def tce(self, fact, kind, basis):
        """tce of a fact's quantity, by the coefficient of the fact's own period and batch."""
        if self.is_excluded(kind):
            return Fraction(0)
        return self.base_quantity(fact, kind) * self.resolve(kind, basis, fact.period, fact.batch) / 1000

    def base_quantity(self, fact, kind):
        """In kg, m3, kWh or MJ; by the kind's own conversion where the coefficient's dimension is another one."""
        return convert(self.in_kind_unit(fact.value, fact.unit, kind), self.kinds[kind]["unit"], self.base_unit(kind))

    def in_kind_unit(self, value, unit, kind):
        wanted = self.kinds[kind]["unit"]
        if UNITS[unit][0] != UNITS[wanted][0]:
            value, unit = self.converted(value, unit, kind, UNITS[wanted][0])
        return convert(value, unit, wanted)

    def base_unit(self, kind):
        return {"mass": "kg", "volume": "m3", "electric": "kWh", "heat": "MJ"}[UNITS[self.kinds[kind]["unit"]][0]]

    def converted(self, value, unit, kind, dimension):
        for rule in self.kinds[kind].get("conversion", []):
            if UNITS[rule["from"]][0] == UNITS[unit][0] and UNITS[rule["to"]][0] == dimension:
                return convert(value, unit, rule["from"]) * Fraction(rule["factor"]), rule["to"]
            if UNITS[rule["to"]][0] == UNITS[unit][0] and UNITS[rule["from"]][0] == dimension:
                return convert(value, unit, rule["to"]) / Fraction(rule["factor"]), rule["from"]
        raise Refused(f"{kind}: {unit} has no conversion")

    def resolve(self, kind, basis, period, batch=None):
        """kgce per base unit of the kind (section 5): the site's row that fits wholly; a site's row that fits only partly
        is an error; the annex only where the site states nothing for this key and role."""
        key = self.coefficient_key(kind)
        own_equal = key in NEEDS_EQUAL_VALUE or kind_is_steam(self.kinds[kind])
        roles = {"equal_value"} if basis == "equal_value" and own_equal else {"equivalent", "medium"}
        rows = [row for row in self.coefficients if row["energy_kind"] == key and row["role"] in roles]
        if rows:
            return self.per_base_unit(kind, self.row_that_fits(rows, key, basis, period, batch))
        if basis == "equal_value" and own_equal:
            raise Refused(f"{key} {self.edition} {basis} {period.start}: no row")
        if self.kinds[kind].get("steam_rule") == "enthalpy":
            return self.steam_by_enthalpy(kind)
        value = annex_value(key, self.edition)
        if value is None:
            raise Refused(f"{key} {self.edition} {basis}: no single value is printed")
        return self.per_kind_base(kind, value, annex_base(key))

    def row_that_fits(self, rows, key, basis, period, batch):
        of_batch = [row for row in rows if row.get("batch") is not None and row.get("batch") == batch]
        rows = of_batch or [row for row in rows if row.get("batch") is None]
        fitting = [row for row in rows if self.row_covers(row, period)]
        if len(fitting) != 1:
            raise Refused(f"{key} {self.edition} {basis} {period.start}..{period.end} batch {batch}: {len(fitting)} rows fit")
        row = fitting[0]
        if row["role"] == "equal_value" and row.get("coal_rate_kind") == "net" and not row.get("override_reason"):
            raise Refused(f"{key}: a net coal rate is no 等价 value")
        return row

    def row_covers(self, row, period):
        if "edition" in row and str(row["edition"]) != self.edition:
            return False
        if "data_year" in row:
            # 2008: the current year's coal rate; 2020: the previous year's (section 2).
            years = {period.start.year, (period.end - timedelta(days=1)).year}
            wanted = row["data_year"] + (1 if self.edition == "2020" else 0)
            if years != {wanted}:
                return False
        if "valid_from" in row and row["valid_from"] > period.start:
            return False
        return not ("valid_to" in row and row["valid_to"] + timedelta(days=1) < period.end)

    def per_base_unit(self, kind, row):
        if "value" in row:
            kgce = Fraction(row["value"]) * {"kgce": 1, "tce": 1000, "kgoe": KGOE_KGCE}[row.get("value_unit", "kgce")]
        else:
            constant = KGCE_KJ[self.settings["rule_set"], self.edition]
            kgce = Fraction(row["heat_value"]) * {"kJ": 1, "MJ": 1000}[row["heat_unit"].partition("/")[0]] / constant
        return self.per_kind_base(kind, kgce / UNITS[row["unit"]][1], base_of(row["unit"]))

    def per_kind_base(self, kind, value, unit):
        """A value per base unit of another dimension (water: per t, counted in m3) by the kind's conversion."""
        wanted = self.base_unit(kind)
        if UNITS[unit][0] == UNITS[wanted][0]:
            return value
        quantity, there = self.converted(Fraction(1), wanted, kind, UNITS[unit][0])
        return value * convert(quantity, there, unit)

    def steam_by_enthalpy(self, kind):
        """kJ/kg, less the feed water's, are MJ/t; x 0.03412 kgce/MJ."""
        settings = self.kinds[kind]
        heat = Fraction(settings["steam_kj_per_kg"]) - Fraction(settings.get("feed_kj_per_kg", 0))
        return heat * HEAT_KGCE_PER_MJ / 1000


def kind_is_steam(settings):
    return "steam_rule" in settings


def base_of(unit):
    return {"mass": "kg", "volume": "m3", "electric": "kWh", "heat": "MJ"}[UNITS[unit][0]]


def annex_base(key):
    return base_of(ANNEX[key][1])


def read_facts(path):
    facts = []
    with open(path, encoding="utf-8-sig", newline="") as rows:
        for row in csv.DictReader(rows):
            facts.append(
                Fact(
                    subject=row["subject"],
                    period=Period.parse(row["period"]),
                    measure=row["measure"],
                    value=Fraction(row["value"]),
                    unit=row["unit"],
                    batch=row.get("batch") or None,
                )
            )
    return facts
