#!/usr/bin/env python3
"""Checks every #include under src/ and lab/ against layers.conf, and that no files need each other in a circle.

A file may include its own directory and the directories its line names; NAME_priv.h never crosses a directory; headers
of one layer that another may see only in part are listed as LAYER/PART-headers. A part of a layer (LAYER/PART/) may
include its own headers and those that stand in LAYER/ itself, never another part's. Directories without a README.md are
refused. A file needs the headers that it includes and the sources whose functions or tables it names; files that need
each other in a circle are refused. Exit code 1 and one line per breach.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TREES = {"src": os.path.join(ROOT, "src"), "lab": ROOT}  # directory -> what its #includes are written from
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
FUNCTION = re.compile(r'^(?!static\b)[a-z][^;{}=#]*?\b(\w+)\([^;{}]*\)\s*(?:__attribute__\(.*?\)\)\s*)?\n\{', re.M)
TABLE = re.compile(r'^(?!static\b|extern\b|typedef\b)[a-z][\w *]*?\b(\w+)(?:\[[^\]\n]*\])*\s*=', re.M)
WORD = re.compile(r'\b[a-z_]\w+\b')


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


def read_files():
    """Path as #includes write it -> text."""
    files = {}
    for tree, base in TREES.items():
        for where, _, names in os.walk(os.path.join(ROOT, tree)):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".def")):
                    path = os.path.join(where, name)
                    with open(path) as f:
                        files[os.path.relpath(path, base)] = f.read()
    return files


def shown(path):
    return path if path.split("/")[0] == "lab" else "src/" + path


def check_file(path, text, uses, parts):
    layer = path.split("/")[0]
    if layer not in uses:
        yield f"{shown(path)}: directory {layer} is not in layers.conf"
        return
    for target in INCLUDE.findall(text):
        if "/" not in target:
            yield f'{shown(path)}: "{target}" must be written with its directory'
            continue
        other, name = target.split("/", 1)
        there, here = os.path.dirname(target), os.path.dirname(path)
        if name.endswith("_priv.h") and there != here:
            yield f"{shown(path)}: {target} is private to {there}"
        if other == layer:
            if here != layer and there not in (here, layer):
                yield f"{shown(path)}: {here} may not include {target}: parts of {layer} do not know each other"
            continue
        if other not in uses[layer]:
            yield f"{shown(path)}: {layer} may not include {target}"
        allowed = parts.get((layer, other))
        if allowed is not None and name not in allowed:
            yield f"{shown(path)}: {layer} may include only {', '.join(sorted(allowed))} of {other}, not {name}"


def needs(files):
    """File -> {file it needs: one name that shows it}."""
    code = {path: NOISE.sub(" ", text) for path, text in files.items()}
    owners = {}
    for path, text in code.items():
        if path.endswith(".c") and not path.endswith("main.c"):
            for name in FUNCTION.findall(text) + TABLE.findall(text):
                owners.setdefault(name, set()).add(path)
    graph = {}
    for path, text in code.items():
        graph[path] = {target: "#include" for target in INCLUDE.findall(files[path]) if target in files}
        for name in set(WORD.findall(text)) if path.endswith(".c") else ():
            if len(owners.get(name, ())) == 1:
                graph[path].setdefault(min(owners[name]), name)
        graph[path].pop(path, None)
    return graph


def find_circles(graph):
    """Strongly connected components of more than one file (Tarjan)."""
    index, low, stack, circles = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in graph[file]:
            if other not in index:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], index[other])
        if low[file] == index[file]:
            at = stack.index(file)
            if len(stack) - at > 1:
                circles.append(sorted(stack[at:]))
            del stack[at:]

    for file in graph:
        if file not in index:
            visit(file)
    return circles


def main():
    sys.setrecursionlimit(10000)
    uses, parts = read_conf()
    files = read_files()
    breaches = [b for path, text in files.items() for b in check_file(path, text, uses, parts)]
    breaches += [f"{shown(d)}: no README.md" for d in sorted({os.path.dirname(p) for p in files})
                 if not os.path.exists(os.path.join(ROOT, shown(d), "README.md"))]
    graph = needs(files)
    for circle in find_circles(graph):
        breaches.append("circle of " + ", ".join(shown(m) for m in circle))
        breaches += [f"    {shown(m)} needs {shown(o)}: {name}" for m in circle for o, name in sorted(graph[m].items())
                     if o in circle]
    for breach in breaches:
        print(breach)
    print(f"check-layers: {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
