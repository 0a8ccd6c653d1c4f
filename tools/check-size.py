#!/usr/bin/env python3
"""No function over 100 lines, no file over 1000 lines, in src/, lab/, tests/ and bench/ C code.

A function is counted from its opening brace in column 0 to the closing brace in column 0 (the house format guarantees
both). Exit code 1 and one line per breach.
"""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUNCTION_MAX = 100
FILE_MAX = 1000


def c_files():
    for top in ("src", "lab", "tests", "bench", "bpf"):
        for base, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.join(base, name)


def check(path):
    rel = os.path.relpath(path, ROOT)
    with open(path, errors="replace") as f:
        lines = f.read().split("\n")
    if len(lines) > FILE_MAX:
        yield f"{rel}: {len(lines)} lines (at most {FILE_MAX})"
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start - 1 > FUNCTION_MAX:
                name = lines[start - 2].split("(")[0].split()[-1].lstrip("*")
                yield f"{rel}:{start}: {name} has {number - start - 1} lines (at most {FUNCTION_MAX})"
            start = None


def main():
    breaches = [b for path in c_files() for b in check(path)]
    for breach in breaches:
        print(breach)
    print(f"check-size: {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
