"""What people do at the end of a tutorial, and with what get prints."""
import json
import subprocess

from suite import FAIRLEAD, wait_until

DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "after"}, "spec": {
    "selector": {"matchLabels": {"app": "after"}}, "template": {
        "metadata": {"labels": {"app": "after"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "fairlead/echo"}]}}}}


def test_a_lab_outlives_the_deletion_of_everything(lab):
    ip = lab.get("service/kubernetes")["spec"]["clusterIP"]
    lab.delete("service", "kubernetes")
    wait_until("it is back", lambda: any(s["metadata"]["name"] == "kubernetes" for s in lab.get("services")["items"]))
    assert lab.get("service/kubernetes")["spec"]["clusterIP"] == ip
    lab.apply(DEPLOYMENT)
    wait_until("a new pod gets ready", lambda: lab.ready_pods("app=after"), timeout=30)
    pod = lab.ready_pods("app=after")[0]["metadata"]["name"]
    # the agent has the rules again: a pod reaches the API server by the Service
    said = wait_until("the Service carries", lambda: lab.in_netns(lab.pod_netns(pod), "curl", "-sk", "-m", "2", f"https://{ip}/healthz", check=False).stdout)
    assert said == "ok"
    lab.delete("deployment", "after")


def test_what_get_prints_is_applied_again(lab):
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "again"}, "data": {"a": "b"}})
    for form in ("yaml", "json"):
        printed = lab.fairlead("get", "configmaps", "-o", form)
        lab.delete("configmap", "again")
        wait_until("it is gone", lambda: not any(c["metadata"]["name"] == "again" for c in lab.get("configmaps")["items"]))
        kept = json.loads(printed) if form == "json" else None
        if kept:
            assert {i["kind"] for i in kept["items"]} == {"ConfigMap"}
        lab.fairlead("apply", "-f", "-", stdin=printed.replace("resourceVersion", "x-resourceVersion"))
        assert lab.get("configmap/again")["data"] == {"a": "b"}
    lab.delete("configmap", "again")


def test_get_goes_on_watching(lab):
    """A server names the columns of a watch once."""
    names = ["w1", "w2", "w3"]
    watching = subprocess.Popen([FAIRLEAD, "get", "configmaps", "-w"], stdout=subprocess.PIPE, text=True, env=lab.client_env)
    try:
        assert watching.stdout.readline().startswith("NAME")
        for name in names:
            lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
        seen = []
        while len(seen) < len(names):
            line = watching.stdout.readline()
            assert line.strip(), "an empty line"
            seen += [line.split()[:2]] if line.startswith("w") else []
        assert seen == [[name, "1"] for name in names]
    finally:
        watching.kill()
        watching.wait()
        lab.delete("configmap", *names)
