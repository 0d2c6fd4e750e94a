"""Runs the blocks of `docs/lake.md` against a lake and prints, for each query, the rows that DuckDB, polars and pandas give,
as one JSON document: {"Gaps": {"duckdb": [[...]], "polars": [[...]], "pandas": [[...]]}, ...}.

Rows are sorted, times are microseconds since 1970, numbers have 9 decimals. In the blocks only the name of the lake and the
day are replaced.
"""

import argparse
import ast
import json
import math
import re
from pathlib import Path

import duckdb
import pandas

BLOCK = re.compile(r"^### (?P<title>[^\n]+)$|^```(?P<kind>[a-z ]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def plain(value):
    if value is None or value is pandas.NaT:
        return None
    if hasattr(value, "timestamp"):
        return round(value.timestamp() * 1_000_000)
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 9)
    return value


def rows_of(columns, rows):
    places = sorted(range(len(columns)), key=lambda at: columns[at])
    rows = [[plain(row[at]) for at in places] for row in rows]
    return [sorted(columns), sorted(rows, key=json.dumps)]


def assigned_last(text):
    """The name of the frame that a block assigns last: its answer."""
    target = next(step.targets[0] for step in reversed(ast.parse(text).body) if isinstance(step, ast.Assign))
    return target.value.id if isinstance(target, ast.Subscript) else target.id


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("lake")
    parser.add_argument("--day", required=True, help="2026, 10, 2")
    args = parser.parse_args()

    title, names, found = None, {}, {}
    for block in BLOCK.finditer(args.page.read_text()):
        if block["title"]:
            title = block["title"]
            continue
        kind, text = block["kind"], block["text"]
        if title is None and kind == "python":
            text = text.replace('LAKE = "lake"', f"LAKE = {args.lake!r}")
            text, changed = re.subn(r"datetime\(2026, 10, 2,", f"datetime({args.day},", text)
            assert changed == 1
            exec(text, names)
            continue
        if title is None:
            continue
        answers = found.setdefault(title, {})
        if kind == "sql":
            answer = duckdb.sql(text)
            answers["duckdb"] = rows_of(answer.columns, answer.fetchall())
            continue
        engine = kind.removeprefix("python ")
        assert engine in ("polars", "pandas"), kind
        exec(text, names)
        answer = names[assigned_last(text)]
        if engine == "polars":
            answers[engine] = rows_of(answer.columns, answer.rows())
        else:
            rows = [list(row) for row in answer.itertuples(index=False, name=None)]
            answers[engine] = rows_of(list(answer.columns), rows)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
