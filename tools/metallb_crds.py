#!/usr/bin/env python3
"""Writes deploy/crds/metallb: CustomResourceDefinitions of the kinds of MetalLB's API that are served, from the one description below.

No argument: write the files. --check: exit 1, naming the file, if they are not what would be written.

Group, names, versions and fields are MetalLB's (metallb.io), so that either set can take the other's place and objects stay.
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


ASN = whole(0, 4294967295, format="int64")
DURATION = STRING  # of Go: 9s
PEER = obj({
    "myASN!": ASN, "peerASN": ASN, "dynamicASN": enum("internal", "external"), "localASN": ASN, "peerAddress": STRING, "interface": STRING, "sourceAddress": STRING,
    "peerPort": whole(1, 16384, default=179), "holdTime": DURATION, "keepaliveTime": DURATION, "connectTime": DURATION, "routerID": STRING, "nodeSelectors": SELECTORS,
    "password": STRING, "passwordSecret": obj({"name": STRING, "namespace": STRING}, **{"x-kubernetes-map-type": "atomic"}), "bfdProfile": STRING,
    "enableGracefulRestart": BOOL, "ebgpMultiHop": BOOL, "vrf": STRING, "disableMP": {**BOOL, "default": False}, "dualStackAddressFamily": {**BOOL, "default": False}})
BGP = obj({
    "aggregationLength": {"type": "integer", "format": "int32", "minimum": 1, "default": 32}, "aggregationLengthV6": {"type": "integer", "format": "int32", "default": 128},
    "localPref": whole(0, 4294967295, format="int64"), "communities": STRINGS, "ipAddressPools": STRINGS, "ipAddressPoolSelectors": SELECTORS, "nodeSelectors": SELECTORS,
    "peers": STRINGS, "serviceSelectors": SELECTORS})
COMMUNITY = obj({"communities": items(obj({"name": STRING, "value": STRING}))})
MS = whole(10, 60000, format="int32")
BFD = obj({
    "receiveInterval": MS, "transmitInterval": MS, "detectMultiplier": whole(2, 255, format="int32"), "echoInterval": MS, "echoMode": BOOL, "passiveMode": BOOL,
    "minimumTtl": whole(1, 254, format="int32")})


def column(name, field, kind="string", **more):
    return {"name": name, "jsonPath": ".spec." + field, "type": kind, **more}


# kind, plural, what it is for, spec, needs a spec, status, columns; of version v1beta1, unless VERSIONS says otherwise
KINDS = [
    ("IPAddressPool", "ipaddresspools", "Addresses for Services of type LoadBalancer.", POOL, True, POOL_STATUS,
     [column("Auto Assign", "autoAssign", "boolean"), column("Avoid Buggy IPs", "avoidBuggyIPs", "boolean"), column("Addresses", "addresses")]),
    ("L2Advertisement", "l2advertisements", "Which addresses are answered for by ARP and neighbour discovery, and where.", L2, False, obj({}),
     [column("IPAddressPools", "ipAddressPools"), column("IPAddressPool Selectors", "ipAddressPoolSelectors"), column("Interfaces", "interfaces")]),
    ("BGPPeer", "bgppeers", "A router that nodes tell of addresses by BGP.", PEER, False, obj({}),
     [column("Address", "peerAddress"), column("ASN", "peerASN"), column("BFD Profile", "bfdProfile"), column("Multi Hops", "ebgpMultiHop")]),
    ("BGPAdvertisement", "bgpadvertisements", "Which addresses are told to which routers by BGP, from where, and how.", BGP, False, obj({}),
     [column("IPAddressPools", "ipAddressPools"), column("IPAddressPool Selectors", "ipAddressPoolSelectors"), column("Peers", "peers"),
      column("Node Selectors", "nodeSelectors", priority=10)]),
    ("Community", "communities", "Names for BGP communities.", COMMUNITY, False, obj({}), []),
    ("BFDProfile", "bfdprofiles", "How fast BFD finds that a router or a node is gone.", BFD, False, obj({}),
     [column("Passive Mode", "passiveMode", "boolean"), column("Transmit Interval", "transmitInterval", "integer"), column("Receive Interval", "receiveInterval", "integer"),
      column("Multiplier", "detectMultiplier", "integer")]),
]
VERSIONS = {"BGPPeer": "v1beta2"}


def files():
    for kind, plural, what, spec, needs, status, columns in KINDS:
        schema = obj({"spec!" if needs else "spec": spec, "status": {**status, "x-kubernetes-preserve-unknown-fields": True}}, description=what)
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.metallb.io"},
            "spec": {
                "group": "metallb.io", "scope": "Namespaced",
                "names": {"kind": kind, "listKind": kind + "List", "plural": plural, "singular": kind.lower()},
                "versions": [{"name": VERSIONS.get(kind, "v1beta1"), "served": True, "storage": True, "subresources": {"status": {}},
                              **({"additionalPrinterColumns": columns} if columns else {}), "schema": {"openAPIV3Schema": schema}}]}}
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
