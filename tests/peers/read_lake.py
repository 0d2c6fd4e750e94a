"""Opens a Delta table with the `deltalake` package, as anybody else would, and prints what it finds as one JSON document:
version, live files, rows, columns, application transactions asked for, and the sum of each numeric column. `--sql` runs
in DuckDB over the files that deltalake lists, with the table named `lake`; its rows come back under `result`.

Must never list the folder by itself: what the log does not name is not in the table.
"""

import argparse
import datetime
import json

import duckdb
import polars
import pyarrow
import pyarrow.compute
import pyarrow.dataset
from deltalake import DeltaTable, QueryBuilder


def plain(value):
    """JSON for what SQL can return; whole decimals and times become text rather than lose digits."""
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)


def filtered(table, column, operator, text):
    """How many rows five readers find: two of deltalake, DuckDB over the data set that deltalake prunes, pandas, polars."""
    value = json.loads(text)
    if column in ("ts", "gateway_ts"):
        value = datetime.datetime.fromisoformat(value)
    by_frame = table.to_pyarrow_table(filters=[(column, operator, value)]).num_rows
    database = duckdb.connect()
    lake = table.to_pyarrow_dataset()  # DuckDB finds it by its name
    sql = f"SELECT count(*) FROM lake WHERE {column} {operator} ?"
    by_duckdb = database.execute(sql, [value]).fetchone()[0]
    literal = f"TIMESTAMP '{value.isoformat()}'" if column in ("ts", "gateway_ts") else repr(value)
    builder = QueryBuilder().register("lake", table)
    rows = pyarrow.table(builder.execute(f"SELECT count(*) AS n FROM lake WHERE {column} {operator} {literal}").read_all())
    by_pandas = len(table.to_pandas(filters=[(column, operator, value)], columns=["point"]))
    compare = {"=": "__eq__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}[operator]
    condition = getattr(polars.col(column), compare)(value)
    by_polars = polars.scan_delta(table).filter(condition).select(polars.len()).collect().item()
    return [by_frame, by_duckdb, rows["n"][0].as_py(), by_pandas, by_polars]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--version", type=int)
    parser.add_argument("--transaction", action="append", default=[], metavar="APP_ID")
    parser.add_argument("--sql")
    parser.add_argument("--rows", action="store_true", help="also every row, in the order of the files")
    parser.add_argument(
        "--filter", nargs=3, action="append", default=[], metavar=("COLUMN", "OPERATOR", "JSON"),
        help="rows that deltalake and DuckDB find with each filter alone, pruned by the statistics of the log",
    )
    parser.add_argument("--glob", action="store_true", help="rows of *.parquet in the folder, by DuckDB and by pyarrow")
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
        "description": table.metadata().description,
        "comments": {field.name: field.metadata.get("comment") for field in table.schema().fields},
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
    report["filtered"] = [filtered(table, *one) for one in args.filter]
    if args.glob:
        pattern = args.table.rstrip("/") + "/*.parquet"
        by_name = duckdb.connect().execute("SELECT count(*) FROM read_parquet(?)", [pattern])
        by_folder = pyarrow.dataset.dataset(args.table, format="parquet").count_rows()
        report["glob"] = [by_name.fetchone()[0], by_folder]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
