"""Independent energy figures of a plant of declared facts, written from the rules (`../shared/notes/energy-rules.md`) alone.

Shares nothing with the product. Numbers are fractions; a figure that the rules do not allow is a `Refused`.
Every quantity takes the coefficient of the period (and batch) of its own fact, so that the year is the sum of its months.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from fractions import Fraction

from energy_plant import Period, Plant, Refused
from energy_tables import convert

BASES = ("equivalent", "equal_value")
OUTPUT, VALUE_ADDED = "gross_output_value", "value_added"


@dataclass(frozen=True)
class Answers:
    """What the rules leave open, answered as an auditor would. The other answers are those that the product may give."""

    # Own *primary* electricity is primary energy in the subtotals, whatever class the annex gives the electricity that is bought.
    generated_is_primary: bool = True
    # What each month consumed takes the month's coefficient, stocks included, so that a year is the sum of its months. Else the
    # first opening and the last closing stock take the coefficients of their months, and those between are left out.
    stocks_by_month: bool = True
    # A stock has the coefficient of the whole period of its fact. Else that of the day on which it was measured: the first of an
    # opening, the last of a closing stock.
    stocks_by_period: bool = True


OTHER_ANSWERS = Answers(stocks_by_month=False, stocks_by_period=False)


class NotTold(Exception):
    """The rules do not tell the value: something is missing, and the figure must say that it is not complete."""


@dataclass
class Figures:
    """Name -> Fraction, or a text that says why there is none; and name -> whether it is complete, where the rules tell."""

    values: dict = field(default_factory=dict)
    complete: dict = field(default_factory=dict)
    not_told: set = field(default_factory=set)
    must_say: set = field(default_factory=set)  # names of figures that need a note, or be incomplete

    def put(self, name, compute):
        try:
            self.values[name] = compute()
        except NotTold:
            self.not_told.add(name)
        except Refused as refused:
            self.values[name] = f"refused: {refused}"


def total(values):
    return sum(values, Fraction(0))


def export_source(plant, kind):
    """What export is taken off: what is stated, else generated, own or purchased, in this order; a kind with both made flows needs a statement."""
    stated = plant.kinds[kind].get("exported_from")
    has = {flow: bool(plant.find(flow, kind)) for flow in ("generated", "own")}
    if stated:
        return stated
    if has["generated"] and has["own"] and plant.find("exported", kind):
        raise Refused(f"{kind}: exported_from is needed, the kind is generated and made")
    return "generated" if has["generated"] else "own" if has["own"] else "purchased"


class Table1:
    """Rows of the enterprise in one period: quantity in the kind's unit, tce per basis."""

    def __init__(self, plant, period, answers=Answers()):
        self.plant, self.period, self.answers = plant, period, answers

    def facts(self, flow, kind):
        return self.plant.find(flow, kind, period=self.period)

    def ends(self, flow, kind):
        """Of stocks, the opening of the first and the closing of the last period of each subject; of other flows, all facts."""
        facts = sorted(self.facts(flow, kind), key=lambda fact: fact.period)
        if flow == "opening_stock":
            facts.reverse()
        return list({fact.subject: fact for fact in facts}.values()) if flow.endswith("_stock") else facts

    def quantity(self, flow, kind):
        return total(self.plant.in_kind_unit(fact.value, fact.unit, kind) for fact in self.ends(flow, kind))

    def tce(self, flow, kind, basis):
        return total(self.tce_of(fact, kind, basis) for fact in self.ends(flow, kind))

    def tce_of(self, fact, kind, basis):
        if fact.flow.endswith("_stock") and not self.answers.stocks_by_period:
            one = timedelta(days=1)
            first, last = fact.period.start, fact.period.end - one
            day = first if fact.flow == "opening_stock" else last
            fact = replace(fact, period=Period(day, day + one))
        return self.plant.tce(fact, kind, basis)

    def tce_of_months(self, flow, kind, basis):
        facts = self.facts(flow, kind) if self.answers.stocks_by_month else self.ends(flow, kind)
        return total(self.tce_of(fact, kind, basis) for fact in facts)

    def has(self, flow, kind):
        """Whether the plant states this flow at all, in whatever period."""
        return bool(self.plant.find(flow, kind))

    def is_made_only(self, kind):
        return (self.has("own", kind) or self.has("generated", kind)) and not self.has("purchased", kind)

    def generated_class(self, kind):
        return "primary" if self.answers.generated_is_primary else self.plant.energy_class(kind)

    def classes(self):
        """Classes of the kinds that enter the total; what is only made on site enters none, nor what is not converted."""
        made = lambda kind: self.is_made_only(kind) and not self.has("generated", kind)
        kinds = [kind for kind in self.plant.kinds if not made(kind) and not self.plant.is_excluded(kind)]
        there = {self.plant.energy_class(kind) for kind in kinds}
        there |= {self.generated_class(kind) for kind in kinds if self.has("generated", kind)}
        return [name for name in ("primary", "secondary", "medium") if name in there]

    def known_quantity(self, flow, kind):
        """No data is not 0 (trap 4)."""
        if not self.facts(flow, kind):
            raise Refused(f"{flow}:{kind} is not given for this period")
        return self.quantity(flow, kind)

    def known_tce(self, flow, kind, basis):
        self.known_quantity(flow, kind)
        return self.tce(flow, kind, basis)

    def check_stocks(self, kind):
        """A closing that is not the next opening is refused: the difference is consumed by nobody."""
        closing = {}
        for fact in self.plant.find("closing_stock", kind):
            closing[(fact.subject, fact.period.end)] = self.plant.in_kind_unit(fact.value, fact.unit, kind)
        for fact in self.plant.find("opening_stock", kind):
            before = closing.get((fact.subject, fact.period.start))
            if before is not None and before != self.plant.in_kind_unit(fact.value, fact.unit, kind):
                raise Refused(f"{kind}: the opening stock of {fact.period.start} is not the closing stock before it")

    def bought_quantity(self, kind):
        """Enterprise consumption = purchased + opening - closing (section 1), before what was resold."""
        self.check_stocks(kind)
        return self.quantity("purchased", kind) + self.quantity("opening_stock", kind) - self.quantity("closing_stock", kind)

    def bought(self, kind, basis):
        self.check_stocks(kind)
        opening, closing = (self.tce_of_months(flow, kind, basis) for flow in ("opening_stock", "closing_stock"))
        return self.tce("purchased", kind, basis) + opening - closing

    def check_export(self, kind):
        exported, source = self.quantity("exported", kind), export_source(self.plant, kind)
        there = self.bought_quantity(kind) if source == "purchased" else self.quantity(source, kind)
        if exported > there:
            raise Refused(f"{kind}: {exported} exported, {there} {source}")

    def of_kind(self, kind, basis, with_generated=True):
        """tce of a kind in the total. Own secondary energy is in its fuel already and enters no total; its export leaves."""
        if not self.is_made_only(kind):
            self.known_quantity("purchased", kind)
        for flow in ("generated", "exported"):
            if self.has(flow, kind):
                self.known_quantity(flow, kind)
        self.check_export(kind)
        exported = self.tce("exported", kind, basis)
        generated = self.tce("generated", kind, basis)
        if with_generated:
            return self.bought(kind, basis) + generated - exported
        return self.bought(kind, basis) - (exported if export_source(self.plant, kind) != "generated" else 0)

    def total(self, basis, with_generated=True):
        if not self.classes():
            raise Refused("nothing belongs to it")
        value = total(self.of_kind(kind, basis, with_generated) for kind in self.plant.kinds)
        if value < 0:
            raise Refused("more left than came in: the total would be negative")
        return value

    def of_class(self, energy_class, basis):
        value = Fraction(0)
        for kind in self.plant.kinds:
            if self.plant.energy_class(kind) == energy_class:
                value += self.of_kind(kind, basis, with_generated=False)
            if self.generated_class(kind) == energy_class and self.has("generated", kind):
                value += self.of_kind(kind, basis) - self.of_kind(kind, basis, with_generated=False)
        return value

    def intensity(self, measure, basis):
        """tce per 万元; undefined for a denominator of zero or less, never infinite."""
        denominator = self.money(measure)
        if denominator <= 0:
            raise Refused(f"{measure} is {denominator}: undefined")
        return self.total(basis) / denominator

    def money(self, measure):
        facts = self.plant.find(measure, period=self.period)
        if not facts:
            raise Refused(f"{measure} is not given for this period")
        return total(convert(fact.value, fact.unit, "万元") for fact in facts)


class UnitProduct:
    """Energy of lines and products in one period (sections 1 and 4): what a line consumed, and its shares by declared keys."""

    def __init__(self, plant, period, answers=Answers()):
        self.plant, self.period, self.answers = plant, period, answers
        self.table = Table1(plant, period, answers)
        self.parts_of = {}

    def lines(self):
        return [id for id, subject in self.plant.subjects.items() if subject.get("kind") == "line"]

    def parts(self, line):
        """(kind, fact, share) of all energy that counts for the line: what it used, its shares by declared keys, and of what was
        made on site, the input energy of its makers by actual input ÷ output (section 4)."""
        if line not in self.parts_of:
            waiting, done = list(self.used(line)), []
            while waiting:
                kind, fact, share = waiting.pop()
                done.append((kind, fact, share))
                waiting += self.inputs(kind, fact, share)
            self.parts_of[line] = done
        return self.parts_of[line]

    def used(self, line):
        for fact in self.plant.find("consumed", period=self.period):
            if line in self.plant.with_ancestors(fact.subject):
                yield fact.about, fact, Fraction(1)
        for key in self.plant.allocations:
            weights = {share["to"]: Fraction(share["weight"]) for share in key["share"]}
            if line in weights:
                share = weights[line] / total(weights.values())
                for fact in self.plant.find("consumed", key["energy_kind"], key["from"], self.period):
                    yield fact.about, fact, share

    def inputs(self, kind, fact, share):
        """What makers used for the made part of this use, but for what their own keys divide."""
        made = 1 - self.counted_share(kind)
        makers = self.makers(kind)
        if made == 0 or makers is None:
            return
        amount = self.plant.in_kind_unit(fact.value, fact.unit, kind) * share * made
        of_output = amount / self.table.quantity("own", kind)
        divided = {(key["from"], key["energy_kind"]) for key in self.plant.allocations}
        for maker in makers:
            for consumed in self.plant.find("consumed", subject=maker, period=self.period):
                if (maker, consumed.about) not in divided and consumed.about != kind:
                    yield consumed.about, consumed, of_output

    def makers(self, kind):
        """Subjects that made a kind: stated, or those that its own quantity is given for; None where the plant does not tell."""
        stated = self.plant.kinds[kind].get("made_by")
        if stated is not None:
            return stated
        given = {fact.subject for fact in self.plant.find("own", kind)}
        if all(self.plant.subjects.get(subject, {}).get("kind") in ("equipment", "area", "line") for subject in given):
            return sorted(given)
        return None

    def counted_share(self, kind):
        """Part of a kind's use that is energy not counted elsewhere. What is made on site from other energy is in that energy;
        where some is bought too, lines use both in the proportion of the supply."""
        if not self.table.has("own", kind):
            return Fraction(1)
        used = {"own": self.table.quantity("own", kind), "generated": self.table.quantity("generated", kind)}
        used["purchased"] = self.table.bought_quantity(kind)
        used[export_source(self.plant, kind)] -= self.table.quantity("exported", kind)
        # Where more was exported than made, Table 1 has no total; the lines used none of what was made, never less than none.
        used["own"] = max(used["own"], Fraction(0))
        everything = total(used.values())
        return Fraction(1) if everything == 0 else 1 - used["own"] / everything

    def tce(self, line, basis, of_kind=None):
        if self.is_complete(line) is False or self.has_unknown_makers(line):
            raise NotTold("what made it is missing")
        if of_kind is None and not any(self.counted_share(kind) and not self.plant.is_excluded(kind) for kind, _, _ in self.parts(line)):
            raise Refused(f"nothing is given for {line}, or only what was made on site, or what is not converted")
        return total(
            self.plant.tce(fact, kind, basis) * share * self.counted_share(kind)
            for kind, fact, share in self.parts(line)
            if of_kind in (None, kind) and self.counted_share(kind) != 0
        )

    def has_unknown_makers(self, line):
        return any(self.counted_share(kind) < 1 and self.makers(kind) is None for kind, _, _ in self.parts(line))

    def quantity(self, line, kind):
        if self.has_unknown_makers(line):
            raise NotTold("what its makers used is missing")
        return total(
            self.plant.in_kind_unit(fact.value, fact.unit, kind) * share
            for used, fact, share in self.parts(line)
            if used == kind
        )

    def is_complete(self, line):
        """False: the line uses what was made on site, and the plant does not say who made it, or of what. None: a key leaves this
        line out that divides what the maker used, or is that of a maker that is not named; the rules do not tell."""
        used = {kind for kind, _, _ in self.parts(line)}
        complete = None if any(self.exports_more_than_made(kind) for kind in used) else True
        for kind in {kind for kind in used if self.counted_share(kind) < 1}:
            makers = self.makers(kind)
            if makers is None and any(key["energy_kind"] != kind for key in self.plant.allocations):
                complete = None
                continue
            if not makers or not all(self.plant.find("consumed", subject=maker, period=self.period) for maker in makers):
                return False
            if not self.can_have_made(makers, kind):
                complete = None
            for key in self.plant.allocations:
                if key["from"] in makers and line not in {share["to"] for share in key["share"]}:
                    complete = None
        return complete

    def exports_more_than_made(self, kind):
        """What made it and who used it contradict each other: a line's figure may be called incomplete."""
        source = export_source(self.plant, kind)
        return source != "purchased" and self.table.quantity("exported", kind) > self.table.quantity(source, kind)

    def can_have_made(self, makers, kind):
        """Not more heat content than what the makers used; a medium has a value of its own, not its heat."""
        if self.plant.energy_class(kind) == "medium":
            return True
        try:
            used = [fact for maker in makers for fact in self.plant.find("consumed", subject=maker, period=self.period)]
            used = total(self.plant.tce(fact, fact.about, "equivalent") for fact in used)
            return self.table.tce("own", kind, "equivalent") <= used
        except Refused:
            return False

    def made(self, flow, product):
        facts = self.plant.find(flow, product, period=self.period)
        if not facts:
            raise Refused(f"{product}: {flow} is not given for this period")
        return total(convert(fact.value, fact.unit, self.plant.products[product]["unit"]) for fact in facts)

    def qualified(self, product):
        value = self.made("qualified_output", product)
        if value <= 0:
            raise Refused(f"{product}: qualified output is {value}: undefined")
        return value

    def part_of(self, product, products):
        """A product's part of its line's energy: stated weight x qualified output, of the sum of these."""
        if len(products) == 1:
            return Fraction(1)
        weighed = {id: Fraction(self.plant.products[id]["weight"]) * self.made("qualified_output", id) for id in products}
        if total(weighed.values()) == 0:
            raise Refused("nothing was made")
        return weighed[product] / total(weighed.values())

    def undistributed(self, basis):
        for line in self.lines():
            self.tce(line, basis)
        return self.table.total(basis) - total(self.tce(line, basis) for line in self.lines())


def row_name(period_text, kind, flow):
    return f"table1/{period_text}/{kind}" + ("" if flow == "purchased" else f"/{flow}")


def table1(plant, period, period_text, answers):
    figures, table = Figures(), Table1(plant, period, answers)
    for kind in plant.kinds:
        for flow in ("purchased", "own", "generated", "exported", "opening_stock", "closing_stock"):
            # A row for what was bought, also where nothing is known of it, unless the kind is made on site alone.
            if table.has(flow, kind) or (flow == "purchased" and not table.is_made_only(kind)):
                name = row_name(period_text, kind, flow)
                figures.put(f"{name}/quantity", lambda: table.known_quantity(flow, kind))
                for basis in BASES if flow != "own" else ():
                    figures.put(f"{name}/{basis}", lambda: table.known_tce(flow, kind, basis))
    for basis in BASES:
        figures.put(f"table1/{period_text}/total/{basis}", lambda: table.total(basis))
        name = f"table1/{period_text}/total_without_generated/{basis}"
        figures.put(name, lambda: table.total(basis, with_generated=False))
        for energy_class in table.classes():
            figures.put(f"table1/{period_text}/subtotal/{energy_class}/{basis}", lambda: table.of_class(energy_class, basis))
        for measure, name in ((OUTPUT, "output_value"), (VALUE_ADDED, "value_added")):
            figures.put(f"table1/{period_text}/{name}_intensity/{basis}", lambda: table.intensity(measure, basis))
    for measure in (OUTPUT, VALUE_ADDED):
        figures.put(f"table1/{period_text}/{measure}", lambda: table.money(measure))
    return figures


def unit_product(plant, period, period_text, answers):
    figures, lines = Figures(), UnitProduct(plant, period, answers)
    for line in lines.lines():
        line_figures(figures, lines, line, f"unit-product/{period_text}/{line}")
    for basis in BASES:
        figures.put(f"unit-product/{period_text}/undistributed/{basis}", lambda: lines.undistributed(basis))
        figures.put(f"table1/{period_text}/total/{basis}", lambda: lines.table.total(basis))
    return figures


def line_figures(figures, lines, line, name):
    for basis in BASES:
        figures.put(f"{name}/energy/{basis}", lambda: lines.tce(line, basis))
        if lines.has_unknown_makers(line):
            figures.must_say.add(f"{name}/energy/{basis}")
        if not isinstance(figures.values.get(f"{name}/energy/{basis}"), str):
            figures.complete[f"{name}/energy/{basis}"] = lines.is_complete(line)
    kinds = sorted({kind for kind, _, _ in lines.parts(line)})
    for kind in kinds:
        figures.put(f"{name}/{kind}/quantity", lambda: lines.quantity(line, kind))
        if lines.counted_share(kind) != 0:
            for basis in BASES:
                figures.put(f"{name}/{kind}/{basis}", lambda: lines.tce(line, basis, kind))
    products = [id for id, settings in lines.plant.products.items() if settings["line"] == line]
    for product in products:
        of = name if len(products) == 1 else f"{name}/product/{product}"
        for flow in ("output", "qualified_output"):
            figures.put(f"{of}/{flow}", lambda: lines.made(flow, product))
        for basis in BASES:
            if len(products) > 1:
                figures.put(f"{of}/energy/{basis}", lambda: lines.tce(line, basis) * lines.part_of(product, products))
            per_product = lambda: lines.tce(line, basis) * lines.part_of(product, products) / lines.qualified(product)
            figures.put(f"{of}/{basis}", per_product)
        for kind in kinds:
            figures.put(f"{of}/{kind}", lambda: lines.quantity(line, kind) * lines.part_of(product, products) / lines.qualified(product))


def calculate(plant_file, period_text, answers=Answers()):
    """All figures of `kpi table1`, `intensity` and `unit-product` by the names that the product gives them."""
    plant, period = Plant.read(plant_file), Period.parse(period_text)
    return table1(plant, period, period_text, answers), unit_product(plant, period, period_text, answers)
