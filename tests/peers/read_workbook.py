"""Reads an Excel workbook with openpyxl, as the file itself states it, and prints it as one JSON document: document
properties, and of each sheet its page, its widths and its cells: address -> {"value": text, number or formula, "cached": what
the formula gave when the file was written, "format": number format}.

Must never guess: a cell is a number only where the file says so.
"""

import json
import sys

import openpyxl


def plain(value):
    return value if isinstance(value, (int, float, str)) else str(value)


def sheet(formulas, values):
    cells = {}
    for row in formulas.iter_rows():
        for cell in row:
            if cell.value is None:
                continue
            found = {"value": plain(cell.value), "format": cell.number_format}
            if cell.data_type == "f":
                found["cached"] = plain(values[cell.coordinate].value)
            cells[cell.coordinate] = found
    page = formulas.page_setup
    return {
        "name": formulas.title,
        "paper": page.paperSize,
        "orientation": page.orientation,
        "fit_to_page": bool(formulas.sheet_properties.pageSetUpPr.fitToPage),
        "fit_to_width": 1 if page.fitToWidth is None else page.fitToWidth,
        "fit_to_height": 1 if page.fitToHeight is None else page.fitToHeight,
        "frozen": formulas.freeze_panes,
        "footer": formulas.oddFooter.left.text,
        "widths": {name: column.width for name, column in formulas.column_dimensions.items()},
        "cells": cells,
    }


def main():
    formulas = openpyxl.load_workbook(sys.argv[1])
    values = openpyxl.load_workbook(sys.argv[1], data_only=True)
    sheets = [sheet(one, values[one.title]) for one in formulas]
    properties = formulas.properties
    known = {"title": properties.title, "created": properties.created.isoformat()}
    print(json.dumps({"properties": known, "sheets": sheets}))


if __name__ == "__main__":
    main()
