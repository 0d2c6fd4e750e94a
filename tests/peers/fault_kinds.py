"""Faults that people type: each takes a right plant and changes one thing in it, or returns None where the plant has none such.

Each function: (plant, draw) -> a short text of what was typed. Facts are rows: subject, period, measure, value, unit, note.
"""

SUBJECT, PERIOD, MEASURE, VALUE, UNIT = range(5)
DECLARED, METERED = "declared", "metered"
FAULTS = []


def fault(*plants):
    """Registers a kind of fault for the plants in which it can happen."""

    def register(function):
        FAULTS.extend((plant, function) for plant in plants)
        return function

    return register


def a_fact(plant, draw, *flows):
    """A fact of the first period that is looked at."""
    rows = [row for row in plant.facts if row[PERIOD].startswith(plant.periods[0])]
    rows = [row for row in rows if not flows or row[MEASURE].partition(":")[0] in flows]
    return draw.choice(rows) if rows else None


def shown(row):
    return f"{row[SUBJECT]} {row[PERIOD]} {row[MEASURE]} {row[VALUE]} {row[UNIT]}"


def typed(row, column, text):
    before = shown(row)
    row[column] = text
    return f"{before} -> {text}"


def slip(text, draw):
    """Another digit in the place of one of the first two."""
    places = [place for place, digit in enumerate(text) if digit.isdigit()][:2]
    place = draw.choice(places)
    other = draw.choice([digit for digit in "123456789" if digit != text[place]])
    return text[:place] + other + text[place + 1 :]


OTHER_UNITS = {"t": ["kg", "万t"], "万kWh": ["kWh", "MWh"], "万m3": ["m3"], "GJ": ["MJ", "kWh"], "m3": ["万m3", "t"], "pcs": ["t"], "万元": ["元", "亿元"]}
