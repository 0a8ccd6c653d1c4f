#!/usr/bin/env python3
"""Checks every #include under src/ against layers.conf.

A file may include its own directory and the directories its line names; NAME_priv.h never crosses a directory; headers
of one layer that another may see only in part are listed as LAYER/PART-headers. A part of a layer (src/LAYER/PART/) may
include its own headers and those that stand in src/LAYER/ itself, never another part's. Include cycles among project headers
are refused, directories without a README.md too. Exit code 1 and one line per breach.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SRC = os.path.join(ROOT, "src")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def read_conf():
    uses, parts = {}, {}
    with open(os.path.join(ROOT, "layers.conf")) as f:
        for line in f:
            line = line.split("#")[0].strip()
            if not line:
                continue
            name, _, rest = line.partition(":")
            if "/" in name:
                layer, part = name.split("/")
                parts[(layer, part.replace("-headers", ""))] = set(rest.split())
            else:
                uses[name] = set(rest.split())
    return uses, parts


def source_files():
    for base, _, names in os.walk(SRC):
        for name in sorted(names):
            if name.endswith((".c", ".h", ".def")):
                yield os.path.relpath(os.path.join(base, name), SRC)


def check_file(path, text, uses, parts):
    layer = path.split("/")[0]
    if layer not in uses:
        yield f"src/{path}: directory {layer} is not in layers.conf"
        return
    for target in INCLUDE.findall(text):
        if "/" not in target:
            yield f'src/{path}: "{target}" must be written with its directory'
            continue
        other, name = target.split("/", 1)
        there, here = os.path.dirname(target), os.path.dirname(path)
        if name.endswith("_priv.h") and there != here:
            yield f"src/{path}: {target} is private to {there}"
        if other == layer:
            if here != layer and there not in (here, layer):
                yield f"src/{path}: {here} may not include {target}: parts of {layer} do not know each other"
            continue
        if other not in uses[layer]:
            yield f"src/{path}: {layer} may not include {target}"
        allowed = parts.get((layer, other))
        if allowed is not None and name not in allowed:
            yield f"src/{path}: {layer} may include only {', '.join(sorted(allowed))} of {other}, not {name}"


def find_cycle(graph):
    state, stack = {}, []

    def visit(node):
        state[node] = 1
        stack.append(node)
        for nxt in graph.get(node, ()):
            if state.get(nxt) == 1:
                return stack[stack.index(nxt):] + [nxt]
            if nxt in graph and nxt not in state:
                cycle = visit(nxt)
                if cycle:
                    return cycle
        state[node] = 2
        stack.pop()
        return None

    for node in graph:
        if node not in state:
            cycle = visit(node)
            if cycle:
                return cycle
    return None


def main():
    uses, parts = read_conf()
    breaches, graph = [], {}
    for path in source_files():
        with open(os.path.join(SRC, path)) as f:
            text = f.read()
        breaches += check_file(path, text, uses, parts)
        if path.endswith(".h"):
            graph[path] = INCLUDE.findall(text)
    breaches += [f"{d}: no README.md" for d in sorted({os.path.dirname(p) for p in source_files()})
                 if not os.path.exists(os.path.join(SRC, d, "README.md"))]
    cycle = find_cycle(graph)
    if cycle:
        breaches.append("include cycle: " + " -> ".join(cycle))
    for breach in breaches:
        print(breach)
    print(f"check-layers: {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
