"""Independent clients: each command does one thing against a server and prints one JSON document.

Must never know our programs; it proves the peers alone and looks at our servers from outside.
"""

import argparse
import asyncio
import json
from datetime import datetime, timezone
from pathlib import Path

from certificates import own_certificate

CLIENT_URI = "urn:nengliu:tests:probe"


def modbus(args):
    from pymodbus.client import ModbusSerialClient, ModbusTcpClient

    if args.serial:
        client = ModbusSerialClient(args.serial, baudrate=args.baud, timeout=2)
    else:
        client = ModbusTcpClient("127.0.0.1", port=args.tcp_port, timeout=2)
    if not client.connect():
        raise SystemExit("cannot connect")
    read = client.read_input_registers if args.area == "input" else client.read_holding_registers
    answer = read(args.address, count=args.count, device_id=args.unit)
    client.close()
    if answer.isError():
        return {"exception_code": answer.exception_code}
    return {"words": answer.registers}


async def opcua_client(args):
    from asyncua import Client
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

    own = own_certificate(args.pki, "probe", CLIENT_URI)
    client = Client(f"opc.tcp://127.0.0.1:{args.port}/", timeout=20)
    client.application_uri = CLIENT_URI
    await client.set_security(SecurityPolicyBasic256Sha256, str(own.certificate), str(own.key))
    return client


async def opcua_history(args):
    """Reads a node's whole history in pages, going on from the last source time until a page brings nothing new."""
    client = await opcua_client(args)
    times, values, pages = [], [], 0
    async with client:
        node = client.get_node(args.node)
        start = datetime(1970, 1, 2, tzinfo=timezone.utc)
        while True:
            page = await node.read_raw_history(start, datetime.now(timezone.utc), numvalues=args.page)
            pages += 1
            new = [v for v in page if not times or v.SourceTimestamp > start]
            times += [int(v.SourceTimestamp.timestamp() * 1000) for v in new]
            values += [v.Value.Value for v in new]
            if not new:
                break
            start = page[-1].SourceTimestamp
    return {"pages": pages, "count": len(values), "times_ms": times[:2] + times[-2:], "values": values[:2] + values[-2:]}


async def opcua_subscribe(args):
    """What a subscription gives during `--seconds`: lines of source time in ms and value."""

    class Handler:
        def __init__(self):
            self.seen = []

        def datachange_notification(self, _node, value, data):
            stamp = data.monitored_item.Value.SourceTimestamp
            self.seen.append([int(stamp.timestamp() * 1000 + 0.5), value])

    client, handler = await opcua_client(args), Handler()
    async with client:
        subscription = await client.create_subscription(20, handler)
        await subscription.subscribe_data_change(client.get_node(args.node), queuesize=100)
        await asyncio.sleep(args.seconds)
        await subscription.delete()
    return {"seen": handler.seen}


def opcua_certificate(args):
    return {"certificate": str(own_certificate(args.pki, "probe", CLIENT_URI).certificate)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("modbus")
    command.set_defaults(run=modbus)
    command.add_argument("--tcp-port", type=int)
    command.add_argument("--serial")
    command.add_argument("--baud", type=int, default=9600)
    command.add_argument("--unit", type=int, default=1)
    command.add_argument("--area", choices=["holding", "input"], default="holding")
    command.add_argument("--address", type=int, required=True)
    command.add_argument("--count", type=int, default=1)

    for name, run in [
        ("opcua-certificate", opcua_certificate),
        ("opcua-history", opcua_history),
        ("opcua-subscribe", opcua_subscribe),
    ]:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--pki", type=Path, required=True)
        if name != "opcua-certificate":
            command.add_argument("--port", type=int, required=True)
            command.add_argument("--node", required=True)
        command.add_argument("--page", type=int, default=1000)
        command.add_argument("--seconds", type=float, default=1)

    args = parser.parse_args()
    answer = args.run(args)
    print(json.dumps(asyncio.run(answer) if asyncio.iscoroutine(answer) else answer))


if __name__ == "__main__":
    main()
