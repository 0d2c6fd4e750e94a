"""An independent OPC UA server (asyncua) with SignAndEncrypt / Basic256Sha256 and history, described by a JSON file.

    {"page_delay_ms": 0, "no_subscriptions": false,
     "nodes": [{"id": "meter.energy", "history_csv": "year.csv"},
               {"id": "meter.live", "live": {"interval_ms": 50, "start": 0, "step_max": 25, "scale": 0.01,
                                             "seed": 7, "historize": false}, "given_csv": "given.csv"}]}

Nodes are variables of type Double, `ns=2;s=<id>`. A history CSV has lines `source_time_ms,value` in the order of time;
its first and last value go through the node (asyncua historizes them), those between go into the same in-memory history
directly. A live node is a counter that grows by a seeded 1..step_max every interval, written with a source time in whole
milliseconds; each value it gave is a line `source_time_ms,count` of `given_csv`, written *before* it is published. Its
source times are those of the wall clock, or with `"clock": {"start_ms": …, "step_ms": …}` those of a clock of its own
that goes on by a step with each value.
`no_subscriptions` refuses subscriptions by clients with asyncua's own limit of them.
`page_delay_ms` delays each answer to HistoryRead. Every HistoryRead is a line of JSON in `--history-log`.

`--pki` is a folder: own certificate and key (made when missing), and `trusted/`, where the test puts client certificates
in DER; a client that is not there is refused. It is looked at for each session, so certificates may arrive later.

Must never offer an endpoint without encryption.
"""

import argparse
import asyncio
import itertools
import json
import random
import time
from datetime import datetime, timezone
from pathlib import Path

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.server.history import HistoryDict
from cryptography.hazmat.primitives.serialization import Encoding

from certificates import own_certificate
from common import read_json, say

APPLICATION_URI = "urn:nengliu:tests:server"
NAMESPACE = "urn:nengliu:tests"


def source_time(milliseconds):
    """asyncua's in-memory history compares with timezone-aware times only."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def data_value(value, milliseconds):
    return ua.DataValue(
        ua.Variant(float(value), ua.VariantType.Double),
        SourceTimestamp=source_time(milliseconds),
    )


class SlowHistory(HistoryDict):
    """asyncua's own in-memory history, with a delay before each answer and a log of what was asked."""

    def __init__(self, page_delay_ms, log):
        super().__init__()
        self.page_delay_ms = page_delay_ms
        self.log = log

    async def read_node_history(self, node_id, start, end, nb_values):
        if self.page_delay_ms:
            await asyncio.sleep(self.page_delay_ms / 1000)
        values, more = await super().read_node_history(node_id, start, end, nb_values)
        if self.log:
            line = {"node": node_id.Identifier, "start": str(start), "end": str(end), "asked": nb_values}
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(json.dumps({**line, "given": len(values)}) + "\n")
        return values, more

    def count(self, node):
        return len(self._datachanges[node.nodeid])


def trust_only(folder):
    """A client's certificate counts only when the very same bytes lie in the folder."""

    async def check(certificate, _application):
        offered = certificate.public_bytes(Encoding.DER)
        if not any(path.read_bytes() == offered for path in folder.glob("*.der")):
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    return check


async def serve_history(server, history, node, path):
    rows = [line.split(",") for line in Path(path).read_text(encoding="utf-8").splitlines()]
    values = [data_value(value, int(milliseconds)) for milliseconds, value in rows]
    await node.write_value(values[0])
    await server.historize_node_data_change(node, period=None, count=0)
    deadline = time.monotonic() + 10
    while history.count(node) < 1:
        if time.monotonic() > deadline:
            raise TimeoutError("asyncua did not historize the first value")
        await asyncio.sleep(0.01)
    for value in values[1:-1]:
        await history.save_node_value(node.nodeid, value)
    await node.write_value(values[-1])
    while history.count(node) < len(values):
        if time.monotonic() > deadline:
            raise TimeoutError("asyncua did not historize the last value")
        await asyncio.sleep(0.01)


def source_times(clock):
    """The source times of a live node, one per value whatever the scheduler does."""
    if clock:
        yield from itertools.count(clock["start_ms"], clock["step_ms"])
    last = 0
    while True:
        last = max(last + 1, time.time_ns() // 1_000_000)
        yield last


async def serve_live(node, live, given):
    chance = random.Random(live["seed"])
    count = live["start"]
    with open(given, "a", encoding="utf-8") as file:
        for last in source_times(live.get("clock")):
            file.write(f"{last},{count}\n")
            file.flush()
            await node.write_value(data_value(count * live["scale"], last))
            count += chance.randint(1, live["step_max"])
            await asyncio.sleep(live["interval_ms"] / 1000)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pki", type=Path, required=True)
    parser.add_argument("--plant", required=True)
    parser.add_argument("--history-log")
    args = parser.parse_args()
    plant = read_json(args.plant)

    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{args.port}/")
    server.set_server_name("Nengliu test server")
    await server.set_application_uri(APPLICATION_URI)
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    own = own_certificate(args.pki, "server", APPLICATION_URI)
    await server.load_certificate(str(own.certificate))
    await server.load_private_key(str(own.key))
    (args.pki / "trusted").mkdir(parents=True, exist_ok=True)
    server.set_certificate_validator(trust_only(args.pki / "trusted"))
    history = SlowHistory(plant.get("page_delay_ms", 0), args.history_log)
    server.iserver.history_manager.set_storage(history)
    namespace = await server.register_namespace(NAMESPACE)

    tasks = []
    async with server:
        for entry in plant["nodes"]:
            node_id = ua.NodeId(entry["id"], namespace)
            node = await server.nodes.objects.add_variable(node_id, entry["id"], 0.0)
            if "history_csv" in entry:
                await serve_history(server, history, node, entry["history_csv"])
            if live := entry.get("live"):
                before = next(source_times(live.get("clock"))) - 1
                await node.write_value(data_value(live["start"] * live["scale"], before))
                if live.get("historize"):
                    await server.historize_node_data_change(node, period=None, count=0)
                tasks.append(asyncio.create_task(serve_live(node, live, entry["given_csv"])))
        if plant.get("no_subscriptions"):
            # Those of the server itself, which historize, are left.
            server.iserver.max_subscriptions = len(server.iserver.subscription_service.subscriptions)
        say(ready=True, namespace_index=namespace)
        await asyncio.gather(*tasks)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
