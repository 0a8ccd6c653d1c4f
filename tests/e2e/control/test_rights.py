"""The control plane's rights (deploy/ingress): it needs each of them, and is refused nothing. Stands at the end of its directory's lab."""
import collections
import re

from gateway import rule
from suite import wait_until

USER = "system:serviceaccount:fairlead-system:fairlead-control"


def asked(lab):
    """(namespace, group, resource, verb) -> allowed, of what it has asked for."""
    found = {}
    for line in lab.raw("/metrics")[1].splitlines():
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line)) if line.startswith("fairlead_lab_rights_asked_total{") else {}
        if labels.get("user") == USER and "resource" in labels:
            found[labels["namespace"], labels["group"], labels["resource"], labels["verb"]] = labels["allowed"] == "1"
    return found


def given(lab):
    """(where, group, resource, verb) of its roles; where None: everywhere."""
    rights = set()
    for where, role in ((None, lab.get("clusterrole/fairlead-control")), ("fairlead-system", lab.get("role/fairlead-control", "-n", "fairlead-system"))):
        for of in role["rules"]:
            rights |= {(where, g, r, v) for g in of["apiGroups"] for r in of["resources"] for v in of["verbs"]}
    return rights


def test_all_that_it_may_is_needed_and_nothing_is_missing(lab, gateway, ingress, events):
    ingress("rights", [rule("rights.example", ("/", "Prefix", "web"))])
    wait_until("its address is written", lambda: lab.get("ingress/rights")["status"]["loadBalancer"].get("ingress"))
    ingress("fields", [rule("fields.example", ("/", "Prefix", "web"))], {"auth-url": "http://other.default.svc/", "auth-proxy-set-headers": "fields"})
    for _ in range(2):  # the same Event twice: it is counted up
        ingress("rights", [rule("rights.example", ("/", "Prefix", "web", 4711))])
        wait_until("it is told", lambda: events("rights"))
        ingress("rights", [rule("rights.example", ("/", "Prefix", "web"))])
        gateway.becomes("it is served", lambda a: a.status == 200, "/", "rights.example")
    rights = given(lab)

    def used():
        return {(where, *right) for where, *right in rights if any(u[1:] == tuple(right) and where in (None, u[0]) for u in asked(lab))}

    wait_until("each right is used", lambda: used() == rights)
    assert [u for u, allowed in asked(lab).items() if not allowed] == []
    assert collections.Counter(v for *_, v in rights)["*"] == 0
