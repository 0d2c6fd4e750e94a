"""An independent Modbus server (pymodbus) over TCP (also with RTU frames) or a serial line, serving the registers that a JSON file gives.

    {"units": [{"unit_id": 1, "delay_ms": 0,
                "holding": [{"address": 0, "words": [1, 2]},
                            {"address": 10, "float": 230.5, "word_order": "big"},
                            {"address": 20, "counter": {"start": 1000, "per_second": 50, "words": 2}}],
                "input": [...]}]}

A counter is `start + per_second * seconds since the server started`, rounded down, most significant word first unless
`word_order` is "little". An address that no entry covers is answered with "illegal data address". The file is read again
when it changes on disk (same addresses), so a test can set values. `--count-file` receives the number of requests that
reached a register.

Must never answer late on purpose: pymodbus stamps a late answer with the newest request's id, so it would forge data.
`delay_ms` delays every answer of a unit and is for tests that send one request at a time.
"""

import argparse
import asyncio
import os
import struct
import time

from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from common import read_json, say, write_json

AREAS = {3: "holding", 4: "input"}


def size_of(entry):
    """How many registers an entry covers."""
    if "words" in entry:
        return len(entry["words"])
    return 2 if "float" in entry else entry["counter"].get("words", 2)


def words_of(entry, seconds):
    """The registers of one entry at this time."""
    if "words" in entry:
        return entry["words"]
    if "float" in entry:
        words = list(struct.unpack(">2H", struct.pack(">f", entry["float"])))
    else:
        counter = entry["counter"]
        size = counter.get("words", 2)
        value = counter["start"] + int(counter["per_second"] * seconds)
        value %= 1 << (16 * size)
        words = [(value >> (16 * (size - 1 - i))) & 0xFFFF for i in range(size)]
    return words[::-1] if entry.get("word_order") == "little" else words


class Plant:
    """The register file, its age and the number of requests answered."""

    def __init__(self, path):
        self.path = path
        self.started = time.monotonic()
        self.requests = 0
        self.load()

    def load(self):
        self.stamp = os.stat(self.path).st_mtime_ns
        self.units = {unit["unit_id"]: unit for unit in read_json(self.path)["units"]}

    def devices(self):
        return [self.device(unit) for unit in self.units.values()]

    def device(self, unit):
        def blocks(area):
            entries = sorted(unit.get(area, []), key=lambda entry: entry["address"])
            return [
                SimData(e["address"], values=list(words_of(e, 0)), datatype=DataType.REGISTERS) for e in entries
            ] or [SimData(0xFFFF, values=0, datatype=DataType.REGISTERS)]

        unused = [SimData(0, values=False, datatype=DataType.BITS)]

        async def before_answer(code, start, address, count, registers, values):
            self.requests += 1
            if os.stat(self.path).st_mtime_ns != self.stamp:
                self.load()
            now = self.units[unit["unit_id"]]
            if delay_ms := now.get("delay_ms", 0):
                await asyncio.sleep(delay_ms / 1000)
            seconds = time.monotonic() - self.started
            for entry in now.get(AREAS.get(code, ""), []):
                at, size = entry["address"], size_of(entry)
                # Looked at first, so that thousands of entries cost little.
                if at < address + count and address < at + size:
                    registers[at - start : at - start + size] = words_of(entry, seconds)

        return SimDevice(
            unit["unit_id"],
            simdata=(unused, unused, blocks("holding"), blocks("input")),
            action=before_answer,
        )


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registers", required=True)
    parser.add_argument("--count-file")
    parser.add_argument("--tcp-port", type=int)
    parser.add_argument("--rtu-over-tcp", action="store_true")
    parser.add_argument("--serial")
    parser.add_argument("--baud", type=int, default=9600)
    args = parser.parse_args()

    plant = Plant(args.registers)
    if args.serial:
        server = ModbusSerialServer(
            plant.devices(), framer=FramerType.RTU, port=args.serial, baudrate=args.baud
        )
    else:
        framer = FramerType.RTU if args.rtu_over_tcp else FramerType.SOCKET
        server = ModbusTcpServer(plant.devices(), framer=framer, address=("127.0.0.1", args.tcp_port))
    await server.serve_forever(background=True)
    say(ready=True)
    while True:
        if args.count_file:
            write_json(args.count_file, {"requests": plant.requests})
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
