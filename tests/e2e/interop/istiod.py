"""A real istiod in a lab: with its CA, asked over TLS by sidecars that show their pods' tokens."""
import json
import subprocess

import istio_sidecar
from suite import wait_until

NS = "istio-system"
CONTROL = f"istiod.{NS}.svc:15012"
MESH = "trustDomain: cluster.local\nenablePrometheusMerge: false\ndefaultConfig: {discoveryAddress: %s}\n" % CONTROL
# What only Istio's own build of Envoy knows is left out: a stock one stands beside ours.
ENVIRONMENT = {"REVISION": "default", "PILOT_CERT_PROVIDER": "istiod", "CLUSTER_ID": "Kubernetes", "INJECT_ENABLED": "false", "VALIDATION_WEBHOOK_CONFIG_NAME": "", "INJECTION_WEBHOOK_CONFIG_NAME": "",
               "PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false", "SERVICE_ACCOUNT": "istiod", "PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION": "false", "ROOT_CA_DIR": "/etc/cacerts"}


def authority(directory):
    """A CA of its own, as files of the Secret `cacerts`."""
    def openssl(*argv):
        subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=directory)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca-cert.pem", "-subj", "/O=interop/CN=root", "-days", "2",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    (directory / "root-cert.pem").write_text((directory / "ca-cert.pem").read_text())
    (directory / "cert-chain.pem").write_text((directory / "ca-cert.pem").read_text())
    return {name: (directory / name).read_text() for name in ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")}


def objects(peers, mesh=MESH):
    env = [istio_sidecar.field("POD_NAME", "metadata.name"), istio_sidecar.field("POD_NAMESPACE", "metadata.namespace"), *({"name": n, "value": v} for n, v in ENVIRONMENT.items())]
    container = {"name": "discovery", "image": "busybox", "workingDir": "/var/lib/istio/data", "env": env,
                 "command": [str(peers / "pilot-discovery"), "discovery", "--monitoringAddr=:15014", "--ctrlz_port=0", "--log_output_level=default:info"],
                 "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}, "volumeMounts": [{"name": "data", "mountPath": "/var/lib/istio/data"}, {"name": "cacerts", "mountPath": "/etc/cacerts", "readOnly": True}]}
    labels = {"app": "istiod", "istio": "pilot"}
    ports = [{"name": n, "port": p} for n, p in (("grpc-xds", 15010), ("https-dns", 15012), ("http-monitoring", 15014))]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "istiod", "namespace": NS}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "istiod"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
         "subjects": [{"kind": "ServiceAccount", "name": "istiod", "namespace": NS}]},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": NS}, "data": {"mesh": mesh, "meshNetworks": "networks: {}"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "istiod", "namespace": NS, "labels": labels}, "spec": {"selector": labels, "ports": ports}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "istiod", "namespace": NS, "labels": labels},
         "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": "istiod", "containers": [container], "terminationGracePeriodSeconds": 2,
                                                                                                             "volumes": [{"name": "data", "emptyDir": {}}, {"name": "cacerts", "secret": {"secretName": "cacerts", "optional": True}}]}}}}]


def start(lab, peers, secret=None):
    """secret: `cacerts`; None: istiod makes a CA."""
    everything = objects(peers)
    if secret:
        everything.insert(1, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": NS}, "stringData": secret})
    lab.apply(*everything)
    wait_until("istiod is ready", lambda: lab.ready_pods("app=istiod", NS), 90)
    wait_until("namespaces are told whom to trust", lambda: [m for m in lab.get("configmaps")["items"] if m["metadata"]["name"] == "istio-ca-root-cert"], 30)


def syncz(lab, pod):
    """What istiod says of the streams of a pod, to who asks from its own pod."""
    own = lab.ready_pods("app=istiod", NS)[0]["metadata"]["name"]
    text = lab.fairlead("exec", own, "-n", NS, "--", "curl", "-s", "-m", "10", "http://127.0.0.1:15014/debug/syncz")
    return [p for p in json.loads(text or "[]") if p.get("proxy", "").startswith(f"{pod}.")]
