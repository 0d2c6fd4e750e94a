"""What the peers share: how they speak to the test, and files that a reader never sees half written.

Must never know what a peer serves.
"""

import json
import os


def say(**fields):
    """One line of JSON on standard output; the harness waits for `{"ready": true}`."""
    print(json.dumps(fields), flush=True)


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path, value):
    """Replaces the file in one step."""
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(partial, path)
