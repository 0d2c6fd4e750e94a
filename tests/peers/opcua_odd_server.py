"""An OPC UA server (asyncua) without encryption whose values and answers are odd, each in a way that servers in the field are.

The plant is JSON:

- `nodes`: each with an `id` and `steps`, which are written one after the other, round and round, every `interval_ms`. A step
  has a `type` (a VariantType, with `[]` for an array), a `value` or a `length` of filling, a `status`, and a `source`:
  `now`, `none`, `{"ago_s": n}` (of now), `{"at_s": n}` (since 1970). One step alone is written once, and all are with `once`.
- `create_max`: CreateMonitoredItems answers with at most so many results, and makes no more items.
- `user`, `password`: nobody else is let in.
- `no_time`: it does not say what time it has.
- `mute`: while this file is there, nothing is published; all else is answered.
- `session_timeout_ms`, `publish_min_ms`, `queue_max`: what it makes of what is asked for.
- `lose_items`: when this file appears, all monitored items are gone without a word and so is the file; the subscription lives.

A node with `count` holds a Double that rises by one every `interval_ms`. With `gone`, a file, it is deleted while the file
is there; with `again`, a file, it is deleted and made at once when the file appears, which it removes.

A node is read otherwise than it is subscribed to with `read_status`, which each Read of its value gives with the value (without one
where it is Bad), `read_adds`, by which its value is higher with each Read (which has no time then), and `read_wait_ms`, which a Read takes.

Must never be a server that a plant should have.
"""

import argparse
import asyncio
import gc
import importlib.metadata
import itertools
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from asyncua import Server, ua
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.server.subscription_service import SubscriptionService
from asyncua.crypto.permission_rules import User, UserRole

from common import read_json, say

NAMESPACE = "urn:nengliu:tests"


def source_time(step):
    source = step.get("source", "now")
    if source == "none":
        return None
    if source == "now":
        return datetime.now(timezone.utc)
    if "ago_s" in source:
        return datetime.now(timezone.utc) - timedelta(seconds=source["ago_s"])
    return datetime.fromtimestamp(source["at_s"], timezone.utc)


def data_value(step):
    kind = step["type"]
    of_array = kind.endswith("[]")
    variant_type = ua.VariantType[kind.removesuffix("[]")]
    if "length" in step:
        value = "x" * step["length"] if kind == "String" else [7] * step["length"]
    else:
        value = step["value"]
    if variant_type == ua.VariantType.LocalizedText:
        value = ua.LocalizedText(value)
    if variant_type == ua.VariantType.DateTime:
        value = datetime.fromisoformat(value)
    if variant_type == ua.VariantType.ByteString:
        value = value.encode()
    variant = ua.Variant(value, variant_type, is_array=of_array)
    status = ua.StatusCode(step.get("status", 0))
    return ua.DataValue(variant, status, SourceTimestamp=source_time(step))


async def live(server, node, entry):
    steps = entry["steps"]
    for step in itertools.cycle(steps) if len(steps) > 1 and not entry.get("once") else steps:
        await server.iserver.aspace.write_attribute_value(node.nodeid, ua.AttributeIds.Value, data_value(step))
        await asyncio.sleep(entry.get("interval_ms", 100) / 1000)


async def count(server, namespace, node, entry):
    gone, again = (Path(entry.get(key, "/nonexistent")) for key in ("gone", "again"))
    there, value = True, entry["count"]
    while True:
        value += 1
        if there and (gone.exists() or again.exists()):
            await server.delete_nodes([node])
            there = False
            again.unlink(missing_ok=True)
            if gone.exists():
                gone.with_suffix(".done").touch()
        if not there and not gone.exists():
            node, there = await variable(server, namespace, entry), True
        if there:
            step = {"type": "Double", "value": value}
            await server.iserver.aspace.write_attribute_value(node.nodeid, ua.AttributeIds.Value, data_value(step))
        await asyncio.sleep(entry.get("interval_ms", 100) / 1000)


async def lose_items(server, file):
    while True:
        if file.exists():
            for subscription in server.iserver.subscription_service.subscriptions.values():
                subscription.monitored_item_srv.delete_all_monitored_items()
            file.unlink()
        await asyncio.sleep(0.05)


async def variable(server, namespace, entry):
    node_id = ua.NodeId(entry["id"], namespace)
    datatype = ua.NodeId(ua.ObjectIds.BaseDataType)
    return await server.nodes.objects.add_variable(node_id, entry["id"], 0.0, datatype=datatype)


def remember_address_space(folder):
    """The address space of the standard takes seconds to make, and is the same for each server."""
    make = InternalServer.load_standard_address_space
    file = folder / f"asyncua-{importlib.metadata.version('asyncua')}-address-space"

    async def load(self, shelf_file=None):
        if file.exists():
            gc.disable()
            self.aspace.load(file)
            gc.enable()
            return
        await make(self)
        part = file.with_suffix(f".{os.getpid()}")
        self.aspace.dump(part)
        part.replace(file)

    InternalServer.load_standard_address_space = load


def answer_short(most):
    create = MonitoredItemService.create_monitored_items

    async def created(self, params):
        params.ItemsToCreate = params.ItemsToCreate[:most]
        return await create(self, params)

    MonitoredItemService.create_monitored_items = created


def mute_while(file):
    publish = InternalSubscription.publish_results

    async def published(self, requestdata=None):
        return False if file.exists() else await publish(self, requestdata)

    InternalSubscription.publish_results = published


def publish_rarely(shortest_ms):
    create = SubscriptionService.create_subscription

    async def created(self, params, *args, **kwargs):
        params.RequestedPublishingInterval = max(params.RequestedPublishingInterval, shortest_ms)
        return await create(self, params, *args, **kwargs)

    SubscriptionService.create_subscription = created


def read_oddly(entries):
    read, reads = InternalSession.read, dict.fromkeys(entries, 0)

    def answer(name, value):
        entry = entries[name]
        status = ua.StatusCode(entry.get("read_status", value.StatusCode.value))
        variant = None if status.is_bad() else value.Value
        if adds := entry.get("read_adds"):
            reads[name] += 1
            variant = ua.Variant(value.Value.Value + adds * reads[name], value.Value.VariantType)
            return ua.DataValue(variant, status)
        return ua.DataValue(variant, status, SourceTimestamp=value.SourceTimestamp)

    async def answered(self, params):
        values = list(await read(self, params))
        wait_ms = 0
        for place, wanted in enumerate(params.NodesToRead):
            name = wanted.NodeId.Identifier
            if wanted.AttributeId == ua.AttributeIds.Value and name in entries:
                values[place] = answer(name, values[place])
                wait_ms = max(wait_ms, entries[name].get("read_wait_ms", 0))
        await asyncio.sleep(wait_ms / 1000)
        return values

    InternalSession.read = answered


class OneUser:
    def __init__(self, name, password):
        self.expected = (name, password)

    def get_user(self, iserver, username=None, password=None, certificate=None):
        password = password.decode() if isinstance(password, bytes) else password
        return User(role=UserRole.User) if (username, password) == self.expected else None


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--plant", required=True)
    parser.add_argument("--cache", type=Path, help="folder of our own for what each start would make anew")
    args = parser.parse_args()
    plant = read_json(args.plant)
    if args.cache:
        remember_address_space(args.cache)
    if most := plant.get("create_max"):
        answer_short(most)
    if mute := plant.get("mute"):
        mute_while(Path(mute))
    if shortest := plant.get("publish_min_ms"):
        publish_rarely(shortest)
    read_oddly({
        entry["id"]: entry for entry in plant["nodes"] if any(key.startswith("read_") for key in entry)
    })
    if plant.get("no_time"):
        InternalServer._set_current_time_loop = asyncio.Event().wait

    users = OneUser(plant["user"], plant["password"]) if plant.get("user") else None
    server = Server(user_manager=users)
    await server.init()
    # asyncua itself allows only the first type of a variable; devices in the field do not mind.
    server.iserver.aspace._is_expected_variant_type = lambda *_: True
    server.set_endpoint(f"opc.tcp://127.0.0.1:{args.port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    if timeout := plant.get("session_timeout_ms"):
        server.iserver.min_session_timeout_ms = server.iserver.max_session_timeout_ms = timeout
    if most := plant.get("queue_max"):
        server.iserver.max_monitored_item_queue_size = most
    if users:
        server.set_identity_tokens([ua.UserNameIdentityToken])
    namespace = await server.register_namespace(NAMESPACE)
    nodes, tasks = [], []
    for entry in plant["nodes"]:
        node = await variable(server, namespace, entry)
        first = {"type": "Double", "value": entry["count"]} if "count" in entry else entry["steps"][0]
        await server.iserver.aspace.write_attribute_value(node.nodeid, ua.AttributeIds.Value, data_value(first))
        nodes.append((node, entry))
    async with server:
        say(ready=True, namespace_index=namespace)
        if file := plant.get("lose_items"):
            tasks.append(asyncio.create_task(lose_items(server, Path(file))))
        await asyncio.gather(*(
            count(server, namespace, node, entry) if "count" in entry else live(server, node, entry)
            for node, entry in nodes
        ))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
