"""A lake with given readings, brought there by the product itself: OPC UA history (asyncua) -> gateway -> centre.

    make_lake(nengliu, gateway, {"main": [(milliseconds, value), ...]}, {"main": ("kWh", "0.01")}, folder)

Point of a meter: `acme/one/METER/e`. Server without encryption, on loopback only.
"""

import asyncio
import json
import signal
import socket
import subprocess
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

from asyncua import Server, ua
from asyncua.server.history import HistoryDict

NAMESPACE = "urn:nengliu:tests:readings"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def serve(readings, port, ready, stop):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/readings")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    history = HistoryDict()
    history.max_history_data_response_size = 10_000
    server.iserver.history_manager.set_storage(history)
    async with server:
        for meter, values in readings.items():
            node = await server.nodes.objects.add_variable(ua.NodeId(meter, index), meter, 0.0, ua.VariantType.Double)
            await history.new_historized_node(node.nodeid, period=None, count=0)
            for milliseconds, value in values:
                at = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
                await history.save_node_value(node.nodeid, ua.DataValue(ua.Variant(float(value), ua.VariantType.Double), SourceTimestamp=at))
            at = datetime.fromtimestamp(values[-1][0] / 1000, timezone.utc)
            last = ua.DataValue(ua.Variant(float(values[-1][1]), ua.VariantType.Double), SourceTimestamp=at)
            await node.write_attribute(ua.AttributeIds.Value, last)
            access = ua.DataValue(ua.Variant(ua.AccessLevel.CurrentRead.mask | ua.AccessLevel.HistoryRead.mask, ua.VariantType.Byte))
            await node.write_attribute(ua.AttributeIds.AccessLevel, access)
            await node.write_attribute(ua.AttributeIds.UserAccessLevel, access)
            await node.write_attribute(ua.AttributeIds.Historizing, ua.DataValue(ua.Variant(True, ua.VariantType.Boolean)))
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.2)


def settings(folder, units, opc_port, broker_port):
    (folder / "profiles/t").mkdir(parents=True, exist_ok=True)
    gateway = f"""[gateway]
id = "gw-t"
site = "acme/one"
profile_folders = ["profiles"]
[uplink]
url = "mqtt://127.0.0.1:{broker_port}"
[[port]]
id = "opc"
protocol = "opcua"
url = "opc.tcp://127.0.0.1:{opc_port}/readings"
security = "none"
"""
    for meter, (unit, resolution) in units.items():
        (folder / f"profiles/t/{meter}.toml").write_text(f"""maker = "T"
model = "{meter}"
protocol = "opcua"
[[source]]
id = "t"
title = "t"
[[point]]
metric = "e"
unit = "{unit}"
kind = "counter"
node = "s={meter}"
type = "float"
resolution = {resolution}
modulus = "unknown"
source = "t"
""")
        gateway += f"""[[device]]
id = "{meter}"
port = "opc"
namespace = "{NAMESPACE}"
profile = "t/{meter}"
history = true
history_from = "all"
"""
    (folder / "gateway.toml").write_text(gateway)
    (folder / "nengliu.toml").write_text(f'[lake]\nfolder = "lake"\n[broker]\ntcp_port = {broker_port}\n')


def make_lake(nengliu, gateway, readings, units, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    opc_port, broker_port = free_port(), free_port()
    settings(folder, units, opc_port, broker_port)
    ready, stop = threading.Event(), threading.Event()
    server = threading.Thread(target=lambda: asyncio.run(serve(readings, opc_port, ready, stop)), daemon=True)
    server.start()
    if not ready.wait(120):
        raise TimeoutError("the OPC UA server does not start")
    processes = []

    def start(*command):
        log = open(folder / f"log-{len(processes)}", "w", encoding="utf-8")
        processes.append(subprocess.Popen([str(part) for part in command], cwd=folder, stdout=log, stderr=subprocess.STDOUT))

    try:
        start(Path(nengliu).resolve(), "serve", "-c", "nengliu.toml")
        wait(lambda: socket.socket().connect_ex(("127.0.0.1", broker_port)) == 0, 60, "the broker")
        start(Path(gateway).resolve(), "run", "-c", "gateway.toml")
        last = {meter: values[-1][0] for meter, values in readings.items()}
        wait(lambda: is_read(Path(gateway).resolve(), folder, last), 300, "the history")
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(30)
        stop.set()
        server.join(20)
    return folder / "lake"


def wait(condition, seconds, what):
    for _ in range(int(seconds * 4)):
        time.sleep(0.25)
        if condition():
            return
    raise TimeoutError(what)


def is_read(gateway, folder, last):
    asked = subprocess.run([gateway, "status", "--json", "-c", "gateway.toml"], cwd=folder, capture_output=True, text=True, check=False)
    try:
        status = json.loads(asked.stdout)
    except ValueError:
        return False
    marks = [(point.get("history_mark_ms") or 0) for point in status["points"]]
    return len(marks) == len(last) and min(marks) >= min(last.values()) and status["uplink"]["frames_waiting"] == 0
