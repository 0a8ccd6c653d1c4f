"""What an ELF file says of itself: its machine, its interpreter, its name, the libraries it needs."""
import struct

MACHINES = {"amd64": 62, "arm64": 183}
TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_SONAME = 1, 5, 14


class NotElf(ValueError):
    pass


class Elf:
    """Of 64 bits, little endian. `machine` is a name of MACHINES, or the number."""

    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
            raise NotElf("not an ELF file of 64 bits, little endian")
        number, = struct.unpack_from("<H", data, 18)
        self.machine = next((name for name, n in MACHINES.items() if n == number), number)
        self.interpreter, self.soname, self.needed = None, None, []
        offset, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        loads, dynamic = [], None
        for i in range(count):
            kind, _, at, address, _, length = struct.unpack_from("<IIQQQQ", data, offset + i * size)
            if kind == PT_LOAD:
                loads.append((address, at, length))
            elif kind == PT_DYNAMIC:
                dynamic = data[at:at + length]
            elif kind == PT_INTERP:
                self.interpreter = data[at:at + length].rstrip(b"\0").decode()
        if dynamic:
            self._read_dynamic(data, dynamic, loads)

    def _read_dynamic(self, data, dynamic, loads):
        entries = [struct.unpack_from("<QQ", dynamic, i) for i in range(0, len(dynamic) - 15, 16)]
        address = dict(entries).get(DT_STRTAB, 0)
        table = next((at + address - start for start, at, length in loads if start <= address < start + length), None)
        if table is None:
            raise NotElf("its table of names lies nowhere in it")

        def text(at):
            return data[table + at:data.index(b"\0", table + at)].decode()
        for tag, value in entries:
            if tag == 0:
                break
            if tag == DT_NEEDED:
                self.needed.append(text(value))
            elif tag == DT_SONAME:
                self.soname = text(value)


def read(path):
    with open(path, "rb") as f:
        return Elf(f.read())
