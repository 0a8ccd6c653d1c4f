"""The Python client (kubernetes, PyPI) through the scenario: prints "ok STEP" after each step. Typed models: what they cannot decode raises."""
import sys
import threading
import time

from kubernetes import client, config, watch
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import stream

NS, NAME = "default", "python"
config.load_kube_config(config_file=sys.argv[1])
core, apps = client.CoreV1Api(), client.AppsV1Api()


def ok(step):
    print("ok", step, flush=True)


labels = {"app": NAME}
apps.create_namespaced_deployment(NS, client.V1Deployment(
    metadata=client.V1ObjectMeta(name=NAME), spec=client.V1DeploymentSpec(
        replicas=1, selector=client.V1LabelSelector(match_labels=labels), template=client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(
                termination_grace_period_seconds=0, containers=[client.V1Container(name="c", image="fairlead/echo")])))))
core.create_namespaced_service(NS, client.V1Service(metadata=client.V1ObjectMeta(name=NAME), spec=client.V1ServiceSpec(
    selector=labels, ports=[client.V1ServicePort(port=80, target_port=8080)])))
core.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(name=NAME), data={"a": "1"}))
ok("create")

for event in watch.Watch().stream(core.list_namespaced_pod, NS, label_selector=f"app={NAME}", timeout_seconds=60):
    pod = event["object"]
    if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or []):
        break
else:
    raise SystemExit("the pod did not get ready")
ok("watch")

assert [p.metadata.name for p in core.list_namespaced_pod(NS, label_selector=f"app={NAME}").items] == [pod.metadata.name]
assert NAME in [s.metadata.name for s in core.list_namespaced_service(NS, limit=500).items]
ok("list")

patched = core.patch_namespaced_config_map(NAME, NS, {"data": {"b": "2"}})
assert patched.data == {"a": "1", "b": "2"}
assert apps.patch_namespaced_deployment_scale(NAME, NS, {"spec": {"replicas": 2}}).spec.replicas == 2
ok("patch")

said = stream(core.connect_get_namespaced_pod_exec, pod.metadata.name, NS, command=["sh", "-c", "echo out; echo err >&2"],
              stdin=False, stdout=True, stderr=True, tty=False)
assert sorted(said.split()) == ["err", "out"], said
ok("exec")

led = threading.Event()
election = electionconfig.Config(LeaseLock(NAME, NS, "me"), lease_duration=3, renew_deadline=2, retry_period=1,
                                 onstarted_leading=led.set, onstopped_leading=None)
threading.Thread(target=leaderelection.LeaderElection(election).run, daemon=True).start()
assert led.wait(20), "nobody was elected"
assert client.CoordinationV1Api().read_namespaced_lease(NAME, NS).spec.holder_identity == "me"
ok("election")

gone = core.delete_namespaced_service(NAME, NS)
assert gone.metadata.name == NAME, gone
core.delete_namespaced_config_map(NAME, NS)
apps.delete_namespaced_deployment(NAME, NS, propagation_policy="Foreground")
end = time.monotonic() + 30
while core.list_namespaced_pod(NS, label_selector=f"app={NAME}").items:
    assert time.monotonic() < end, "the pods stay"
    time.sleep(0.1)
ok("delete")
