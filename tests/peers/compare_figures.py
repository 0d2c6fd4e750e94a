"""Compares every figure of `nengliu kpi` with the independent calculator on random plants.

    python compare_figures.py NENGLIU [--first 1] [--plants 1000] [--features stocks …] [--keep FOLDER]
    python compare_figures.py NENGLIU --folder FOLDER --period 2023      # one plant that is there

Exact where the product states decimals or a quotient of decimals, at six decimals else. Exit code 1 where figures differ.
"""

import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

from energy_calculator import OTHER_ANSWERS, calculate
from random_plants import FEATURES, RandomPlant

TABLES = ("table1", "intensity", "unit-product")


def run(nengliu, table, period, plant_file, lake=None):
    """Exit code, figures by name (None: the product gives none), and what was said on standard error."""
    command = [nengliu, "kpi", table, "--period", period, "--basis", "both", "--format", "json", "--plant", str(plant_file)]
    command += ["--lake", str(lake)] if lake else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    figures = {}
    if done.stdout.strip():
        collect(json.loads(done.stdout), figures)
    return done.returncode, figures, done.stderr


def collect(node, figures):
    if isinstance(node, dict):
        if "name" in node and "complete" in node:
            figures[node["name"]] = node
        for child in node.values():
            collect(child, figures)
    elif isinstance(node, list):
        for child in node:
            collect(child, figures)


def value_of(figure):
    value = figure.get("value")
    if isinstance(value, dict):
        if value.get("value") is None:
            return None
        return Fraction(value["numerator"]) / Fraction(value["denominator"])
    return None if value is None else Fraction(value)


def is_same(expected, found):
    if found is None or isinstance(expected, str):
        return found is None and isinstance(expected, str)
    return expected == found or abs(expected - found) < Fraction(1, 2_000_000)


def compare(nengliu, folder, period):
    """(figures compared, [(table, name, expected, found, what the product said)])"""
    table1, unit_product = calculate(folder / "plant.toml", period)
    expected_of = {"table1": table1.values, "intensity": table1.values, "unit-product": unit_product.values}
    other_answers = [figures.values for figures in calculate(folder / "plant.toml", period, OTHER_ANSWERS)]
    other_of = {"table1": other_answers[0], "intensity": other_answers[0], "unit-product": other_answers[1]}
    complete = table1.complete | unit_product.complete
    not_told = table1.not_told | unit_product.not_told
    compared, mismatches = 0, []
    for table in TABLES:
        code, found, said = run(nengliu, table, period, folder / "plant.toml")
        expected = expected_of[table]
        if not found:
            known = [name for name, value in expected.items() if not isinstance(value, str)]
            if not isinstance(expected[f"table1/{period}/total/equivalent"], str):
                mismatches.append((table, "(whole run)", f"{len(known)} figures", f"refused, exit code {code}", said.strip().replace("\n", " ")[:300]))
            continue
        for name, value in expected.items():
            if table == "intensity" and name not in found:
                continue
            compared += 1
            figure = found.get(name)
            if figure is None:
                question = "" if name in other_of[table] else " (a question of the rules)"
                mismatches.append((table + question, name, value, "no such figure", ""))
            elif not is_same(value, value_of(figure)):
                if is_same(other_of[table].get(name, "none"), value_of(figure)):
                    table_and_question = f"{table} (a question of the rules)"
                    mismatches.append((table_and_question, name, value, value_of(figure), ""))
                    continue
                mismatches.append((table, name, value, value_of(figure), str(figure.get("notes") or figure.get("note") or "")))
        for name, wanted in complete.items():
            if name in found and wanted is not None and found[name]["complete"] != wanted:
                mismatches.append((table, f"{name} complete", str(wanted), str(found[name]["complete"]), ""))
        for name in unit_product.must_say & found.keys():
            if found[name]["complete"] and not (found[name].get("notes") or found[name].get("note")):
                mismatches.append((table, f"{name} complete", "a note, or not complete: its makers are not stated", "True", ""))
        for name in found:
            if name not in expected and name not in not_told and not re.search(r"/(own|allocated/[^/]+|through/[^/]+|counted)$", name):
                mismatches.append((table, name, "no such figure", value_of(found[name]), ""))
    return compared, mismatches


def shown(value):
    return str(value) if value is None or isinstance(value, str) else f"{float(value):.6f}"


def one_plant(arguments, seed):
    plant = RandomPlant(seed, tuple(arguments.features))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(arguments.keep or folder) / str(seed) if arguments.keep else Path(folder)
        plant.write(folder)
        results = [(period, *compare(arguments.nengliu, folder, period)) for period in plant.periods()]
    return seed, results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nengliu")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--plants", type=int, default=1000)
    parser.add_argument("--features", nargs="*", default=FEATURES, choices=FEATURES, help="all of them, or these")
    parser.add_argument("--keep", help="write the plants here")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--period")
    parser.add_argument("--most", type=int, default=40, help="mismatches printed")
    arguments = parser.parse_args()
    if arguments.folder:
        outcomes = [("-", [(arguments.period, *compare(arguments.nengliu, arguments.folder, arguments.period))])]
    else:
        seeds = range(arguments.first, arguments.first + arguments.plants)
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda seed: one_plant(arguments, seed), seeds))
    return report(outcomes, arguments.most)


def report(outcomes, most):
    compared, printed, kinds, seeds = 0, 0, collections.Counter(), set()
    questions = collections.Counter()
    for seed, results in outcomes:
        for period, count, mismatches in results:
            compared += count
            questions.update("stocks by month" for mismatch in mismatches if "question" in mismatch[0])
            mismatches = [mismatch for mismatch in mismatches if "question" not in mismatch[0]]
            for number, (table, name, expected, found, said) in enumerate(mismatches):
                seeds.add(seed)
                kinds[table, re.sub(r"[-\d.]{4,}|line-\d|raw_coal|coke|diesel|natural_gas", "…", name), str(expected) if "complete" in name else isinstance(expected, str), found is None] += 1
                if table == "intensity" and mismatches[0][0] != "intensity":
                    continue  # the same figures as in Table 1
                printed += 1
                if printed <= most or number == 0:
                    print(f"seed {seed} {period} {table} {name}: expected {shown(expected)}, found {shown(found)} {said[:400]}")
    for kind, count in kinds.most_common(12):
        print(f"{count:6} {kind[0]} {kind[1]} expected none: {kind[2]}, found none: {kind[3]}")
    print(f"{len(outcomes)} plants, {compared} figures compared, {sum(kinds.values())} mismatches in {len(seeds)} plants; other answers to questions of the rules: {dict(questions)}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
