"""Opens a Delta table with the `deltalake` package, as anybody else would, and prints what it finds as one JSON document:
version, live files, rows, columns, application transactions asked for, and the sum of each numeric column. `--sql` runs
in DuckDB over the files that deltalake lists, with the table named `lake`; its rows come back under `result`.

Must never list the folder by itself: what the log does not name is not in the table.
"""

import argparse
import json

import duckdb
import pyarrow
import pyarrow.compute
from deltalake import DeltaTable


def plain(value):
    """JSON for what SQL can return; whole decimals and times become text rather than lose digits."""
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--version", type=int)
    parser.add_argument("--transaction", action="append", default=[], metavar="APP_ID")
    parser.add_argument("--sql")
    parser.add_argument("--rows", action="store_true", help="also every row, in the order of the files")
    args = parser.parse_args()

    table = DeltaTable(args.table, version=args.version)
    rows = table.to_pyarrow_table()
    numeric = [
        field.name
        for field in rows.schema
        if pyarrow.types.is_integer(field.type) or pyarrow.types.is_floating(field.type)
    ]
    report = {
        "version": table.version(),
        "files": table.file_uris(),
        "rows": rows.num_rows,
        "columns": {field.name: str(field.type) for field in rows.schema},
        "transactions": {app: table.transaction_version(app) for app in args.transaction},
        "sums": {name: plain(pyarrow.compute.sum(rows[name]).as_py()) for name in numeric},
    }
    if args.rows:
        report["all"] = [{name: plain(value) for name, value in row.items()} for row in rows.to_pylist()]
    if args.sql:
        files = [uri.removeprefix("file://") for uri in report["files"]]
        database = duckdb.connect()
        lake = database.read_parquet(files)
        lake.create_view("lake")
        answer = database.execute(args.sql)
        report["result"] = [[plain(value) for value in row] for row in answer.fetchall()]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
