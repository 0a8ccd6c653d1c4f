"""What pods, and the templates of pods, are refused for: the words are those of a real kube-apiserver."""
import pytest

from api_server import deployment, pod

EXEC = {"exec": {"command": ["true"]}}
INIT_ONLY = "may not be set for init containers without restartPolicy=Always"
QUALIFIED = "name part must consist of alphanumeric characters"


def container(name="c", **fields):
    return {"name": name, "image": "nginx", **fields}


def field_ref(path, **more):
    return container(env=[{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path, **more}}}])


def ports(*ports_):
    return [{"containerPort": c, "hostPort": h, **more} for c, h, more in ports_]


C, I, T = "spec.containers[0]", "spec.initContainers[0]", "spec.tolerations[0]"
ENV = f"{C}.env[0].valueFrom.fieldRef"
ENV_FIELDS = ", ".join(f'"{f}"' for f in (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
    "status.podIP", "status.podIPs"))
REFUSED = {
    "two of one host port": ({"containers": [container("a", ports=ports((80, 8080, {}))), container("b", ports=ports((81, 8080, {})))]},
                             'spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//8080"'),
    "host network": ({"hostNetwork": True, "containers": [container(ports=ports((80, 81, {})))]},
                     f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"),
    "hook of nothing": ({"containers": [container(lifecycle={"preStop": {}})]}, f"{C}.lifecycle.preStop: Required value: must specify a handler type"),
    "hook of two": ({"containers": [container(lifecycle={"postStart": {**EXEC, "sleep": {"seconds": 1}}})]},
                    f"{C}.lifecycle.postStart.sleep: Forbidden: may not specify more than 1 handler type"),
    "policy of a container": ({"containers": [container(restartPolicy="Always")]}, f"{C}.restartPolicy: Forbidden: may not be set for non-init containers"),
    "policy of an init container": ({"initContainers": [container("i", restartPolicy="Never")]},
                                    f'{I}.restartPolicy: Unsupported value: "Never": supported values: "Always"'),
    **{f"{part} of an init container": ({"initContainers": [container("i", **{part: value})]}, f"{I}.{part}: Forbidden: {INIT_ONLY}")
       for part, value in {"livenessProbe": EXEC, "readinessProbe": EXEC, "startupProbe": EXEC, "lifecycle": {"preStop": EXEC}}.items()},
    "probe of a sidecar": ({"initContainers": [container("i", restartPolicy="Always", readinessProbe={})]},
                           f"{I}.readinessProbe: Required value: must specify a handler type"),
    "negative limit": ({"containers": [container(resources={"limits": {"memory": "-1Gi"}, "requests": {"memory": "-2Gi"}})]},
                       f'[{C}.resources.limits[memory]: Invalid value: "-1Gi": must be greater than or equal to 0, '
                       f'{C}.resources.requests[memory]: Invalid value: "-2Gi": must be greater than or equal to 0]'),
    "unknown field": ({"containers": [field_ref("spec.hostname")]},
                      f'{ENV}.fieldPath: Invalid value: "spec.hostname": error converting fieldPath: field label not supported: spec.hostname'),
    "field of another version": ({"containers": [field_ref("metadata.name", apiVersion="v2")]},
                                 f'{ENV}.fieldPath: Invalid value: "metadata.name": error converting fieldPath: unsupported pod version: v2'),
    "key of no map": ({"containers": [field_ref("metadata.name['x']")]},
                      f"{ENV}.fieldPath: Invalid value: \"metadata.name['x']\": error converting fieldPath: "
                      "field label does not support subscript: metadata.name['x']"),
    "key that is no name": ({"containers": [field_ref("metadata.labels['a b']")]}, f'{ENV}: Invalid value: "a b": {QUALIFIED}'),
    "all labels in a variable": ({"containers": [field_ref("metadata.labels")]},
                                 f'{ENV}.fieldPath: Unsupported value: "metadata.labels": supported values: {ENV_FIELDS}'),
    "node in a file": ({"volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "spec.nodeName"}}]}}]},
                       'spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: '
                       '"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"'),
    "toleration of a bad key": ({"tolerations": [{"key": "a b", "operator": "Exists"}]}, f'{T}.key: Invalid value: "a b": {QUALIFIED}'),
    "toleration without key": ({"tolerations": [{"value": "v"}]},
                               f'{T}.operator: Invalid value: "": operator must be Exists when `key` is empty, which means '
                               '"match all values and all keys"'),
    "toleration of all with a value": ({"tolerations": [{"key": "k", "operator": "Exists", "value": "v"}]},
                                       f'{T}.operator: Invalid value: "v": value must be empty when `operator` is \'Exists\''),
    "toleration of a bad value": ({"tolerations": [{"key": "k", "operator": "Equal", "value": "a b"}]}, f'{T}.operator: Invalid value: "a b": a valid label'),
    "toleration for a time": ({"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 1}]},
                              f'{T}.effect: Invalid value: "NoSchedule": effect must be \'NoExecute\' when `tolerationSeconds` is set'),
}


N = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]"


def on_nodes(**expression):
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "k", **expression}]}]}}}}


REFUSED |= {
    "nodes with more than two": (on_nodes(operator="Gt", values=["1", "2"]),
                                 f"{N}.values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'"),
    "nodes with one of none": (on_nodes(operator="In"), f"{N}.values: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
    "nodes with any of some": (on_nodes(operator="Exists", values=["1"]),
                               f"{N}.values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
    "gate of a bad name": ({"schedulingGates": [{"name": "a b"}]}, f'spec.schedulingGates[0]: Invalid value: "a b": {QUALIFIED}'),
    "gate twice": ({"schedulingGates": [{"name": "a"}, {"name": "a"}]}, 'spec.schedulingGates[1]: Duplicate value: "a"'),
    "gates and a node": ({"schedulingGates": [{"name": "a"}], "nodeName": "n"},
                         "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"),
}


@pytest.mark.parametrize("spec, words", REFUSED.values(), ids=REFUSED)
def test_a_pod_is_refused(server, ns, spec, words):
    r = server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", **spec))
    assert (r.status, r.json["reason"]) == (422, "Invalid")
    assert r.json["message"].startswith(f'Pod "p" is invalid: {words}')


ACCEPTED = {
    "one host port twice": {"containers": [container("a", ports=ports((80, 8080, {"protocol": "TCP"}), (81, 8080, {"protocol": "UDP"}), (82, 8080, {"hostIP": "::1"})))],
                            "initContainers": [container("i", ports=ports((80, 8080, {}))), container("j", ports=ports((80, 8080, {})))]},
    "host network": {"hostNetwork": True, "containers": [container(ports=[{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}])]},
    "sidecar": {"initContainers": [container("i", restartPolicy="Always", readinessProbe=EXEC, lifecycle={"preStop": {"sleep": {"seconds": 1}}})]},
    "fields": {"containers": [field_ref("metadata.annotations['example.com/a']"), field_ref("status.podIPs") | {"name": "d"}],
               "volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]},
    "tolerations": {"tolerations": [{"operator": "Exists"}, {"key": "k", "value": "v"}, {"key": "k", "operator": "Equal"},
                                    {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]},
}


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED)
def test_a_pod_is_accepted(server, ns, spec):
    r = server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", **spec))
    assert r.status == 201, r.body


def test_tolerations_are_only_added(server, ns):
    path = f"/api/v1/namespaces/{ns}/pods"
    first = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    p = server.post(path, pod("p", tolerations=[first])).json
    others = p["spec"]["tolerations"][1:]

    def update(*tolerations):
        return server.patch(f"{path}/p", {"spec": {"tolerations": [*tolerations, *others]}})
    assert update(first, {"key": "new", "operator": "Exists"}).status == 200
    assert update({**first, "tolerationSeconds": 9}, {"key": "new", "operator": "Exists"}).status == 200
    for wrong in ({"key": "new", "operator": "Exists"},), (first,), ({**first, "effect": "NoSchedule"}, {"key": "new", "operator": "Exists"}):
        r = update(*wrong)
        assert r.status == 422 and "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds" in r.json["message"]


def test_the_cost_of_a_deletion_is_a_number(server, ns):
    path, name = f"/api/v1/namespaces/{ns}/pods", "controller.kubernetes.io/pod-deletion-cost"
    server.post(path, pod("p"))
    for value, status in (("5", 200), ("-5", 200), ("much", 422), ("2147483648", 422)):
        r = server.patch(f"{path}/p", {"metadata": {"annotations": {name: value}}})
        assert r.status == status, r.body
        assert status == 200 or f'metadata.annotations[{name}]: Invalid value: "{value}": must be a 32bit integer' in r.json["message"]


def test_gates_are_only_taken_away(server, ns):
    path = f"/api/v1/namespaces/{ns}/pods"
    server.post(path, pod("p", schedulingGates=[{"name": "a"}, {"name": "b"}]))
    r = server.patch(f"{path}/p", {"spec": {"schedulingGates": [{"name": "a"}, {"name": "c"}]}})
    assert r.status == 422 and "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'c'" in r.json["message"]
    assert server.patch(f"{path}/p", {"spec": {"schedulingGates": [{"name": "b"}]}}).status == 200


def test_priority_classes(server, ns):
    path = f"/api/v1/namespaces/{ns}/pods"

    def priority(name, **spec):
        r = server.post(path, pod(name, **spec))
        return r.json["spec"]["priority"] if r.status == 201 else (r.status, r.json["reason"], r.json["message"])
    assert priority("none") == 0
    assert priority("cluster", priorityClassName="system-cluster-critical") == 2000000000
    assert priority("node", priorityClassName="system-node-critical", priority=2000001000) == 2000001000
    assert priority("typo", priorityClassName="high") == (403, "Forbidden", 'pods "typo" is forbidden: no PriorityClass with name high was found')
    assert priority("own", priority=7) == (
        403, "Forbidden", 'pods "own" is forbidden: the integer value of priority (7) must not be provided in pod spec; '
        "priority admission controller computed 0 from the given PriorityClass name")


def test_what_the_template_of_a_deployment_may_not_have(server, ns):
    path = f"/apis/apps/v1/namespaces/{ns}"
    for kind in "deployments", "replicasets":
        d = deployment("d")
        d["kind"] = {"deployments": "Deployment", "replicasets": "ReplicaSet"}[kind]
        d["spec"]["template"]["spec"].update(activeDeadlineSeconds=5, restartPolicy="Never", tolerations=[{"value": "v"}])
        r = server.post(f"{path}/{kind}", d)
        told = {c["field"]: c["message"] for c in r.json["details"]["causes"]}
        assert r.status == 422 and set(told) == {f"spec.template.{f}" for f in (
            "spec.activeDeadlineSeconds", "spec.restartPolicy", "spec.tolerations[0].operator")}
        assert told["spec.template.spec.activeDeadlineSeconds"] == "Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"
        assert told["spec.template.spec.restartPolicy"] == 'Unsupported value: "Never": supported values: "Always"'


@pytest.mark.parametrize("surge, unavailable, words", (
    (1, "101%", 'Invalid value: "101%": must not be greater than 100%'), ("25%", "100%", None), (1, 200, None), (1, 0, None), (0, 1, None),
    (0, 0, "Invalid value: 0: may not be 0 when `maxSurge` is 0"), ("0%", 0, "Invalid value: 0: may not be 0 when `maxSurge` is 0"),
    (0, "0%", 'Invalid value: "0%": may not be 0 when `maxSurge` is 0')))
def test_rolling_updates(server, ns, surge, unavailable, words):
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    r = server.post(f"/apis/apps/v1/namespaces/{ns}/deployments", deployment("d", strategy=strategy))
    assert r.status == (422 if words else 201)
    if words:
        assert r.json["message"] == f'Deployment.apps "d" is invalid: spec.strategy.rollingUpdate.maxUnavailable: {words}'
