"""fairlead inject on files: who gets a proxy, what is printed, what is refused."""
import json

import yaml

from manifests import fairlead

POD = {"containers": [{"name": "app", "image": "x"}]}


def deployment(name="web", annotations=None, labels=None, namespace="default", **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name} | (labels or {}), "annotations": annotations or {}}, "spec": POD | spec}}}


def inject(*objects, flags=()):
    return fairlead("inject", "-f", "-", *flags, stdin="\n---\n".join(json.dumps(o) for o in objects))


def test_what_has_no_pod_is_printed_as_it_came():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "annotations": {"a": "1"}}, "spec": {"ports": [{"port": 80}]}}
    job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": dict(POD)}}}}}
    done = inject(service, deployment(), job)
    assert done.returncode == 0 and not done.stderr
    printed = list(yaml.safe_load_all(done.stdout))
    assert printed[0] == service
    for spec in (printed[1]["spec"]["template"]["spec"], printed[2]["spec"]["jobTemplate"]["spec"]["template"]["spec"]):
        assert [c["name"] for c in spec["initContainers"]] == ["istio-init", "istio-proxy"] and spec["containers"] == POD["containers"]
    assert {"name": "WORKLOAD", "value": "web"} in printed[1]["spec"]["template"]["spec"]["initContainers"][1]["env"]
    again = fairlead("inject", "-f", "-", stdin=done.stdout)
    assert again.stdout == done.stdout and again.stderr.count("no proxy: it has one already") == 2


def test_who_gets_none_is_told():
    done = inject(deployment("host", hostNetwork=True), deployment("no", labels={"sidecar.istio.io/inject": "false"}), deployment("dns", namespace="kube-system"))
    assert done.returncode == 0 and "istio-proxy" not in done.stdout
    assert done.stderr.splitlines() == ["Deployment default/host: no proxy: it has its node's network (hostNetwork)",
                                        "Deployment default/no: no proxy: it says so (sidecar.istio.io/inject)",
                                        "Deployment kube-system/dns: no proxy: its namespace is the cluster's own"]


def test_half_of_it_is_no_manifest():
    done = inject(deployment("good"), deployment("bad", {"traffic.sidecar.istio.io/excludeInboundPorts": "http"}))
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == 'Deployment default/bad: metadata.annotations[traffic.sidecar.istio.io/excludeInboundPorts]: "http": ports with commas\n'


def test_flags():
    done = inject(deployment(), flags=("--image", "example/proxy:1", "--control", "control.example:15012", "-r", "canary", "-o", "json"))
    pod = json.loads(done.stdout)["items"][0]["spec"]["template"]
    proxy = pod["spec"]["initContainers"][1]
    assert proxy["image"] == "example/proxy:1" and "--control=control.example:15012" in proxy["args"] and pod["metadata"]["annotations"]["istio.io/rev"] == "canary"
    for flags, words in ((("-o", "xml"), 'error: -o: "xml" is not known'), ((), None)):
        done = fairlead("inject", *flags, *(("-f", "-") if flags else ()), stdin="")
        assert done.returncode == 64 and (words or "-f is missing") in done.stderr
