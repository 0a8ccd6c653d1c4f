"""Protobuf by the project's .proto files: dicts with the fields' names to bytes and back. Small on purpose, and not the code that it tests."""
import pathlib
import re
import struct

ROOT = pathlib.Path(__file__).resolve().parents[3] / "proto"
TOKEN = re.compile(r'"[^"]*"|[\w.]+|[{}<>=;,\[\]]')
VARINTS = {"int32", "int64", "uint32", "uint64", "bool"}
messages, enums = {}, {}


def parse(text):
    tokens = TOKEN.findall(re.sub(r"//.*", "", text))
    package, at = "", 0
    stack = []  # (name, is a message)
    while at < len(tokens):
        t = tokens[at]
        if t == "package":
            package, at = tokens[at + 1], at + 3
        elif t in ("import", "syntax", "option", "reserved"):
            at = tokens.index(";", at) + 1
        elif t in ("message", "enum", "oneof"):
            name = ".".join([package, *(s for s in stack if s), tokens[at + 1]])
            if t == "message":
                messages[name] = {}
            elif t == "enum":
                enums[name] = {}
            stack.append(None if t == "oneof" else tokens[at + 1])
            kind = t if t != "oneof" else "message"
            at += 3
            if kind == "enum":
                while tokens[at] != "}":
                    enums[name][tokens[at]] = int(tokens[at + 2])
                    at = tokens.index(";", at) + 1
        elif t == "}":
            stack.pop()
            at += 1
        else:
            owner = ".".join([package, *(s for s in stack if s)])
            repeated = t == "repeated"
            at += repeated or t == "optional"
            kind = tokens[at]
            if kind == "map":
                kind, at = ("map", tokens[at + 2], tokens[at + 4]), at + 5
            name, number = tokens[at + 1], int(tokens[at + 3])
            messages[owner][name] = (number, kind, repeated)
            at = tokens.index(";", at) + 1


for file in ROOT.rglob("*.proto"):
    parse(file.read_text())


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, kind, value):
    if isinstance(kind, tuple):
        return b"".join(field(number, None, field(1, kind[1], k) + field(2, kind[2], v)) for k, v in value.items())
    if kind in VARINTS:
        return varint(number << 3) + varint(int(value))
    if kind in enums:
        return varint(number << 3) + varint(enums[kind][value] if isinstance(value, str) else value)
    if kind in ("double", "fixed64"):
        return varint(number << 3 | 1) + struct.pack("<d" if kind == "double" else "<Q", value)
    if kind in ("float", "fixed32"):
        return varint(number << 3 | 5) + struct.pack("<f" if kind == "float" else "<I", value)
    if kind == "string":
        value = value.encode()
    elif kind not in ("bytes", None):
        value = encode(kind, value)
    return varint(number << 3 | 2) + varint(len(value)) + value


WRAPPERS = re.compile(r"google\.protobuf\.\w+Value\Z")


def encode(name, value):
    """value: a dict; an Any as its JSON form; durations "1.5s"; wrappers bare."""
    if name == "google.protobuf.Any":
        inner = {k: v for k, v in value.items() if k != "@type"}
        return field(1, "string", value["@type"]) + field(2, "bytes", encode(value["@type"].rpartition("/")[2], inner))
    if name == "google.protobuf.Duration":
        ns = round(float(value.removesuffix("s")) * 1e9)
        value = {"seconds": ns // 10**9, "nanos": ns % 10**9}
    elif name == "google.protobuf.Struct":
        value = {"fields": value}
    elif name == "google.protobuf.Value":
        value = {{str: "string_value", dict: "struct_value", list: "list_value", bool: "bool_value"}.get(type(value), "number_value"): value}
    elif name == "google.protobuf.ListValue":
        value = {"values": value}
    elif WRAPPERS.match(name) and not isinstance(value, dict):
        value = {"value": value}
    out = b""
    for key, v in value.items():
        number, kind, repeated = messages[name][key]
        for one in v if repeated else [v]:
            out += field(number, kind, one)
    return out


def fields(data):
    """[(number, value)], undeciphered: a varint, or bytes."""
    found, at = [], 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            found.append((tag >> 3, number()))
            continue
        n = {1: 8, 5: 4}.get(tag & 7) or number()
        assert tag & 7 in (1, 2, 5) and at + n <= len(data), (tag, n, at, len(data))
        found.append((tag >> 3, data[at:at + n]))
        at += n
    return found


def decode(name, data):
    """The other way, for the few kinds that requests are made of."""
    out = {}
    known = {number: (key, kind, repeated) for key, (number, kind, repeated) in messages[name].items()}
    for number, v in fields(data):
        key, kind, repeated = known[number]
        if isinstance(kind, tuple):
            messages["entry"] = {"k": (1, kind[1], False), "v": (2, kind[2], False)}
            entry = decode("entry", v)
            out.setdefault(key, {})[entry.get("k", "")] = entry.get("v", "")
            continue
        if kind == "string":
            v = v.decode()
        elif kind in messages:
            v = decode(kind, v)
        if repeated:
            out.setdefault(key, []).append(v)
        else:
            out[key] = v
    return out
