"""Faults that people type at the meters of the plant file: events, ratios, moduli, parents, roles, points."""

from datetime import datetime, timedelta
from decimal import Decimal

from fault_kinds import METERED, VALUE, fault, slip
from random_plants import Bare, plain


def a_meter(plant, draw, key=None):
    return draw.choice([meter for meter in plant.tree["meter"] if key is None or key in meter])


def the_event(plant):
    meter = next(meter for meter in plant.tree["meter"] if "replacement" in meter)
    return meter, meter["replacement"][0]


@fault(METERED, METERED)
def event_at_other_meter(plant, draw):
    meter, event = the_event(plant)
    other = draw.choice([entry for entry in plant.tree["meter"] if entry is not meter])
    other["replacement"] = meter.pop("replacement")
    return f"replacement at {other['id']} instead of {meter['id']}"


@fault(METERED)
def event_at_second_meter(plant, draw):
    meter, event = the_event(plant)
    other = draw.choice([entry for entry in plant.tree["meter"] if entry is not meter])
    other["replacement"] = [dict(event)]
    return f"replacement at {other['id']} as well as at {meter['id']}"


@fault(METERED)
def event_in_other_zone(plant, draw):
    _, event = the_event(plant)
    offset = draw.choice(["+00:00", "+09:00", "-08:00", "+05:30"])
    event["at"] = Bare(event["at"][:-6] + offset)
    return f"replacement at {event['at']}"


@fault(METERED, METERED)
def event_at_other_time(plant, draw):
    _, event = the_event(plant)
    before = datetime.fromisoformat(event["at"])
    moved = timedelta(**draw.choice([dict(days=1), dict(days=-1), dict(hours=12), dict(days=28), dict(days=-9), dict(days=365), dict(minutes=40), dict(hours=-1)]))
    event["at"] = Bare((before + moved).isoformat())
    return f"replacement {before} -> {event['at']}"


@fault(METERED, METERED)
def event_digit_slip(plant, draw):
    _, event = the_event(plant)
    key = draw.choice(["old_final", "new_initial"])
    before = event[key]
    form = draw.choice(["slip", "factor", "last"])
    if form == "factor":
        event[key] = before * draw.choice([Decimal(10), Decimal("0.1"), Decimal(100)])
    elif form == "last":
        event[key] = before + draw.choice([Decimal(300), Decimal(-300), Decimal(1000), Decimal(5000)])
        event[key] = abs(event[key])
    else:
        event[key] = Decimal(slip(plain(before), draw))
    return f"{key} {before} -> {event[key]}"


@fault(METERED)
def event_left_out_or_swapped(plant, draw):
    meter, event = the_event(plant)
    if draw.random() < 0.5:
        del meter["replacement"]
        return "replacement left out"
    event["old_final"], event["new_initial"] = event["new_initial"], event["old_final"]
    return "old_final and new_initial swapped"


@fault(METERED, METERED)
def ratio_typed(plant, draw):
    meter = a_meter(plant, draw, "ratio")
    entry = draw.choice(meter["ratio"])
    form = draw.choice(["factor", "swap", "slip", "left out", "date", "pt"])
    before = f"{meter['id']} {entry}"
    if form == "factor":
        entry["ct"] *= draw.choice([10, Decimal("0.1"), 2])
    elif form == "swap" or (form == "date" and "from" not in entry):
        entry["ct"], entry["pt"] = entry["pt"], entry["ct"]
    elif form == "slip":
        entry["ct"] = Decimal(slip(plain(entry["ct"]), draw))
    elif form == "pt":
        entry["pt"] = Decimal(100)
    elif form == "left out":
        meter["ratio"].remove(entry)
        if not meter["ratio"] or all("from" in other for other in meter["ratio"]):
            del meter["ratio"]
    else:
        moved = datetime.fromisoformat(entry["from"]) + timedelta(days=draw.choice([-10, -1, 1, 7, 365]))
        entry["from"] = Bare(moved.isoformat())
    return f"ratio {before} -> {meter.get('ratio')}"


@fault(METERED)
def ratio_at_other_meter(plant, draw):
    meter = a_meter(plant, draw, "ratio")
    other = draw.choice([entry for entry in plant.tree["meter"] if "ratio" not in entry])
    if draw.random() < 0.5:
        other["ratio"] = [dict(entry) for entry in meter["ratio"]]
        return f"ratio of {meter['id']} at {other['id']} too"
    other["ratio"] = meter.pop("ratio")
    return f"ratio of {meter['id']} at {other['id']} instead"


@fault(METERED)
def modulus_typed(plant, draw):
    if draw.random() < 0.5:
        meter = a_meter(plant, draw, "modulus")
        before = meter["modulus"]
        meter["modulus"] = draw.choice([before * 10, before * 100, Decimal("99999"), before + 9000])
        return f"modulus of {meter['id']} {before} -> {meter['modulus']}"
    meter = draw.choice([entry for entry in plant.tree["meter"] if "modulus" not in entry])
    meter["modulus"] = draw.choice([Decimal(1_000_000), Decimal(100_000), Decimal(10_000_000)])
    return f"modulus {meter['modulus']} at {meter['id']}"


@fault(METERED, METERED)
def parent_left_out(plant, draw):
    meter = a_meter(plant, draw, "parent")
    del meter["parent"]
    if draw.random() < 0.5:
        meter["role"] = "incoming"
        return f"{meter['id']}: no parent, incoming"
    return f"{meter['id']}: no parent"


@fault(METERED)
def parent_is_another(plant, draw):
    meter = a_meter(plant, draw, "parent")
    meter["parent"] = draw.choice([entry["id"] for entry in plant.tree["meter"] if entry is not meter and entry["id"] != meter["parent"]])
    return f"{meter['id']}: parent {meter['parent']}"


@fault(METERED, METERED)
def role_of_meter(plant, draw):
    meter = a_meter(plant, draw)
    before, meter["role"] = meter["role"], draw.choice([role for role in ("incoming", "sub", "own", "export", "generated") if role != meter["role"]])
    return f"{meter['id']}: role {before} -> {meter['role']}"


@fault(METERED)
def unit_of_meter(plant, draw):
    meter = a_meter(plant, draw)
    before, meter["unit"] = meter["unit"], draw.choice({"kWh": ["MWh", "万kWh"], "m3": ["万m3", "kWh"]}[meter["unit"]])
    return f"{meter['id']}: unit {before} -> {meter['unit']}"


@fault(METERED)
def points_swapped(plant, draw):
    one, other = draw.sample(plant.tree["meter"], 2)
    one["point"], other["point"] = other["point"], one["point"]
    return f"points of {one['id']} and {other['id']} swapped"


@fault(METERED)
def point_twice(plant, draw):
    one, other = draw.sample(plant.tree["meter"], 2)
    one["point"] = other["point"]
    return f"{one['id']} has the point of {other['id']}"


@fault(METERED)
def subject_of_meter(plant, draw):
    meter = a_meter(plant, draw, "subject")
    before = meter.pop("subject")
    names = [entry["id"] for entry in plant.tree["subject"] if entry["id"] != before]
    other = draw.choice([None, *names])
    if other:
        meter["subject"] = other
    return f"{meter['id']}: subject {before} -> {other}"


@fault(METERED)
def kind_of_meter(plant, draw):
    meter = a_meter(plant, draw)
    before, meter["energy_kind"] = meter["energy_kind"], draw.choice([kind for kind in ("electricity", "natural_gas", "raw_coal") if kind != meter["energy_kind"]])
    return f"{meter['id']}: kind {before} -> {meter['energy_kind']}"


@fault(METERED)
def meter_left_out(plant, draw):
    meter = a_meter(plant, draw)
    plant.tree["meter"].remove(meter)
    return f"{meter['id']} left out"


@fault(METERED, METERED)
def time_zone(plant, draw):
    zone = draw.choice(["UTC", "Asia/Tokyo", "Asia/Singapore", "America/Los_Angeles", "Asia/Shangai", "Asia/Urumqi"])
    plant.tree["plant"]["time_zone"] = zone
    return f"time zone {zone}"


@fault(METERED)
def declared_beside_metered(plant, draw):
    plant.facts.append(["acme", "2023-02", "purchased:electricity", draw.choice(["6.46", "646168", "71.2", "40.1"]), "万kWh", ""])
    return f"purchased electricity declared too: {plant.facts[-1][VALUE]} 万kWh"
