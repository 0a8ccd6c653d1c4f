"""A strict reader of Prometheus' text exposition (0.0.4): whatever it does not know is an error."""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} (\S+)\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)')


def labels_of(text):
    found, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, f"labels: {text!r} at {at}"
        assert m[1] not in found, f"{m[1]} twice in {text!r}"
        found[m[1]] = re.sub(r"\\(.)", lambda e: "\n" if e[1] == "n" else e[1], m[2])
        at = m.end()
        assert m[3] != "," or at < len(text), f"a comma at the end of {text!r}"
    return found


def check_histogram(name, series):
    """Of one set of labels: buckets in order and never less, +Inf as many as _count."""
    by_labels = {}
    for (full, labels), value in series.items():
        labels = dict(labels)
        bound = labels.pop("le", None)
        by_labels.setdefault(tuple(sorted(labels.items())), []).append((full[len(name):], bound, value))
    for labels, rows in by_labels.items():
        buckets = [(math.inf if b == "+Inf" else float(b), v) for suffix, b, v in rows if suffix == "_bucket"]
        assert buckets == sorted(buckets) and buckets[-1][0] == math.inf, (name, labels, buckets)
        assert [v for _, v in buckets] == sorted(v for _, v in buckets), (name, labels)
        rest = {suffix: v for suffix, _, v in rows if suffix != "_bucket"}
        assert set(rest) == {"_sum", "_count"} and rest["_count"] == buckets[-1][1], (name, labels, rest)


def parse(text):
    """{name: (type, {(name of the series, its labels as a sorted tuple): value})}"""
    families, current, helped = {}, None, None
    assert text.endswith("\n") or not text
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, helped, words = line.split(" ", 3)
            assert words, line
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped, f"{name} is told without words"
            assert NAME.match(name) and kind in ("counter", "gauge", "histogram"), line
            assert name not in families, f"{name} stands in two places"
            current = name
            families[name] = (kind, {})
            continue
        m = LINE.match(line)
        assert m, f"no series: {line!r}"
        assert current, line
        kind, series = families[current]
        allowed = {current + s for s in ("_bucket", "_sum", "_count")} if kind == "histogram" else {current}
        assert m[1] in allowed, f"{m[1]} below the type of {current}"
        key = (m[1], tuple(sorted(labels_of(m[2]).items())))
        assert key not in series, f"twice: {line}"
        series[key] = float(m[3])
    for name, (kind, series) in families.items():
        assert series, f"{name} has a type and nothing else"
        if kind == "histogram":
            check_histogram(name, series)
    return families
