"""DNS messages as bytes (RFC 1035, 2782, 6891): queries with anything in them, and answers taken apart."""
import socket
import struct

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41, "AXFR": 252, "ANY": 255}
TYPE_NAMES = {v: k for k, v in TYPES.items()}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"}


def labels(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


def query(name, rrtype="A", ident=7, edns=None, flags=0x0100, rrclass=1, version=0):
    """edns: how many bytes the asker takes."""
    head = struct.pack(">HHHHHH", ident, flags, 1, 0, 0, 1 if edns else 0)
    opt = b"\0" + struct.pack(">HHBBHH", TYPES["OPT"], edns, 0, version, 0, 0) if edns else b""
    return head + labels(name) + struct.pack(">HH", TYPES[rrtype], rrclass) + opt


class Message:
    """An answer, taken apart (RFC 1035 4.1)."""

    def __init__(self, data):
        self.data = data
        self.id, self.flags, questions, *counts = struct.unpack(">HHHHHH", data[:12])
        self.truncated, self.authoritative = bool(self.flags & 0x200), bool(self.flags & 0x400)
        assert self.flags & 0x8000, "an answer"
        rcode, at = self.flags & 15, 12
        for _ in range(questions):
            self.question, at = self.name(at)
            at += 4
        sections = []
        for count in counts:
            records = []
            for _ in range(count):
                owner, at = self.name(at)
                rrtype, _, ttl, n = struct.unpack(">HHIH", data[at:at + 10])
                if rrtype == TYPES["OPT"]:
                    rcode |= ttl >> 24 << 4
                records.append((owner, rrtype, self.rdata(rrtype, at + 10, n), ttl))
                at += 10 + n
            sections.append(records)
        assert at == len(data), "nothing behind the last record"
        self.rcode = RCODES[rcode]
        self.answers, self.authority, self.additional = sections
        self.values = sorted(r[2] for r in self.answers)
        self.soa = [r for r in self.authority if r[1] == TYPES["SOA"]]

    def name(self, at):
        parts, end = [], None
        while self.data[at]:
            if self.data[at] >= 0xc0:
                end = end or at + 2
                at = (self.data[at] & 0x3f) << 8 | self.data[at + 1]
                continue
            parts.append(self.data[at + 1:at + 1 + self.data[at]].decode())
            at += 1 + self.data[at]
        return ".".join(parts), end or at + 1

    def rdata(self, rrtype, at, n):
        raw = self.data[at:at + n]
        if rrtype == TYPES["A"]:
            return socket.inet_ntoa(raw)
        if rrtype == TYPES["AAAA"]:
            return socket.inet_ntop(socket.AF_INET6, raw)
        if rrtype in (TYPES["CNAME"], TYPES["PTR"], TYPES["NS"]):
            return self.name(at)[0]
        if rrtype == TYPES["SRV"]:
            return "%d %d %d " % struct.unpack(">HHH", raw[:6]) + self.name(at + 6)[0]
        return raw

    def lines(self):
        """Code, flags and every record as sorted text; of a SOA only its zone, of OPT nothing: what two servers should answer alike."""
        flags = "".join(f" {word}" for word, bit in (("aa", 0x400), ("tc", 0x200), ("cd", 0x10)) if self.flags & bit)
        out = [self.rcode + flags]
        for mark, records in (("", self.answers), ("authority ", self.authority), ("additional ", self.additional)):
            text = []
            for owner, rrtype, value, ttl in records:
                if rrtype == TYPES["SOA"]:
                    text.append(f"{mark}{owner} SOA")
                elif rrtype != TYPES["OPT"]:
                    value = value.decode() if isinstance(value, bytes) else value
                    text.append(f"{mark}{owner} {ttl} {TYPE_NAMES[rrtype]} {value}")
            out += sorted(text)
        return out
