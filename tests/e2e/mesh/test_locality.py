"""Who is called first, by where he is: failover and shares, as nodes' labels and rules say."""
import collections

import lab_harness
import pytest
import sidecar
from suite import ROOT, wait_until


def rule(name, host="zoned", **policy):
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": name, "namespace": "default"},
            "spec": {"host": host, "trafficPolicy": policy}}


@pytest.fixture(scope="module")
def apps(mesh):
    """One pod of an app on each of two nodes, which are in two zones; clients on both."""
    mesh.lab.apply((ROOT / "deploy/crds/networking.destinationrules.yaml").read_text())
    for n in "12":
        node = {"nodeName": f"node-{n}"}
        mesh.lab.apply(sidecar.beside(lab_harness.echo(f"zoned-{n}", labels={"app": f"zoned-{n}", "group": "zoned"}, args=("--name", f"zoned-{n}"), probe=False, **node)),
                       sidecar.beside(lab_harness.echo(f"client-{n}", probe=False, **node)))
    mesh.lab.apply(lab_harness.service("zoned", selector={"group": "zoned"}))
    for n in "12":
        mesh.lab.wait_ready(f"app=zoned-{n}", 1)
        mesh.lab.wait_ready(f"app=client-{n}", 1)
    return mesh


@pytest.fixture
def put(apps):
    yield apps.lab.apply
    for r in apps.lab.get("destinationrules")["items"]:
        apps.lab.fairlead("delete", f"destinationrules/{r['metadata']['name']}")


def answers(apps, client, n=30):
    """Who has answered how often."""
    out = apps.lab.fairlead("exec", apps.pod(f"client-{client}"), "-c", "echo", "--", "curl", "-s", "-m", "10", f"http://zoned/name?[1-{n}]", check=False).stdout
    return collections.Counter(out.split())


def test_zones_are_as_nodes_say(apps):
    zones = {n["metadata"]["name"]: n["metadata"]["labels"]["topology.kubernetes.io/zone"] for n in apps.lab.get("nodes")["items"]}
    assert zones["node-1"] != zones["node-2"]
    assert len(answers(apps, 1)) == 2, "without a rule both answer"


def test_the_own_zone_first_and_others_when_it_fails(apps, put):
    put(rule("near", outlierDetection={"consecutive5xxErrors": 1}))
    for n in (1, 2):
        wait_until(f"client {n} is answered by its own zone", lambda: set(answers(apps, n)) == {f"zoned-{n}"})
    apps.lab.patch("/apis/apps/v1/namespaces/default/deployments/zoned-1", {"spec": {"replicas": 0}})
    wait_until("the other zone answers for it", lambda: set(answers(apps, 1)) == {"zoned-2"})
    apps.lab.patch("/apis/apps/v1/namespaces/default/deployments/zoned-1", {"spec": {"replicas": 1}})
    apps.lab.wait_ready("app=zoned-1", 1)
    wait_until("and goes back", lambda: set(answers(apps, 1)) == {"zoned-1"})


def test_nobody_is_near_without_a_rule_that_notices_failures(apps, put):
    put(rule("near", connectionPool={"http": {"maxRetries": 9}}))
    wait_until("it is in force", lambda: '"max_retries": 9' in apps.admin("client-1", "/config_dump"))
    assert len(answers(apps, 1)) == 2


def test_switched_off(apps, put):
    put(rule("near", outlierDetection={}, loadBalancer={"localityLbSetting": {"enabled": False}}))
    wait_until("it is in force", lambda: "consecutive_5xx" in apps.admin("client-1", "/config_dump"))
    assert len(answers(apps, 1)) == 2


def test_shares(apps, put):
    zones = {n["metadata"]["name"]: "lab/" + n["metadata"]["labels"]["topology.kubernetes.io/zone"] for n in apps.lab.get("nodes")["items"]}
    put(rule("share", loadBalancer={"simple": "ROUND_ROBIN", "localityLbSetting": {"distribute": [
        {"from": zones["node-1"] + "/*", "to": {zones["node-1"] + "/*": 10, zones["node-2"] + "/*": 90}},
        {"from": zones["node-2"], "to": {zones["node-1"]: 100}}]}}))
    wait_until("of one all goes to the other", lambda: set(answers(apps, 2)) == {"zoned-1"})
    got = answers(apps, 1, 400)
    assert 10 <= got["zoned-1"] <= 80 and sum(got.values()) == 400, got


def test_labels_of_who_calls(apps, put):
    put(rule("labels", outlierDetection={}, loadBalancer={"localityLbSetting": {"failoverPriority": ["kubernetes.io/hostname"]}}))
    for n in (1, 2):
        wait_until(f"client {n} is answered on its node", lambda: set(answers(apps, n)) == {f"zoned-{n}"})
