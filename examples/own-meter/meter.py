"""A Modbus TCP meter to try the gateway on: unit 1, a counter in 0.01 kWh at holding registers 0 and 1.

    python3 -m pip install pymodbus==3.16.1
    python3 meter.py            # or: python3 meter.py 5021
"""

import asyncio
import sys

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

READING = 1_234_567  # 12 345.67 kWh


async def main(tcp_port):
    words = [READING >> 16, READING & 0xFFFF]
    registers = SimData(0, values=words, datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(1, simdata=[registers]), address=("127.0.0.1", tcp_port))
    print(f"meter on 127.0.0.1:{tcp_port}, unit 1, shows {READING / 100} kWh", flush=True)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5020))
