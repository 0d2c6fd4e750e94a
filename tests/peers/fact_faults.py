"""Faults that people type into the table of facts."""

from decimal import Decimal

from fault_kinds import DECLARED, METERED, MEASURE, OTHER_UNITS, PERIOD, SUBJECT, UNIT, VALUE, a_fact, fault, shown, slip, typed
from random_plants import plain


@fault(DECLARED, METERED)
def digit_slip(plant, draw):
    row = a_fact(plant, draw)
    return typed(row, VALUE, slip(row[VALUE], draw))


@fault(DECLARED)
def digits_swapped(plant, draw):
    for _ in range(50):
        row = a_fact(plant, draw)
        digits = row[VALUE]
        if len(digits) > 2 and digits[0] != digits[1] and "." not in digits[:2]:
            return typed(row, VALUE, digits[1] + digits[0] + digits[2:])
    return None


@fault(DECLARED, METERED)
def factor_10(plant, draw):
    row = a_fact(plant, draw)
    factor = draw.choice([Decimal(10), Decimal("0.1")])
    return typed(row, VALUE, plain(Decimal(row[VALUE]) * factor))


@fault(DECLARED, METERED)
def factor_1000(plant, draw):
    row = a_fact(plant, draw)
    return typed(row, VALUE, plain(Decimal(row[VALUE]) * draw.choice([Decimal(100), Decimal(1000), Decimal("0.001")])))


@fault(DECLARED, METERED)
def factor_10_000(plant, draw):
    row = a_fact(plant, draw)
    return typed(row, VALUE, plain(Decimal(row[VALUE]) * draw.choice([Decimal(10_000), Decimal("0.0001")])))


@fault(DECLARED)
def point_left_out(plant, draw):
    rows = [row for row in plant.facts if "." in row[VALUE] and row[PERIOD].startswith(plant.periods[0])]
    row = draw.choice(rows)
    return typed(row, VALUE, row[VALUE].replace(".", ""))


@fault(DECLARED, METERED)
def unit_of_fact(plant, draw):
    row = a_fact(plant, draw)
    return typed(row, UNIT, draw.choice(OTHER_UNITS[row[UNIT]]))


@fault(DECLARED)
def period_of_other_month(plant, draw):
    row = a_fact(plant, draw)
    month = draw.choice([number for number in range(1, 13) if f"{number:02}" != row[PERIOD][5:]])
    return typed(row, PERIOD, f"{row[PERIOD][:4]}-{month:02}")


@fault(DECLARED, METERED)
def period_of_other_year(plant, draw):
    row = a_fact(plant, draw)
    return typed(row, PERIOD, f"{int(row[PERIOD][:4]) + draw.choice([-1, 1])}{row[PERIOD][4:]}")


@fault(DECLARED, METERED)
def month_left_out_of_period(plant, draw):
    row = a_fact(plant, draw)
    return typed(row, PERIOD, row[PERIOD][:4])


@fault(DECLARED, METERED)
def row_left_out(plant, draw):
    row = a_fact(plant, draw)
    plant.facts.remove(row)
    return f"{shown(row)} left out"


@fault(DECLARED, METERED)
def row_twice(plant, draw):
    row = a_fact(plant, draw)
    plant.facts.append(list(row))
    return f"{shown(row)} twice"


@fault(DECLARED)
def row_twice_corrected(plant, draw):
    row = a_fact(plant, draw)
    other = list(row)
    other[VALUE] = plain(round(Decimal(row[VALUE]) * Decimal("1.07"), 2))
    plant.facts.append(other)
    return f"{shown(row)} and again {other[VALUE]}"


@fault(DECLARED)
def row_again_for_the_year(plant, draw):
    row = a_fact(plant, draw, "purchased", "consumed", "gross_output_value")
    other = list(row)
    other[PERIOD], other[VALUE] = row[PERIOD][:4], plain(Decimal(row[VALUE]) * 12)
    plant.facts.append(other)
    return f"{shown(row)} and the year {other[VALUE]}"


@fault(DECLARED)
def values_of_two_rows_swapped(plant, draw):
    row, other = a_fact(plant, draw), a_fact(plant, draw)
    if row is other or row[VALUE] == other[VALUE]:
        return None
    row[VALUE], other[VALUE] = other[VALUE], row[VALUE]
    return f"{shown(row)} and {shown(other)} have each other's value"


@fault(DECLARED)
def columns_swapped(plant, draw):
    left, right = draw.choice([(SUBJECT, MEASURE), (VALUE, UNIT), (PERIOD, VALUE), (SUBJECT, PERIOD), (UNIT, 5)])
    if draw.random() < 0.5:
        plant.header[left], plant.header[right] = plant.header[right], plant.header[left]
        return f"header: {plant.header}"
    row = a_fact(plant, draw)
    row[left], row[right] = row[right], row[left]
    return f"columns of a row: {row}"


FLOWS = {
    "purchased": ["consumed", "own", "exported", "generated", "opening_stock"],
    "consumed": ["purchased", "own", "exported"],
    "own": ["purchased", "generated", "consumed"],
    "output": ["qualified_output"],
    "qualified_output": ["output"],
    "gross_output_value": ["value_added"],
    "value_added": ["gross_output_value"],
}


@fault(DECLARED, METERED)
def measure_of_fact(plant, draw):
    row = a_fact(plant, draw)
    flow, colon, about = row[MEASURE].partition(":")
    return typed(row, MEASURE, draw.choice(FLOWS[flow]) + colon + about)


@fault(DECLARED)
def measure_of_all_months(plant, draw):
    """The whole column of a flow typed under another name, as a copied formula does."""
    row = a_fact(plant, draw)
    before, (flow, colon, about) = row[MEASURE], row[MEASURE].partition(":")
    subject, wanted = row[SUBJECT], draw.choice(FLOWS[flow]) + colon + about
    for other in plant.facts:
        if other[MEASURE] == before and other[SUBJECT] == subject:
            other[MEASURE] = wanted
    return f"{subject} {before} -> {wanted} in all months"


@fault(DECLARED)
def unit_of_all_months(plant, draw):
    row = a_fact(plant, draw)
    measure, subject, unit = row[MEASURE], row[SUBJECT], draw.choice(OTHER_UNITS[row[UNIT]])
    for other in plant.facts:
        if other[MEASURE] == measure and other[SUBJECT] == subject:
            other[UNIT] = unit
    return f"{subject} {measure} in {unit} in all months"


@fault(DECLARED)
def kind_or_product_of_fact(plant, draw):
    row = a_fact(plant, draw, "purchased", "consumed", "own", "output", "qualified_output")
    flow, _, about = row[MEASURE].partition(":")
    table = "product" if "output" in flow else "energy_kind"
    return typed(row, MEASURE, f"{flow}:{draw.choice([entry['id'] for entry in plant.tree[table] if entry['id'] != about])}")


@fault(DECLARED)
def subject_of_fact(plant, draw):
    row = a_fact(plant, draw)
    subjects = ["acme"] + [entry["id"] for entry in plant.tree["subject"]]
    return typed(row, SUBJECT, draw.choice([id for id in subjects if id != row[SUBJECT]]))


@fault(DECLARED)
def sign_or_comma(plant, draw):
    row = a_fact(plant, draw)
    return typed(row, VALUE, draw.choice(["-" + row[VALUE], row[VALUE].replace(".", ","), "１２" + row[VALUE], row[VALUE] + "e3", row[VALUE] + "."]))
