"""Metadata, options, and the other kinds."""
from .cases import case, create, delete, json_patch, merge, obj, service, strategic, update


def cm(name="c", **more):
    return obj("ConfigMap", name, **more)


def endpoints(*subsets, name="e"):
    return obj("Endpoints", name, subsets=list(subsets))


def eslice(endpoints=(), ports=(), type="IPv4", name="x", **more):
    return obj("EndpointSlice", name, addressType=type, endpoints=list(endpoints), ports=list(ports), **more)


def at(*addresses, **more):
    return {"addresses": list(addresses), **more}


def pod(name="p", **spec):
    return obj("Pod", name, spec={"containers": [{"name": "c", "image": "i"}], **spec})


def container(**more):
    return {"containers": [{"name": "c", "image": "i", **more}]}


def deployment(name="d", template=None, **spec):
    return obj("Deployment", name, spec={
        "selector": {"matchLabels": {"a": "b"}},
        "template": template or {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}, **spec})


# ---- metadata ----
for what, meta in {
    "finalizer": {"finalizers": ["a.b/c"]}, "finalizer without a slash": {"finalizers": ["hold"]},
    "finalizer bad": {"finalizers": ["a b"]}, "finalizer kubernetes": {"finalizers": ["kubernetes"]},
    "finalizers of both kinds": {"finalizers": ["orphan", "foregroundDeletion"]},
    "label bad value": {"labels": {"a": "-"}}, "label bad key": {"labels": {"a/b/c": "d"}}, "label long": {"labels": {"a": "x" * 64}},
    "label number": {"labels": {"a": 1}}, "annotation upper case domain": {"annotations": {"A.B/c": "d"}},
    "annotation bad key": {"annotations": {"a b": "d"}}, "annotations too large": {"annotations": {"a": "x" * 262145}},
    "owner": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
    "owner without uid": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]},
    "owner without kind": {"ownerReferences": [{"apiVersion": "v1", "name": "p", "uid": "u"}]},
    "owner an Event": {"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "p", "uid": "u"}]},
    "two controllers": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": n, "uid": n, "controller": True} for n in "ab"]},
    "resourceVersion": {"resourceVersion": "7"}, "generation": {"generation": 7}, "uid": {"uid": "u"},
    "creationTimestamp": {"creationTimestamp": "2020-01-01T00:00:00Z"}, "creationTimestamp no time": {"creationTimestamp": "yesterday"},
    "generateName": {"name": None, "generateName": "c-"}, "generateName bad": {"name": None, "generateName": "C-"},
    "no name": {"name": None}, "other namespace": {"namespace": "default"},
}.items():
    case(f"metadata: {what}", create(cm(metadata=meta)))
for kind, o in {"Lease": obj("Lease", "l"), "Deployment": deployment(), "EndpointSlice": eslice()}.items():
    case(f"metadata: finalizer without a slash, {kind}", create({**o, "metadata": {**o["metadata"], "finalizers": ["hold"]}}))
for what, meta in {
    "uid": {"uid": "00000000-0000-0000-0000-000000000000"}, "creationTimestamp": {"creationTimestamp": "2020-01-01T00:00:00Z"},
    "name": {"name": "other"}, "namespace": {"namespace": "default"}, "resourceVersion": {"resourceVersion": "1"},
    "resourceVersion of words": {"resourceVersion": "abc"}, "deletionTimestamp": {"deletionTimestamp": "2020-01-01T00:00:00Z"},
    "generation": {"generation": 9}, "generateName": {"generateName": "c-"}, "finalizer without a slash": {"finalizers": ["hold"]},
    "selfLink": {"selfLink": "/x"}, "labels null": {"labels": None}, "uid null": {"uid": None},
}.items():
    case(f"metadata patched: {what}", create(cm()), merge("ConfigMap", "c", {"metadata": meta}))
    if what not in ("labels null", "uid null"):
        case(f"metadata replaced: {what}", create(cm()), update({**cm(metadata=meta), "metadata": {"name": "c", **meta}}
                                                                 if what != "name" else cm()))

# ---- bodies and options ----
case("body: unknown field", create({**cm(), "bogus": 1}))
case("body: unknown field, Strict", create({**cm(), "bogus": 1}, "?fieldValidation=Strict"))
case("body: unknown field, Ignore", create({**cm(), "bogus": 1}, "?fieldValidation=Ignore"))
case("body: fieldValidation misspelt", create(cm(), "?fieldValidation=strict"))
case("body: dryRun", create(cm(), "?dryRun=All"))
case("body: dryRun misspelt", create(cm(), "?dryRun=all"))
case("body: unknown option", create(cm(), "?bogus=1"))
case("body: wrong kind", create({**cm(), "kind": "Secret"}))
case("body: wrong version", create({**cm(), "apiVersion": "v2"}))
case("patch: unknown field", create(cm()), merge("ConfigMap", "c", {"bogus": 1}))
case("patch: unknown field, Strict", create(cm()), merge("ConfigMap", "c", {"bogus": 1}, query="?fieldValidation=Strict"))
case("patch: of nothing", merge("ConfigMap", "c", {"data": {"a": "b"}}))
case("patch: an array as merge patch", create(cm()), merge("ConfigMap", "c", []))
case("patch: an object as JSON patch", create(cm()), type(merge("ConfigMap", "c", {}))("PATCH", merge("ConfigMap", "c", {}).path, {"a": 1}, "application/json-patch+json"))
case("patch: unknown type", create(cm()), type(merge("ConfigMap", "c", {}))("PATCH", merge("ConfigMap", "c", {}).path, {}, "application/x"))
case("patch: JSON, bad operation", create(cm()), json_patch("ConfigMap", "c", {"op": "frobnicate", "path": "/data"}))
case("patch: JSON, no path", create(cm()), json_patch("ConfigMap", "c", {"op": "add", "value": 1}))
case("replace: creates a Service", update(service()))
case("replace: creates Endpoints", update(endpoints()))
case("replace: creates a Lease", update(obj("Lease", "l")))
for kind, o in {"EndpointSlice": eslice(), "ConfigMap": cm(), "Secret": obj("Secret", "x"), "Deployment": deployment(), "Pod": pod(),
                "ServiceAccount": obj("ServiceAccount", "x"), "Event": obj("Event", "x", involvedObject={"namespace": "corpus"})}.items():
    case(f"replace: {kind} that is not there", update(o))
case("replace: creates, with a uid", update(service(metadata={"uid": "u"})))
case("replace: creates, with a version", update(service(metadata={"resourceVersion": "3"})))
case("delete: of nothing", delete("ConfigMap", "c"))
for what, options in {
    "policy": {"propagationPolicy": "Foreground"}, "policy unknown": {"propagationPolicy": "Now"},
    "both policies": {"propagationPolicy": "Background", "orphanDependents": True}, "orphanDependents": {"orphanDependents": False},
    "uid": {"preconditions": {"uid": "x"}}, "version": {"preconditions": {"resourceVersion": "1"}},
    "grace negative": {"gracePeriodSeconds": -1}, "dry run": {"dryRun": ["All"]}, "dry run misspelt": {"dryRun": ["all"]},
}.items():
    body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
    case(f"delete: {what}", create(cm()), delete("ConfigMap", "c", body))
case("delete: unknown option in the query", create(cm()), delete("ConfigMap", "c", query="?bogus=1"))
case("delete: policy unknown in the query", create(cm()), delete("ConfigMap", "c", query="?propagationPolicy=Now"))
for name in ("default", "kube-system", "kube-public"):
    case(f"delete: namespace {name}", delete("Namespace", name))

# ---- Endpoints ----
A = [{"ip": "10.1.2.3"}]
for what, s in {
    "plain": {"addresses": A, "ports": [{"port": 80}]}, "no addresses": {"ports": [{"port": 80}]},
    "no ports": {"addresses": A}, "two unnamed ports": {"addresses": A, "ports": [{"port": 80}, {"port": 81}]},
    "one of two unnamed": {"addresses": A, "ports": [{"port": 80, "name": "a"}, {"port": 81}]},
    "port name with a dot": {"addresses": A, "ports": [{"port": 80, "name": "a.b"}]},
    "port 0": {"addresses": A, "ports": [{"port": 0}]}, "port missing": {"addresses": A, "ports": [{"name": "a"}]},
    "protocol": {"addresses": A, "ports": [{"port": 80, "protocol": "tcp"}]},
    "appProtocol": {"addresses": A, "ports": [{"port": 80, "appProtocol": "a b"}]},
    "leading zeros": {"addresses": [{"ip": "10.1.02.3"}]}, "no address": {"addresses": [{"ip": "x"}]}, "empty ip": {"addresses": [{"ip": ""}]},
    "loopback": {"addresses": [{"ip": "127.0.0.1"}]}, "link-local": {"notReadyAddresses": [{"ip": "169.254.0.1"}]},
    "IPv6 in upper case": {"addresses": [{"ip": "2001:DB8::1"}]},
    "hostname": {"addresses": [{"ip": "10.1.2.3", "hostname": "a.b"}]}, "node": {"addresses": [{"ip": "10.1.2.3", "nodeName": "A"}]},
}.items():
    case(f"endpoints: {what}", create(endpoints(s)))
case("endpoints: replaced", create(endpoints({"addresses": A})), update(endpoints({"addresses": [{"ip": "127.0.0.1"}]})))

# ---- EndpointSlices ----
for what, o in {
    "plain": eslice([at("10.1.2.3")], [{"port": 80}]), "no type": eslice(type=""), "type unknown": eslice(type="IPv5"),
    "no addresses": eslice([at()]), "IPv6 for IPv4": eslice([at("2001:db8::1")]), "IPv4 for IPv6": eslice([at("10.1.2.3")], type="IPv6"),
    "IPv6": eslice([at("2001:db8::1")], type="IPv6"), "IPv6 not canonical": eslice([at("2001:DB8::1")], type="IPv6"),
    "IPv6 long": eslice([at("2001:db8:0:0:0:0:0:1")], type="IPv6"), "leading zeros": eslice([at("10.1.02.3")]),
    "loopback": eslice([at("127.0.0.1")]), "FQDN": eslice([at("a.example.org")], type="FQDN"), "FQDN of one label": eslice([at("a")], type="FQDN"),
    "FQDN upper case": eslice([at("A.b")], type="FQDN"), "FQDN with a dot": eslice([at("a.b.")], type="FQDN"),
    "101 addresses": eslice([at(*(f"10.1.2.{i}" for i in range(101)))]), "1001 endpoints": eslice([at("10.1.2.3")] * 1001),
    "hostname": eslice([at("10.1.2.3", hostname="a.b")]), "hostname empty": eslice([at("10.1.2.3", hostname="")]), "node": eslice([at("10.1.2.3", nodeName="A")]),
    "zone hints": eslice([at("10.1.2.3", hints={"forZones": [{"name": "a"}, {"name": "b"}]})]),
    "zone hints repeated": eslice([at("10.1.2.3", hints={"forZones": [{"name": "a"}, {"name": "a"}]})]),
    "nine zone hints": eslice([at("10.1.2.3", hints={"forZones": [{"name": f"a{i}"} for i in range(9)]})]),
    "zone hint empty": eslice([at("10.1.2.3", hints={"forZones": [{"name": ""}]})]),
    "node hints repeated": eslice([at("10.1.2.3", hints={"forNodes": [{"name": "a"}, {"name": "a"}]})]),
    "node hint bad": eslice([at("10.1.2.3", hints={"forNodes": [{"name": "A"}]})]),
    "two ports of one name": eslice([at("10.1.2.3")], [{"port": 80}, {"port": 81}]), "port name": eslice(ports=[{"port": 80, "name": "A"}]),
    "port 0": eslice(ports=[{"port": 0}]), "port 70000": eslice(ports=[{"port": 70000}]), "port null": eslice(ports=[{"name": "a"}]),
    "protocol": eslice(ports=[{"port": 80, "protocol": "tcp"}]), "appProtocol": eslice(ports=[{"port": 80, "appProtocol": "a b"}]),
    "topology": eslice([at("10.1.2.3", deprecatedTopology={"a b": "c"})]), "conditions of text": eslice([at("10.1.2.3", conditions={"ready": "yes"})]),
}.items():
    case(f"slice: {what}", create(o))
case("slice: type changed", create(eslice([at("10.1.2.3")])), merge("EndpointSlice", "x", {"addressType": "IPv6"}))
case("slice: labels alone", create(eslice([at("10.1.2.3")])), merge("EndpointSlice", "x", {"metadata": {"labels": {"a": "b"}}}))

# ---- ConfigMaps, Secrets, Leases, Events, Namespaces, Nodes ----
case("configmap: too large", create(cm(data={"a": "x" * 1048577})), differs="the real server calls the field `[]`, which nobody finds")
for what, o in {
    "key": cm(data={"a b": "c"}), "key with dots": cm(data={"..a": "c"}), "both": cm(data={"a": "b"}, binaryData={"a": "Yg=="}),
    "not base64": cm(binaryData={"a": "!"}), "value a number": cm(data={"a": 1}),
    "name upper case": cm("C"), "name with dots": cm("a.b"), "name of 254": cm("a" * 254),
}.items():
    case(f"configmap: {what}", create(o))
case("configmap: immutable changed", create(cm(immutable=True, data={"a": "b"})), merge("ConfigMap", "c", {"data": {"a": "c"}}))
case("configmap: immutable taken off", create(cm(immutable=True)), merge("ConfigMap", "c", {"immutable": False}))
for what, o in {
    "plain": {"stringData": {"a": "b"}}, "key": {"data": {"a b": "Yg=="}}, "not base64": {"data": {"a": "!"}},
    "tls without key": {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}, 
    "docker": {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "x"}}, "basic": {"type": "kubernetes.io/basic-auth"},
    "ssh": {"type": "kubernetes.io/ssh-auth"}, "token": {"type": "kubernetes.io/service-account-token"},
}.items():
    case(f"secret: {what}", create(obj("Secret", "x", **o)))
case("secret: tls", create(obj("Secret", "x", type="kubernetes.io/tls", data={"tls.crt": "", "tls.key": ""})),
     differs="the real server warns of certificates that are none; the lab does not look into them")
case("secret: type changed", create(obj("Secret", "x")), merge("Secret", "x", {"type": "other"}))
for what, spec in {
    "plain": {"holderIdentity": "a", "leaseDurationSeconds": 15}, "duration 0": {"leaseDurationSeconds": 0}, "duration negative": {"leaseDurationSeconds": -1},
    "transitions negative": {"leaseTransitions": -1}, "time": {"renewTime": "2020-01-01T00:00:00.000000Z"}, "time without parts": {"renewTime": "2020-01-01T00:00:00Z"},
    "time of words": {"renewTime": "now"}, "preferredHolder": {"preferredHolder": "a"}, "strategy": {"strategy": "OldestEmulationVersion"},
    "strategy unknown": {"strategy": "Best"}, "holder a number": {"holderIdentity": 1},
}.items():
    case(f"lease: {what}", create(obj("Lease", "l", spec=spec)))
NOW = "2026-01-01T00:00:00.000000Z"
for what, e in {
    "plain": {"involvedObject": {"namespace": "corpus", "kind": "Pod", "name": "p"}, "reason": "r", "type": "Normal"},
    "of another namespace": {"involvedObject": {"namespace": "default"}}, "without namespace": {"involvedObject": {}},
    "new form": {"involvedObject": {"namespace": "corpus"}, "eventTime": NOW, "reportingComponent": "a.b/c", "reportingInstance": "i", "action": "a", "reason": "r", "type": "Normal"},
    "new form, of another namespace": {"involvedObject": {"namespace": "default"}, "eventTime": NOW, "reportingComponent": "a", "reportingInstance": "i", "action": "a", "reason": "r"},
    "new form, nothing": {"involvedObject": {"namespace": "corpus"}, "eventTime": NOW},
    "new form, long note": {"involvedObject": {"namespace": "corpus"}, "eventTime": NOW, "reportingComponent": "a", "reportingInstance": "i", "action": "a", "reason": "r", "message": "x" * 1025},
}.items():
    case(f"event: {what}", create(obj("Event", "ev", **e)))
for name in ("a.b", "A", "a" * 64, "1"):
    case(f"namespace: {name[:10]}", create(obj("Namespace", name)))
for what, o in {
    "plain": {}, "podCIDR": {"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}}, "podCIDRs of one family": {"spec": {"podCIDRs": ["10.1.0.0/24", "10.2.0.0/24"], "podCIDR": "10.1.0.0/24"}},
    "taint": {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, "taint effect": {"spec": {"taints": [{"key": "a", "effect": "Never"}]}},
    "taint twice": {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}] * 2}}, "taint key": {"spec": {"taints": [{"key": "a b", "effect": "NoSchedule"}]}},
    "name": {"metadata": {"name": "N"}},
}.items():
    case(f"node: {what}", create(obj("Node", o.get("metadata", {}).get("name", "n"), **{k: v for k, v in o.items() if k != "metadata"})))
case("node: podCIDR changed", create(obj("Node", "n", spec={"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]})), merge("Node", "n", {"spec": {"podCIDR": "10.2.0.0/24", "podCIDRs": ["10.2.0.0/24"]}}))

# ---- Pods and Deployments ----
for what, spec in {
    "plain": {}, "no containers": {"containers": []}, "two of one name": {"containers": [{"name": "c", "image": "i"}] * 2},
    "name": {"containers": [{"name": "C", "image": "i"}]}, "no image": {"containers": [{"name": "c"}]}, "image blank": container(image=" i"),
    "port name of digits": container(ports=[{"containerPort": 80, "name": "8080"}]), "port name a--b": container(ports=[{"containerPort": 80, "name": "a--b"}]),
    "port name long": container(ports=[{"containerPort": 80, "name": "a" * 16}]), "port 0": container(ports=[{"containerPort": 0}]),
    "two ports of one name": container(ports=[{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]),
    "env name": container(env=[{"name": "a=b"}]), "env two values": container(env=[{"name": "a", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
    "pull policy": container(imagePullPolicy="Sometimes"), "restart": {"restartPolicy": "Sometimes"}, "dns": {"dnsPolicy": "None"},
    "grace": {"terminationGracePeriodSeconds": -1}, "hostname": {"hostname": "a.b"}, "subdomain": {"subdomain": "A"},
    "probe two": container(readinessProbe={"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}), "probe none": container(livenessProbe={"periodSeconds": 1}),
    "probe port": container(readinessProbe={"tcpSocket": {"port": 0}}), "probe threshold": container(livenessProbe={"tcpSocket": {"port": 1}, "successThreshold": 2}),
    "mount unknown": container(volumeMounts=[{"name": "v", "mountPath": "/a"}]), "volume twice": {"volumes": [{"name": "v", "emptyDir": {}}] * 2},
    "requests over limits": container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}), "quantity": container(resources={"requests": {"cpu": "x"}}),
    "node selector": {"nodeSelector": {"a b": "c"}}, "toleration": {"tolerations": [{"operator": "Maybe"}]}, "service account": {"serviceAccountName": "none"},
}.items():
    case(f"pod: {what}", create(pod(**spec)))
case("pod: image changed", create(pod()), strategic("Pod", "p", {"spec": {"containers": [{"name": "c", "image": "j"}]}}))
case("pod: command changed", create(pod()), strategic("Pod", "p", {"spec": {"containers": [{"name": "c", "command": ["x"]}]}}))
case("pod: node changed", create(pod()), merge("Pod", "p", {"spec": {"nodeName": "n"}}))
for what, spec in {
    "plain": {}, "replicas": {"replicas": -1}, "no selector": {"selector": None}, "empty selector": {"selector": {}},
    "selector unlike": {"selector": {"matchLabels": {"x": "y"}}}, "strategy": {"strategy": {"type": "Slow"}},
    "recreate with rolling": {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
    "surge": {"strategy": {"rollingUpdate": {"maxSurge": "x"}}}, "surge and unavailable 0": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
    "deadline": {"progressDeadlineSeconds": 5, "minReadySeconds": 10}, "history": {"revisionHistoryLimit": -1},
    "restart Never": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
}.items():
    case(f"deployment: {what}", create(deployment(**spec)))
case("deployment: selector changed", create(deployment()), merge("Deployment", "d", {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "c"}}}}}))
