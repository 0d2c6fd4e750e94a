"""Reads a Parquet file with polars, and prints its rows, columns and the sum of its values as one JSON document.

Must never know who wrote the file.
"""

import json
import sys

import polars

frame = polars.read_parquet(sys.argv[1])
print(json.dumps({"rows": frame.height, "columns": frame.columns, "value": frame["value"].sum()}))
