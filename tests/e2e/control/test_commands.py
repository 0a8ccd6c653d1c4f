"""analyze, proxy-status and proxy-config against a lab: what they say is what the gateways have."""
import json

import pytest

import lab_harness
from gateway import rule
from suite import wait_until

SYSTEM = "fairlead-system"


@pytest.fixture(scope="module")
def proxies(lab, gateway):
    return [p["metadata"]["name"] for p in lab.ready_pods("app=fairlead-gateway", SYSTEM)]


def status(lab):
    return json.loads(lab.fairlead("proxy-status", "-o", "json"))


def in_sync(lab):
    rows = status(lab)
    return all(r[t]["state"] == "SYNCED" for r in rows for t in ("cds", "lds", "eds", "rds", "vhds", "sds")) and rows


def test_proxy_status(lab, gateway, ingress, proxies):
    ingress("i", [rule("status.example", ("/", "Prefix", "web"))])
    rows = wait_until("both gateways have what they were sent", lambda: in_sync(lab))
    assert sorted(r["name"] for r in rows) == sorted(f"{p}.{SYSTEM}" for p in proxies)
    assert {r["cluster"] for r in rows} == {f"fairlead-gateway.{SYSTEM}"} and all(r["version"] and r["control"].startswith("fairlead-control-") for r in rows)
    table = lab.fairlead("proxy-status").splitlines()
    assert table[0].split() == ["NAME", "CLUSTER", "CDS", "LDS", "EDS", "RDS", "VHDS", "SDS", "CONTROL", "VERSION"] and len(table) == 3
    done = lab.fairlead("proxy-status", f"{proxies[0]}.{SYSTEM}", check=False)
    assert done.returncode == 0 and done.stdout.splitlines() == ["Clusters Match", "Listeners Match", "Endpoints Match", "Routes Match", "Hosts Match", "Secrets Match"]


def test_proxy_config_shows_what_is_served(lab, gateway, ingress, proxies):
    ingress("i", [rule("shown.example", ("/x", "Prefix", "web"))])

    def config(what, *flags):
        return lab.fairlead("proxy-config", what, f"{proxies[0]}.{SYSTEM}", *flags)
    routes = wait_until("the route is there", lambda: [r for r in config("routes").splitlines() if "shown.example" in r])
    assert [r.split()[0] for r in routes] == ["http", "https"] and all("Ingress/default/i/spec.rules[0].http.paths[0]" in r and "/x*" in r for r in routes)
    assert config("routes", "--name", "http").count("shown.example") < config("routes").count("shown.example")
    listeners = [line.split() for line in config("listener").splitlines()]
    assert listeners[0] == ["ADDRESSES", "PORT", "MATCH", "DESTINATION"] and ["0.0.0.0", "8080", "ALL", "Route:", "http"] in listeners
    name = "outbound|80||web.default.svc.cluster.local"
    assert name in json.dumps(json.loads(config("clusters", "--fqdn", "web.default.svc.cluster.local", "-o", "json")))
    assert json.loads(config("clusters", "--fqdn", "nobody.example", "-o", "json")) == []
    pods = {p["status"]["podIP"] for p in lab.ready_pods("app=web")}
    endpoints = json.loads(config("endpoints", "--cluster", name, "-o", "json"))
    assert {e["address"] for e in endpoints} == pods and {e["status"] for e in endpoints} == {"HEALTHY"}
    assert json.loads(config("bootstrap"))["node"]["cluster"] == f"fairlead-gateway.{SYSTEM}"


def test_secrets_have_no_keys(lab, proxies):
    table = lab.fairlead("proxy-config", "secrets", f"{proxies[0]}.{SYSTEM}").splitlines()
    assert table[0].startswith("RESOURCE NAME") and any(line.startswith("gateway-default ") and " true " in line for line in table[1:])
    for form in ("json", "yaml"):
        text = lab.fairlead("proxy-config", "secrets", f"{proxies[0]}.{SYSTEM}", "-o", form)
        assert "certificate_chain" in text and text.count("W3JlZGFjdGVkXQ==") == text.count("private_key") > 0, "each is [redacted]"


def test_log_levels(lab, proxies):
    name = f"pod/{proxies[1]}"
    assert "fairlead-proxy: debug" in lab.fairlead("proxy-config", "log", name, "-n", SYSTEM, "--level", "debug")
    assert "fairlead-proxy: debug" in lab.fairlead("proxy-config", "log", name, "-n", SYSTEM)
    assert "fairlead-proxy: info" in lab.fairlead("proxy-config", "log", name, "-n", SYSTEM, "--level", "info")


def test_what_is_no_proxy(lab, gateway):
    pod = lab.ready_pods("app=web")[0]["metadata"]["name"]
    for argv, words in ((("proxy-config", "routes", pod), "Connection refused"), (("proxy-config", "routes", "gone.nowhere"), "there is no pod gone.nowhere"),
                        (("proxy-status", "--control-namespace", "nowhere"), "no control plane answers in namespace nowhere")):
        done = lab.fairlead(*argv, check=False)
        assert done.returncode in (1, 69) and words in done.stderr, done.stderr


def test_analyze_says_what_the_events_say(lab, gateway, ingress, events):
    ingress("bad", [rule("bad.example", ("/", "Prefix", "gone")), rule("bad2.example", ("/", "Prefix", "web", 81))], annotations={"nope": "1", "ssl-redirect": "yes"})
    told = wait_until("there are Events", lambda: len(events("bad")) >= 4 and events("bad"))
    done = lab.fairlead("analyze", "-o", "json", "--failure-threshold", "warning", check=False)
    said = [f for f in json.loads(done.stdout)["findings"] if f["object"] == "default/bad"]
    assert done.returncode == 2 and {f["code"] for f in said} >= {"FL0101", "FL0102", "FL0109", "FL0110"}
    for message in told:
        assert any(f["field"] in message and f["message"] in message for f in said), message
    elsewhere = lab.fairlead("analyze", "-n", SYSTEM, "-o", "json", check=False)
    assert "default/bad" not in elsewhere.stdout and "default/bad" in lab.fairlead("analyze", "-A")


def test_analyze_knows_services_without_pods(lab, gateway, ingress):
    lab.apply(lab_harness.service("nobody"))
    ingress("i", [rule("nobody.example", ("/", "Prefix", "nobody"))])
    found = json.loads(lab.fairlead("analyze", "-o", "json"))["findings"]
    assert {(f["code"], f["object"]) for f in found} >= {("FL0401", "default/i"), ("FL0402", "default/nobody")}
    lab.fairlead("delete", "svc/nobody")


def test_migrate_and_convert_read_the_cluster(lab, gateway, ingress):
    ingress("old", [rule("old.example", ("/", "Prefix", "web"))], annotations={"enable-modsecurity": "true", "nope": "1"})
    ingress("fine", [rule("fine.example", ("/", "Prefix", "other"))])
    ingress("theirs", [rule("theirs.example", ("/", "Prefix", "other"))], class_="fairlead")
    done = lab.fairlead("migrate", "ingress-nginx", "-o", "json", check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 2 and {i["object"]: i["verdict"] for i in report["ingresses"]} == {"default/old": "change", "default/fine": "works"}
    assert report["summary"]["ofOtherClasses"] == 1
    done = lab.fairlead("convert-ingress", "-o", "json", check=False)
    made = {(o["kind"], o["metadata"]["name"]) for o in json.loads(done.stdout)["items"]}
    assert done.returncode == 0 and ("VirtualService", "fine-example-fine-istio-autogenerated-k8s-ingress") in made
    assert "Ingress default/old metadata.annotations[nginx.ingress.kubernetes.io/enable-modsecurity]" in done.stderr
    assert lab.fairlead("convert-ingress", "-n", SYSTEM, check=False).returncode == 1
