"""Reads the first sheet of an Excel workbook with nothing but what Python brings along, as the file itself states it, and
prints its cells as one JSON document: address -> {"value": text or number, "format": number format}.

Must never guess: a cell is a number only where the file says so.
"""

import json
import sys
import zipfile
from xml.etree import ElementTree

SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def main():
    with zipfile.ZipFile(sys.argv[1]) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
        strings = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        styles = ElementTree.fromstring(book.read("xl/styles.xml"))
    shared = ["".join(t.text or "" for t in item.iter(f"{SPACE}t")) for item in strings.iter(f"{SPACE}si")]
    formats = {f.get("numFmtId"): f.get("formatCode") for f in styles.iter(f"{SPACE}numFmt")}
    used = [xf.get("numFmtId") for xf in styles.find(f"{SPACE}cellXfs")]
    cells = {}
    for cell in sheet.iter(f"{SPACE}c"):
        found = cell.find(f"{SPACE}v")
        if found is None:
            continue
        value = shared[int(found.text)] if cell.get("t") == "s" else float(found.text)
        cells[cell.get("r")] = {"value": value, "format": formats.get(used[int(cell.get("s", 0))])}
    print(json.dumps(cells))


if __name__ == "__main__":
    main()
