#!/usr/bin/env python3
"""Writes deploy/crds/metallb: CustomResourceDefinitions of the kinds of MetalLB's API that are served, from the one description below.

No argument: write the files. --check: exit 1, naming the file, if they are not what would be written.

Group, names, version and fields are MetalLB's (metallb.io/v1beta1), so that either set can take the other's place and objects stay.
"""
import os
import sys

import yaml
from istio_crds import BOOL, INT, LABELS, ROOT, STRING, STRINGS, Dumper, enum, items, obj, whole

OUT = os.path.join(ROOT, "deploy", "crds", "metallb")
# meta/v1 LabelSelector.
SELECTOR = obj({
    "matchLabels": LABELS,
    "matchExpressions": items(obj({"key!": STRING, "operator!": enum("In", "NotIn", "Exists", "DoesNotExist"), "values": STRINGS}))},
    **{"x-kubernetes-map-type": "atomic"})
SELECTORS = items(SELECTOR)
COUNT = {"type": "integer", "format": "int64"}

POOL = obj({
    "addresses!": STRINGS, "autoAssign": {**BOOL, "default": True}, "avoidBuggyIPs": {**BOOL, "default": False},
    "serviceAllocation": obj({"priority": INT, "namespaces": STRINGS, "namespaceSelectors": SELECTORS, "serviceSelectors": SELECTORS})})
POOL_STATUS = obj({"assignedIPv4": COUNT, "assignedIPv6": COUNT, "availableIPv4": COUNT, "availableIPv6": COUNT})
L2 = obj({
    "ipAddressPools": STRINGS, "ipAddressPoolSelectors": SELECTORS, "nodeSelectors": SELECTORS, "interfaces": STRINGS, "serviceSelectors": SELECTORS,
    "preferredNodeSelectors": items(obj({"weight!": whole(1, 100, format="int32"), "preference!": SELECTOR}))})


def column(name, field, kind="string"):
    return {"name": name, "jsonPath": ".spec." + field, "type": kind}


# kind, plural, what it is for, spec, needs a spec, status, columns
KINDS = [
    ("IPAddressPool", "ipaddresspools", "Addresses for Services of type LoadBalancer.", POOL, True, POOL_STATUS,
     [column("Auto Assign", "autoAssign", "boolean"), column("Avoid Buggy IPs", "avoidBuggyIPs", "boolean"), column("Addresses", "addresses")]),
    ("L2Advertisement", "l2advertisements", "Which addresses are answered for by ARP and neighbour discovery, and where.", L2, False, obj({}),
     [column("IPAddressPools", "ipAddressPools"), column("IPAddressPool Selectors", "ipAddressPoolSelectors"), column("Interfaces", "interfaces")]),
]


def files():
    for kind, plural, what, spec, needs, status, columns in KINDS:
        schema = obj({"spec!" if needs else "spec": spec, "status": {**status, "x-kubernetes-preserve-unknown-fields": True}}, description=what)
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.metallb.io"},
            "spec": {
                "group": "metallb.io", "scope": "Namespaced",
                "names": {"kind": kind, "listKind": kind + "List", "plural": plural, "singular": kind.lower()},
                "versions": [{"name": "v1beta1", "served": True, "storage": True, "subresources": {"status": {}}, "additionalPrinterColumns": columns,
                              "schema": {"openAPIV3Schema": schema}}]}}
        text = yaml.dump(definition, Dumper=Dumper, sort_keys=False, default_flow_style=None, width=160, allow_unicode=True)
        yield f"{plural}.yaml", f"# {kind} of metallb.io; made by tools/metallb_crds.py, which is the place to change it.\n{text}"


def main():
    made = dict(files())
    os.makedirs(OUT, exist_ok=True)
    if sys.argv[1:] == ["--check"]:
        there = {n: open(os.path.join(OUT, n), encoding="utf-8").read() for n in os.listdir(OUT)}
        wrong = sorted(n for n in set(there) | set(made) if there.get(n) != made.get(n))
        for name in wrong:
            print(f"deploy/crds/metallb/{name} is not what tools/metallb_crds.py writes; run it")
        return 1 if wrong else 0
    if sys.argv[1:]:
        print("usage: tools/metallb_crds.py [--check]", file=sys.stderr)
        return 2
    for name, text in made.items():
        with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
            f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
