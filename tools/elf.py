"""What an ELF file says of itself: its machine, its interpreter, its name, the libraries it needs, what it lacks of hardening. elf.py FILE...: the latter; exit code 1 if there is something."""
import re
import struct
import sys

MACHINES = {"amd64": 62, "arm64": 183}
TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 3, 0x6474e551, 0x6474e552
PF_X, PF_W = 1, 2
ET_DYN, SHT_DYNSYM = 3, 11
DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_TEXTREL, DT_BIND_NOW, DT_RUNPATH, DT_FLAGS, DT_FLAGS_1 = 1, 5, 14, 15, 22, 24, 29, 30, 0x6ffffffb
DF_TEXTREL, DF_BIND_NOW, DF_1_NOW, DF_1_PIE = 4, 8, 1, 0x08000000
# What libc is asked for by name when a program is compiled with -fstack-protector-strong, and with -D_FORTIFY_SOURCE.
STACK_PROTECTOR = re.compile("__stack_chk_fail$")
FORTIFIED = re.compile("__\\w+_chk$")


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
        self.kind, = struct.unpack_from("<H", data, 16)
        self.segments, self.tags, self.imports = [], {}, set()
        offset, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        loads, dynamic = [], None
        for i in range(count):
            kind, flags, at, address, _, length = struct.unpack_from("<IIQQQQ", data, offset + i * size)
            self.segments.append((kind, flags))
            if kind == PT_LOAD:
                loads.append((address, at, length))
            elif kind == PT_DYNAMIC:
                dynamic = data[at:at + length]
            elif kind == PT_INTERP:
                self.interpreter = data[at:at + length].rstrip(b"\0").decode()
        if dynamic:
            self._read_dynamic(data, dynamic, loads)
            self._read_imports(data)

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
            self.tags[tag] = value
            if tag == DT_NEEDED:
                self.needed.append(text(value))
            elif tag == DT_SONAME:
                self.soname = text(value)


    def _read_imports(self, data):
        offset, = struct.unpack_from("<Q", data, 40)
        size, count = struct.unpack_from("<HH", data, 58)
        sections = [struct.unpack_from("<IIQQQQII", data, offset + i * size) for i in range(count)]
        for _, kind, _, _, at, length, link, _ in sections:
            if kind != SHT_DYNSYM:
                continue
            names = sections[link][4]
            for symbol in range(at, at + length, 24):
                name, _, _, where = struct.unpack_from("<IBBH", data, symbol)
                if name and where == 0:
                    self.imports.add(data[names + name:data.index(b"\0", names + name)].decode())

    def lacks(self):
        """Which of the eight it is without, by name."""
        flags, flags_1 = self.tags.get(DT_FLAGS, 0), self.tags.get(DT_FLAGS_1, 0)
        has = {"position independent (-pie)": self.kind == ET_DYN and bool(flags_1 & DF_1_PIE),
               "relocations read-only (-z relro)": any(kind == PT_GNU_RELRO for kind, _ in self.segments),
               "bound at start (-z now)": DT_BIND_NOW in self.tags or bool(flags & DF_BIND_NOW or flags_1 & DF_1_NOW),
               "no executable stack (-z noexecstack)": any(kind == PT_GNU_STACK and not f & PF_X for kind, f in self.segments),
               "stack protector (-fstack-protector-strong)": any(map(STACK_PROTECTOR.match, self.imports)),
               "fortified (-D_FORTIFY_SOURCE)": any(FORTIFIED.match(i) and not STACK_PROTECTOR.match(i) for i in self.imports),
               "no library path of its own (-rpath)": DT_RPATH not in self.tags and DT_RUNPATH not in self.tags,
               "nothing both written and run (no text relocations)": DT_TEXTREL not in self.tags and not flags & DF_TEXTREL
               and not any(kind == PT_LOAD and f & PF_X and f & PF_W for kind, f in self.segments)}
        return [name for name, there in has.items() if not there]


def read(path):
    with open(path, "rb") as f:
        return Elf(f.read())


if __name__ == "__main__":
    found = [(path, what) for path in sys.argv[1:] for what in read(path).lacks()]
    for path, what in found:
        print(f"{path}: lacks: {what}")
    sys.exit(bool(found))
