"""Scheduler, node lifecycle, load balancer addresses, service accounts, and the controllers themselves being killed."""
import signal

from suite import wait_until


def pod_of(cluster, ns, name):
    return cluster.read(f"/api/v1/namespaces/{ns}/pods/{name}")


def waiting_pod(cluster, ns, name, owner=None, labels=None, **spec):
    meta = {"name": name, "labels": labels or {"app": "web"}}
    if owner:
        meta["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner["metadata"]["name"],
                                    "uid": owner["metadata"]["uid"], "controller": True}]
    return cluster.create(f"/api/v1/namespaces/{ns}/pods", {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}})


def test_scheduler_spreads_selects_and_says_why_not(cluster, ns):
    for i in range(3):
        cluster.node(f"{ns}-n{i}", {"lab": ns, "disk": "ssd" if i == 1 else "none"})
    here = {"nodeSelector": {"lab": ns}}
    owner = cluster.create(f"/apis/apps/v1/namespaces/{ns}/replicasets", {
        "metadata": {"name": "rs"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}})
    for i in range(6):
        waiting_pod(cluster, ns, f"single{i}", labels={"app": "x"}, **here)

    def nodes(names):
        return [pod_of(cluster, ns, n)["spec"].get("nodeName") for n in names]
    names = [f"single{i}" for i in range(6)]
    wait_until("all are placed", lambda: all(nodes(names)))
    assert sorted(nodes(names).count(f"{ns}-n{i}") for i in range(3)) == [2, 2, 2]
    assert owner["metadata"]["uid"]
    waiting_pod(cluster, ns, "ssd", labels={"app": "x"}, nodeSelector={"lab": ns, "disk": "ssd"})
    assert wait_until("it is placed", lambda: nodes(["ssd"])[0]) == f"{ns}-n1"
    waiting_pod(cluster, ns, "nowhere", labels={"app": "x"}, nodeSelector={"lab": ns, "disk": "tape"})
    c = wait_until("it is told", lambda: [c for c in pod_of(cluster, ns, "nowhere")["status"].get("conditions", []) if c["reason"] == "Unschedulable"])
    assert "didn't match Pod's node affinity/selector" in c[0]["message"] and c[0]["status"] == "False"
    wait_until("an event says so", lambda: [e for e in cluster.events(ns, "nowhere") if e["reason"] == "FailedScheduling"])
    cluster.change(f"/api/v1/nodes/{ns}-n2", {"metadata": {"labels": {"disk": "tape"}}})
    assert wait_until("room appeared", lambda: nodes(["nowhere"])[0]) == f"{ns}-n2"
    for op, want in (("In", {f"{ns}-n0"}), ("NotIn", {f"{ns}-n1", f"{ns}-n2"})):
        waiting_pod(cluster, ns, op.lower(), labels={"app": "x"}, **here, affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": op, "values": [f"{ns}-n0"]}]}]}}})
        assert wait_until(f"it is placed by {op}", lambda op=op: nodes([op.lower()])[0]) in want
    waiting_pod(cluster, ns, "foreign", labels={"app": "x"}, **here, schedulerName="another")
    cluster.change(f"/api/v1/nodes/{ns}-n1", {"spec": {"unschedulable": True}})
    waiting_pod(cluster, ns, "cordoned", labels={"app": "x"}, nodeSelector={"lab": ns, "disk": "ssd"})
    wait_until("a cordoned node takes none", lambda: [c for c in pod_of(cluster, ns, "cordoned")["status"].get("conditions", []) if "unschedulable" in c["message"]])
    assert not nodes(["foreign"])[0] and not pod_of(cluster, ns, "foreign")["status"].get("conditions"), "another scheduler's"


def test_a_host_port_is_there_once(cluster, ns):
    for i in range(2):
        cluster.node(f"{ns}-n{i}", {"lab": ns})

    def want(name, port):
        waiting_pod(cluster, ns, name, nodeSelector={"lab": ns}, containers=[
            {"name": "c", "image": "nginx", "ports": [{"containerPort": 80, "hostPort": 80, **port}]}])

    def node_of(name):
        return pod_of(cluster, ns, name)["spec"].get("nodeName")

    for name in ("a", "b"):
        want(name, {})
        wait_until("it is placed", lambda n=name: node_of(n))
    assert node_of("a") != node_of("b")
    for name, port in (("udp", {"protocol": "UDP"}), ("other", {"hostPort": 81})):
        want(name, port)
        wait_until("another port is free", lambda n=name: node_of(n))
    for name, port in (("none", {}), ("one", {"hostIP": "192.0.2.7"})):
        want(name, port)
        wait_until("it is told", lambda n=name: "2 node(s) didn't have free ports for the requested pod ports" in str(
            pod_of(cluster, ns, n)["status"].get("conditions")))
    # One that is over has no port any more.
    where = node_of("a")
    cluster.change(f"/api/v1/namespaces/{ns}/pods/a/status", {"status": {"phase": "Succeeded"}})
    assert where in wait_until("one is placed", lambda: [n for n in (node_of("none"), node_of("one")) if n])


def scheduled(cluster, ns, name):
    """The pod's node, and its condition PodScheduled."""
    pod = pod_of(cluster, ns, name)
    return pod["spec"].get("nodeName"), next((c for c in pod["status"].get("conditions", []) if c["type"] == "PodScheduled"), {})


def test_numbers_of_nodes_are_compared(cluster, ns):
    for i, cores in enumerate(("2", "8", "many")):
        cluster.node(f"{ns}-n{i}", {"lab": ns, "cores": cores})

    def wants(name, op, value):
        terms = [{"matchExpressions": [{"key": "lab", "operator": "In", "values": [ns]}, {"key": "cores", "operator": op, "values": [value]}]}]
        waiting_pod(cluster, ns, name, affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
    for name, op, value, node in (("gt", "Gt", "2", f"{ns}-n1"), ("lt", "Lt", "8", f"{ns}-n0")):
        wants(name, op, value)
        assert wait_until(f"{op} {value} is placed", lambda name=name: scheduled(cluster, ns, name)[0]) == node
    for name, op, value in (("more", "Gt", "8"), ("less", "Lt", "2"), ("odd", "Gt", "x")):
        wants(name, op, value)
        wait_until(f"{op} {value} is told", lambda name=name: scheduled(cluster, ns, name)[1].get("reason") == "Unschedulable")


def test_gates_hold_a_pod_back(cluster, ns):
    cluster.node(f"{ns}-n0", {"lab": ns})
    waiting_pod(cluster, ns, "gated", nodeSelector={"lab": ns}, schedulingGates=[{"name": "a.io/one"}, {"name": "a.io/two"}])
    waiting_pod(cluster, ns, "free", nodeSelector={"lab": ns})
    wait_until("another is placed", lambda: scheduled(cluster, ns, "free")[0])
    node, condition = scheduled(cluster, ns, "gated")
    assert node is None and condition == {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                                          "message": "Scheduling is blocked due to non-empty scheduling gates"}
    path = f"/api/v1/namespaces/{ns}/pods/gated"
    r = cluster.post(f"{path}/binding", {"target": {"kind": "Node", "name": f"{ns}-n0"}})
    assert r.status == 409 and r.json["message"].endswith("pod gated has non-empty .spec.schedulingGates")
    cluster.change(path, {"spec": {"schedulingGates": [{"name": "a.io/two"}]}})
    waiting_pod(cluster, ns, "free2", nodeSelector={"lab": ns})
    wait_until("another is placed", lambda: scheduled(cluster, ns, "free2")[0])
    assert scheduled(cluster, ns, "gated")[0] is None
    cluster.change(path, {"spec": {"schedulingGates": None}})
    assert wait_until("it is placed", lambda: scheduled(cluster, ns, "gated")[0]) == f"{ns}-n0"
    assert scheduled(cluster, ns, "gated")[1]["status"] == "True"


def test_a_silent_node_is_not_ready_and_its_pods_with_it(cluster, ns):
    name = f"{ns}-node"
    cluster.node(name)
    cluster.service(ns)
    cluster.pod(ns, "a", "10.0.0.1", node=name)
    wait_until("the endpoint is ready", lambda: cluster.endpoints(ns).get("10.0.0.1", {}).get("conditions", {}).get("ready"))

    def ready():
        return next(c for c in cluster.read(f"/api/v1/nodes/{name}")["status"]["conditions"] if c["type"] == "Ready")
    wait_until("the node is unknown", lambda: ready()["status"] == "Unknown", timeout=15)
    assert ready()["reason"] == "NodeStatusUnknown"
    wait_until("its endpoint is not ready", lambda: not cluster.endpoints(ns)["10.0.0.1"]["conditions"]["ready"])
    taints = wait_until("it is tainted", lambda: cluster.read(f"/api/v1/nodes/{name}")["spec"].get("taints"))
    assert {(t["key"], t["effect"]) for t in taints} == {("node.kubernetes.io/unreachable", "NoSchedule"), ("node.kubernetes.io/unreachable", "NoExecute")}
    # Heard again: as a node part does it, Lease first, then its status.
    cluster.renew(name)
    cluster.change(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}, kind="strategic")

    def untainted():
        cluster.renew(name)
        return not cluster.read(f"/api/v1/nodes/{name}")["spec"].get("taints")
    wait_until("the taints are gone", untainted)
    assert pod_of(cluster, ns, "a")["metadata"].get("deletionTimestamp") is None


def test_load_balancer_addresses_are_given_taken_back_and_run_out(cluster, ns):
    def ingress(name):
        return [i["ip"] for i in cluster.read(f"/api/v1/namespaces/{ns}/services/{name}")["status"].get("loadBalancer", {}).get("ingress", [])]
    for i in range(3):
        cluster.service(ns, f"lb{i}", type="LoadBalancer")
    wait_until("three have addresses", lambda: all(ingress(f"lb{i}") for i in range(3)))
    assert sorted(sum((ingress(f"lb{i}") for i in range(3)), [])) == ["192.0.2.10", "192.0.2.11", "192.0.2.12"]
    for name, wanted, words in (("same", "192.0.2.11", "it is the address of Service {}/lb"),
                                ("outside", "192.0.2.99", "no pool has 192.0.2.99")):
        cluster.service(ns, name, type="LoadBalancer", loadBalancerIP=wanted)
        wait_until(f"an event says why {name} has none", lambda n=name, w=words: [e for e in cluster.events(ns, n) if w.format(ns) in e["message"]])
        cluster.remove(f"/api/v1/namespaces/{ns}/services/{name}")
    cluster.service(ns, "late", type="LoadBalancer")
    wait_until("an event says there is none", lambda: [e for e in cluster.events(ns, "late") if e["reason"] == "AllocationFailed"])
    assert not ingress("late")
    freed = ingress("lb1")
    cluster.change(f"/api/v1/namespaces/{ns}/services/lb1", {"spec": {"type": "ClusterIP"}})
    wait_until("the address of another type is taken back", lambda: not ingress("lb1"))
    wait_until("and given to the one that waits", lambda: ingress("late") == freed)
    cluster.service(ns, "foreign", type="LoadBalancer", loadBalancerClass="example.com/other")
    assert cluster.delete(f"/api/v1/namespaces/{ns}/services/lb2").status == 200
    cluster.service(ns, "both", type="LoadBalancer", ipFamilyPolicy="RequireDualStack")
    wait_until("one of each family", lambda: len(ingress("both")) == 2)
    assert [":" in ip for ip in ingress("both")] == [False, True]
    assert not ingress("foreign")
    for name in ("lb0", "late", "both", "foreign"):
        cluster.delete(f"/api/v1/namespaces/{ns}/services/{name}")


def test_every_namespace_has_its_account_and_root_certificate(cluster, ns):
    account, ca = f"/api/v1/namespaces/{ns}/serviceaccounts/default", f"/api/v1/namespaces/{ns}/configmaps/kube-root-ca.crt"
    wait_until("both are made", lambda: cluster.get(account).status == 200 and cluster.get(ca).status == 200)
    assert "BEGIN CERTIFICATE" in cluster.get(ca).json["data"]["ca.crt"]
    cluster.delete(account)
    cluster.change(ca, {"data": {"ca.crt": "something else"}})
    wait_until("both are made again", lambda: cluster.get(account).status == 200 and "BEGIN CERTIFICATE" in cluster.get(ca).json["data"]["ca.crt"])


def test_a_namespace_goes_with_its_custom_objects(cluster):
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert cluster.post(crd, {"metadata": {"name": "gems.cluster.example.com"}, "spec": {
        "group": "cluster.example.com", "scope": "Namespaced", "names": {"plural": "gems", "kind": "Gem"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}).status == 201
    assert cluster.post("/api/v1/namespaces", {"metadata": {"name": "gone"}}).status == 201
    gems = "/apis/cluster.example.com/v1/namespaces/gone/gems"
    assert cluster.post(gems, {"apiVersion": "cluster.example.com/v1", "kind": "Gem", "metadata": {"name": "a", "finalizers": ["e.example/x"]}}).status == 201
    assert cluster.delete("/api/v1/namespaces/gone").status == 200
    wait_until("the object is asked to go", lambda: "deletionTimestamp" in cluster.get(f"{gems}/a").json["metadata"])
    assert cluster.get("/api/v1/namespaces/gone").json["status"]["phase"] == "Terminating"
    cluster.patch(f"{gems}/a", {"metadata": {"finalizers": None}})
    wait_until("the namespace is gone", lambda: cluster.get("/api/v1/namespaces/gone").status == 404)
    cluster.delete(f"{crd}/gems.cluster.example.com")


def test_killed_controllers_go_on_where_they_were(cluster, ns):
    """Stopped ten times, most by kill -9, while a Deployment grows and shrinks: the numbers come right, nothing is made twice."""
    path = f"/apis/apps/v1/namespaces/{ns}/deployments"
    cluster.create(path, {"metadata": {"name": "web"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
        "metadata": {"labels": {"app": "web"}}, "spec": {"nodeName": "n0", "containers": [{"name": "c", "image": "nginx"}]}}}})
    cluster.service(ns)

    def pods():
        return [p for p in cluster.items(f"/api/v1/namespaces/{ns}/pods") if not p["metadata"].get("deletionTimestamp")]
    wait_until("the first pod", lambda: len(pods()) == 1)
    for n in range(10):
        before, want = len(pods()), 5 if n % 2 == 0 else 2
        cluster.change(f"{path}/web", {"spec": {"replicas": want}})
        wait_until("it has begun", lambda: len(pods()) != before)
        if n % 3:
            cluster.stop_controllers(signal.SIGKILL)
        else:  # asked to end in the middle of its calls: in order, nothing leaked (under ASan)
            assert cluster.stop_controllers() == 0, f"see {cluster.dir}/controllers.log"
        for p in cluster.items(f"/api/v1/namespaces/{ns}/pods"):
            if p["metadata"].get("deletionTimestamp"):
                cluster.delete(f"/api/v1/namespaces/{ns}/pods/{p['metadata']['name']}?gracePeriodSeconds=0")
        cluster.start_controllers()
        wait_until(f"{want} pods are there", lambda: len(pods()) == want)
    assert len(cluster.items(f"/apis/apps/v1/namespaces/{ns}/replicasets")) == 1
    wait_until("one slice", lambda: len(cluster.slices(ns)) == 1)
    cluster.service(ns, "last")
    wait_until("the last ones are at work", lambda: cluster.slices(ns, "last"))


def test_replication_controller(cluster, ns):
    """The same as a ReplicaSet, with a plain selector that defaults to the template's labels."""
    path = f"/api/v1/namespaces/{ns}/replicationcontrollers"
    rc = cluster.create(path, {"metadata": {"name": "old"}, "spec": {"replicas": 2, "template": {
        "metadata": {"labels": {"app": "old"}}, "spec": {"nodeName": "n0", "containers": [{"name": "c", "image": "nginx"}]}}}})
    assert (rc["spec"]["selector"], rc["metadata"]["labels"]) == ({"app": "old"}, {"app": "old"})

    def pods():
        return [p for p in cluster.items(f"/api/v1/namespaces/{ns}/pods") if not p["metadata"].get("deletionTimestamp")]
    wait_until("two pods", lambda: len(pods()) == 2)
    assert {p["metadata"]["ownerReferences"][0]["kind"] for p in pods()} == {"ReplicationController"}
    assert cluster.get(f"{path}/old/scale").json["status"]["selector"] == "app=old"
    cluster.change(f"{path}/old/scale", {"spec": {"replicas": 1}})
    wait_until("one pod", lambda: len(pods()) == 1 and cluster.get(f"{path}/old").json["status"]["replicas"] == 1)
    refused = cluster.post(path, {"metadata": {"name": "bad"}, "spec": {"selector": {"a": "b"}, "template": {
        "metadata": {"labels": {"c": "d"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}})
    assert refused.status == 422 and "`selector` does not match template `labels`" in refused.json["message"]
    assert cluster.delete(f"{path}/old").status == 200
    wait_until("its pods go with it", lambda: not pods())
