"""Checks the schemas of the topics against their own examples, with a validator that is not ours. A schema that takes
everything is as wrong as one that refuses its example, so what each must refuse is listed too."""

import argparse
import json
import pathlib

from jsonschema import Draft202012Validator

# Changes to the first example of a schema that make it wrong. None removes a field.
REFUSED = {
    "event": [
        {"kind": "warning"},
        {"active": None},
        {"acked": None},
        {"severity": 0},
        {"severity": 1001},
        {"text": {}},
        {"unit": None},
        {"metric": None},
        {"v": None},
        {"boot": None},
        {"kind": "event"},
    ],
    "machine-state": [
        {"state": "busy"},
        {"q": "BadTimeout"},
        {"mode": "fast"},
        {"raw": ""},
        {"since": "2026-11-28"},
    ],
    "kpi": [{"exact": None}, {"coverage": 1.1}, {"version": 0}, {"status": "open"}],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--schemas", type=pathlib.Path, required=True)
    counts, wrong = {}, []
    for path in sorted(parser.parse_args().schemas.glob("*.schema.json")):
        name = path.name.removesuffix(".schema.json")
        schema = json.loads(path.read_text())
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        examples = schema.get("examples", [])
        counts[name] = len(examples)
        for example in examples:
            for error in validator.iter_errors(example):
                wrong.append(f"{name}: {example} is refused: {error.message}")
            for field in schema["required"]:
                if validator.is_valid({key: example[key] for key in example if key != field}):
                    wrong.append(f"{name}: {example} passes without `{field}`")
        for change in REFUSED.get(name, []):
            changed = {**examples[0], **change}
            changed = {key: value for key, value in changed.items() if value is not None}
            if validator.is_valid(changed):
                wrong.append(f"{name}: passes with {change}")
    print(json.dumps({"counts": counts, "wrong": wrong}))


main()
