"""Subscribes as a client of our own kind does not: paho-mqtt, the widest filter. Checks each payload against its schema, for
so many seconds or until the broker ends, whichever is first."""

import argparse
import json
import pathlib
import re
import threading

import paho.mqtt.client as mqtt
from jsonschema import Draft202012Validator

KINDS = [
    ("value", re.compile(r"^v1(/[a-z0-9_-]{1,40}){5}/v/[a-z0-9_-]{1,40}$")),
    ("group", re.compile(r"^v1(/[a-z0-9_-]{1,40}){5}/m/[a-z0-9_-]{1,40}$")),
    ("meta", re.compile(r"^v1(/[a-z0-9_-]{1,40}){5}/\$meta$")),
    ("state", re.compile(r"^v1(/[a-z0-9_-]{1,40}){5}/\$state$")),
    ("durable", re.compile(r"^v1(/[a-z0-9_-]{1,40}){5}/\$durable$")),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tcp-port", type=int, required=True)
    parser.add_argument("--schemas", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    validators = {
        kind: Draft202012Validator(json.loads((given.schemas / f"{kind}.schema.json").read_text()))
        for kind, _ in KINDS
    }
    for validator in validators.values():
        validator.check_schema(validator.schema)
    counts = {kind: 0 for kind, _ in KINDS}
    topics = {kind: set() for kind, _ in KINDS}
    wrong = []

    def check(client, userdata, message) -> None:
        kind = next((kind for kind, topic in KINDS if topic.match(message.topic)), None)
        if kind is None:
            wrong.append(f"{message.topic}: not a topic of the contract")
            return
        counts[kind] += 1
        topics[kind].add(message.topic)
        if not message.payload:
            return
        try:
            payload = json.loads(message.payload)
        except ValueError as error:
            wrong.append(f"{message.topic}: {error}")
            return
        for error in validators[kind].iter_errors(payload):
            wrong.append(f"{message.topic} {message.payload!r}: {error.message}")
        if "exact" in payload and kind == "value" and float(payload["exact"]) != payload["v"]:
            wrong.append(f"{message.topic}: {payload['exact']} is not {payload['v']}")

    ended = threading.Event()
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False
    )
    client.will_set("homeassistant/status", "offline", retain=True)
    client.on_message = check
    client.on_disconnect = lambda *_: ended.set()
    client.connect("127.0.0.1", given.tcp_port)
    client.subscribe("#")
    client.loop_start()
    broker_ended = ended.wait(given.seconds)
    client.loop_stop()
    heard = {kind: len(names) for kind, names in topics.items()}
    found = {"counts": counts, "topics": heard, "broker_ended": broker_ended, "wrong": wrong[:20]}
    print(json.dumps(found))


main()
