"""Faults that people type into the plant file, but for its meters: coefficients, energy kinds, keys, products."""

from datetime import datetime, timedelta
from decimal import Decimal

from fault_kinds import DECLARED, METERED, OTHER_UNITS, fault, slip
from random_plants import Bare, plain


@fault(DECLARED, METERED)
def coefficient_factor(plant, draw):
    row = draw.choice(plant.tree["coefficient"])
    before, factor = row["value"], draw.choice([Decimal(10), Decimal("0.1"), Decimal(1000), Decimal("0.001")])
    row["value"] = before * factor
    return f"coefficient {row['energy_kind']} {row['role']}: {before} -> {row['value']}"


@fault(DECLARED, METERED)
def coefficient_digit_slip(plant, draw):
    row = draw.choice(plant.tree["coefficient"])
    before = row["value"]
    row["value"] = Decimal(slip(plain(before).lstrip("0."), draw)).scaleb(before.as_tuple().exponent)
    if row["value"] == before or len(plain(before)) < 2:
        return None
    return f"coefficient {row['energy_kind']} {row['role']}: {before} -> {row['value']}"


@fault(DECLARED, METERED)
def coefficient_of_other_basis(plant, draw):
    row = draw.choice(plant.tree["coefficient"])
    before = row["role"]
    row["role"] = {"equivalent": "equal_value", "equal_value": "equivalent"}[before]
    return f"coefficient {row['energy_kind']} {row['value']}: {before} -> {row['role']}"


@fault(DECLARED, METERED)
def coefficient_value_of_other_basis(plant, draw):
    rows = [row for row in plant.tree["coefficient"] if row["energy_kind"] in ("electricity", "heat", "steam") and row["role"] == "equal_value"]
    row = draw.choice(rows)
    row["value"] = {"electricity": Decimal("1.229"), "heat": Decimal("0.03412"), "steam": Decimal("0.0916")}[row["energy_kind"]]
    return f"等价 of {row['energy_kind']}: {row['value']}, its 当量"


@fault(DECLARED, METERED)
def coefficient_unit(plant, draw):
    row = draw.choice(plant.tree["coefficient"])
    if "value_unit" in row and draw.random() < 0.5:
        row["value_unit"] = draw.choice(["kgce", "kgoe"])
        return f"coefficient {row['energy_kind']} in {row['value_unit']}"
    before = row["unit"]
    row["unit"] = draw.choice({"kg": ["t"], "m3": ["万m3"], "万kWh": ["kWh", "MWh"], "MJ": ["GJ"]}[before])
    return f"coefficient {row['energy_kind']} {row['role']} {row['value']} per {before} -> per {row['unit']}"


@fault(DECLARED, METERED)
def coefficient_key(plant, draw):
    row = draw.choice(plant.tree["coefficient"])
    choices = {"region": "Zhejiang", "data_year": (row.get("data_year") or 0) + draw.choice([-2, 2]), "edition": "2008"}
    choices |= {"energy_kind": draw.choice(["coke", "raw_coal", "diesel", "heat"])}
    key = draw.choice([key for key in choices if key in row or key in ("edition", "energy_kind")])
    before, row[key] = row.get(key), choices[key]
    return f"coefficient {row['energy_kind']} {row['role']}: {key} {before} -> {row[key]}"


@fault(DECLARED)
def coefficient_dates(plant, draw):
    row = draw.choice([row for row in plant.tree["coefficient"] if "valid_from" in row])
    key = draw.choice(["valid_from", "valid_to"])
    before = datetime.fromisoformat(row[key])
    after = before + draw.choice([timedelta(days=-31), timedelta(days=31), timedelta(days=365), timedelta(days=-365)])
    row[key] = Bare(after.date().isoformat())
    return f"coefficient {row['energy_kind']} {row['value']}: {key} {before.date()} -> {row[key]}"


@fault(DECLARED, METERED)
def coefficient_left_out(plant, draw):
    row = draw.choice(plant.tree["coefficient"])
    plant.tree["coefficient"].remove(row)
    return f"coefficient {row['energy_kind']} {row['role']} {row['value']} left out"


@fault(DECLARED, METERED)
def coal_rate_net(plant, draw):
    row = draw.choice([row for row in plant.tree["coefficient"] if row.get("coal_rate_kind")])
    row["coal_rate_kind"] = "net"
    return "electricity 等价 by a net coal rate"


@fault(DECLARED, METERED)
def edition_or_rule_set(plant, draw):
    key, value = draw.choice([("edition", "2008"), ("edition", "2022"), ("rule_set", "GB 30251")])
    plant.tree["plant"][key] = value
    return f"plant {key} = {value}"


@fault(DECLARED, METERED)
def key_of_kind(plant, draw):
    """Unit, annex kind, steam's enthalpy, conversion or treatment of an energy kind."""
    kind = draw.choice(plant.tree["energy_kind"])
    if "steam_rule" in kind:
        key = draw.choice(["steam_kj_per_kg", "feed_kj_per_kg"])
        before = kind[key]
        kind[key] = round(before / draw.choice([Decimal("4.1868"), Decimal(1000), Decimal("0.1"), Decimal("1.3")]), 4)
    elif "conversion" in kind:
        key, before = "conversion factor", kind["conversion"][0]["factor"]
        kind["conversion"][0]["factor"] = draw.choice([Decimal(10), Decimal(1000), Decimal("0.1"), Decimal("0.001")])
    else:
        key = draw.choice(["unit", "coefficient"])
        before = kind.get(key)
        kind[key] = draw.choice(OTHER_UNITS[kind["unit"]] if key == "unit" else ["coke", "gasoline", "lng", "heat", "fresh_water"])
    return f"kind {kind['id']}: {key} {before} -> {kind.get(key, kind.get('conversion'))}"


@fault(DECLARED, METERED)
def weight_of_key(plant, draw):
    share = draw.choice(draw.choice(plant.tree["allocation"])["share"])
    before = share["weight"]
    share["weight"] = draw.choice([before * 10, int(str(before)[::-1]), before // 10, before + 30])
    return None if share["weight"] == before else f"weight of {share['to']}: {before} -> {share['weight']}"


@fault(DECLARED, METERED)
def key_from_or_to(plant, draw):
    entry = draw.choice(plant.tree["allocation"])
    field = draw.choice(["from", "to", "energy_kind", "left out"])
    if field == "left out":
        plant.tree["allocation"].remove(entry)
        return f"key of {entry['from']} {entry['energy_kind']} left out"
    if field == "to":
        entry["share"][0]["to"] = entry["share"][1]["to"]
        return f"key of {entry['from']}: both shares to {entry['share'][1]['to']}"
    names = [other["id"] for other in plant.tree["subject" if field == "from" else "energy_kind"]]
    before, entry[field] = entry[field], draw.choice([name for name in names if name != entry[field]])
    return f"key {field}: {before} -> {entry[field]}"


@fault(DECLARED, METERED)
def product_key(plant, draw):
    product = draw.choice(plant.tree["product"])
    key = draw.choice(["line", "unit"])
    if key == "line":
        one, other = plant.tree["product"]
        one["line"], other["line"] = other["line"], one["line"]
        return "the lines of both products are swapped"
    before, product["unit"] = product["unit"], draw.choice(OTHER_UNITS[product["unit"]])
    return f"product {product['id']}: unit {before} -> {product['unit']}"
