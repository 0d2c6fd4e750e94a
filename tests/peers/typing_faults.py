"""Typing faults in right plants: is each refused, flagged beside the figure, or without effect?

    python typing_faults.py NENGLIU NENGLIU_GATEWAY [--faults 1000] [--first 1] [--lake FOLDER] [--cases FOLDER]

A figure counts as changed from 1 % on. flagged: the figure that changed most, or standard
error, says something new; elsewhere: only other figures do; SILENT: nothing does. The exit
code is 1 where there is such a fault of a kind that `--known` does not name. `--lake` keeps the lake of the metered plant for the next run.
"""

import argparse
import collections
import random
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import fact_faults  # noqa: F401, each registers its faults
import fault_kinds
import meter_faults  # noqa: F401
import plant_faults  # noqa: F401
import right_plants
from compare_figures import run, value_of
from energy_tables import UNITS

TABLES = ("table1", "unit-product")
THRESHOLD = Fraction(1, 100)


def texts(figure):
    notes = figure.get("notes") or figure.get("note") or []
    for note in [notes] if isinstance(notes, (str, dict)) else notes:
        yield note if isinstance(note, str) else " ".join(str(part) for part in note.values())


def alike(text):
    """A text without its numbers, so that another number is no new text."""
    return re.sub(r"\d[\d.,:+TZ-]*", "#", text)


class Outcome:
    """All figures of a plant over its periods, and what was said."""

    def __init__(self, nengliu, plant, folder):
        plant.write(folder)
        self.figures, self.said, self.codes = {}, "", []
        for period in plant.periods:
            for table in TABLES:
                code, figures, said = run(nengliu, table, period, folder / "plant.toml", plant.lake)
                self.codes.append(code)
                self.figures |= figures
                self.said += said.replace(str(folder), "FOLDER")

    def lines(self):
        return {alike(line.strip()) for line in self.said.splitlines() if line.strip()}


def classify(right, wrong):
    """(class, the figure that changed most, a text)"""
    if not wrong.figures:
        return "refused", "", first_problem(wrong.said)
    changed = changes(right, wrong)
    if not changed:
        return "nothing changed", "", ""
    largest = max(changed, key=lambda name: changed[name])
    if all(change is INFINITE for change in changed.values()):
        return "refused", largest, " ".join(texts(wrong.figures.get(largest, {})))
    known = {name: change for name, change in changed.items() if change is not INFINITE}
    largest = max(known, key=known.get)
    if new := new_texts(right, wrong, [largest]):
        return "flagged", largest, new[0]
    if new_lines := sorted(wrong.lines() - right.lines()):
        return "flagged", largest, f"stderr: {new_lines[0]}"
    if new := new_texts(right, wrong, changed):
        return "flagged elsewhere", largest, new[0]
    before, after = value_of(right.figures[largest]), value_of(wrong.figures[largest])
    return "SILENT", largest, f"{float(before):.6g} -> {float(after):.6g}"


INFINITE = Fraction(10**30)


def changes(right, wrong):
    changed = {}
    for name, figure in right.figures.items():
        other = wrong.figures.get(name, {})
        before, after = value_of(figure), in_unit(value_of(other), other.get("unit"), figure["unit"])
        if before is None or before == after:
            continue
        change = INFINITE if after is None else abs(after - before) / abs(before) if before else Fraction(1)
        if change > THRESHOLD:
            changed[name] = change
    return changed


def in_unit(value, unit, wanted):
    """The value in the right figure's unit: kg for t is another way to write it, and no other figure."""
    if value is None or unit == wanted:
        return value
    parts = list(zip(unit.split("/"), wanted.split("/")))
    if any(part not in UNITS or UNITS[part][0] != UNITS.get(other, [None])[0] for part, other in parts if part != other):
        return value
    for power, (part, other) in zip((1, -1), parts):
        value *= (UNITS[part][1] / UNITS[other][1]) ** power if part != other else 1
    return value


def new_texts(right, wrong, changed):
    """What changed figures say that they did not say before, numbers aside; a figure without a value says enough."""
    new = []
    for name in changed:
        before = {alike(text) for text in texts(right.figures.get(name, {}))}
        new += [text for text in texts(wrong.figures.get(name, {})) if alike(text) not in before]
    return new


def first_problem(said):
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith(("×", "error"))), lines[0] if lines else "")[:200]


def one_fault(arguments, plants, rights, number):
    draw = random.Random(number)
    for _ in range(100):
        kinds = [entry for entry in fault_kinds.FAULTS if not arguments.only or entry[1].__name__ in arguments.only]
        plant_name, function = draw.choice(kinds)
        plant = plants[plant_name].copy()
        typed = function(plant, draw)
        if typed is not None:
            break
    with tempfile.TemporaryDirectory() as folder:
        outcome = Outcome(arguments.nengliu, plant, Path(folder))
    kind, figure, text = classify(rights[plant_name], outcome)
    if kind == "SILENT" and arguments.cases:
        plant.write(Path(arguments.cases) / f"typed-{number}-{function.__name__}")
    return number, plant_name, function.__name__, typed, kind, figure, text


def the_plants(arguments, folder):
    readings, ends = right_plants.readings()
    lake = Path(arguments.lake or folder / "work") / "lake"
    if not lake.exists():
        from readings_lake import make_lake

        units = {meter: values[:2] for meter, values in right_plants.METERS.items()}
        make_lake(arguments.nengliu, arguments.gateway, readings, units, lake.parent)
    return {"declared": right_plants.declared_plant(), "metered": right_plants.metered_plant(lake, ends)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nengliu")
    parser.add_argument("gateway")
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--lake")
    parser.add_argument("--cases", help="write the plants of silent faults here")
    parser.add_argument("--only", nargs="*", default=(), help="these kinds of faults")
    parser.add_argument("--known", nargs="*", default=(), help="kinds of faults of which some are known to be silent: no error")
    parser.add_argument("--verbose", action="store_true", help="print every fault")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        plants = the_plants(arguments, folder)
        rights = {name: Outcome(arguments.nengliu, plant, folder / name) for name, plant in plants.items()}
        for name, right in rights.items():
            if any(right.codes) or not right.figures:
                sys.exit(f"the right plant {name} is not right: {right.codes} {right.said[:2000]}")
        numbers = range(arguments.first, arguments.first + arguments.faults)
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda number: one_fault(arguments, plants, rights, number), numbers))
    return report(outcomes, arguments.verbose, arguments.known)


def report(outcomes, verbose, known):
    counts = collections.defaultdict(collections.Counter)
    for number, plant, kind, typed, outcome, figure, text in outcomes:
        counts[kind][outcome] += 1
        if outcome in ("SILENT", "flagged elsewhere") or verbose:
            print(f"{outcome:17} {number:5} {plant} {kind}: {typed}: {figure} {text}"[:400])
    classes = ("refused", "flagged", "flagged elsewhere", "nothing changed", "SILENT")
    print(f"{'':32}" + "".join(f"{name:>19}" for name in classes))
    for kind, of_kind in sorted(counts.items()):
        print(f"{kind:32}" + "".join(f"{of_kind[name]:19}" for name in classes))
    sums = {name: sum(of_kind[name] for of_kind in counts.values()) for name in classes}
    print(f"{len(outcomes)} faults: " + ", ".join(f"{name} {count}" for name, count in sums.items()))
    silent = {kind for kind, of_kind in counts.items() if of_kind["SILENT"]}
    if new := sorted(silent - set(known)):
        print(f"silent, and not known to be: {', '.join(new)}")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
