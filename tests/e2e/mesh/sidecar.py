"""A proxy beside a pod's containers, set up by hand: what injection does."""


def trust(root_pem, namespace="default"):
    """Whom the sidecars of a namespace believe to be the control plane."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fairlead-ca-root-cert", "namespace": namespace}, "data": {"root-cert.pem": root_pem}}


def beside(deployment, interception=()):
    """The Deployment with a sidecar in its pods."""
    spec = deployment["spec"]["template"]["spec"]
    deployment["spec"]["template"]["metadata"]["labels"]["security.istio.io/tlsMode"] = "istio"

    def field(name, path):
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
    spec["initContainers"] = [
        {"name": "interception", "image": "fairlead/proxy", "args": ["interception", *interception],
         "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}},
        {"name": "sidecar", "image": "fairlead/proxy", "restartPolicy": "Always",
         "args": ["--sidecar", "--xds-token-file=/var/run/secrets/tokens/istio-token"],
         "env": [field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"), field("POD_IP", "status.podIP"),
                 {"name": "WORKLOAD", "value": deployment["metadata"]["name"]}],
         "securityContext": {"runAsUser": 1337, "runAsGroup": 1337, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
         "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 1, "failureThreshold": 60},
         "volumeMounts": [{"name": n, "mountPath": p, "readOnly": True} for n, p in
                          (("fairlead-trust", "/var/run/secrets/fairlead"), ("fairlead-token", "/var/run/secrets/tokens"))]}]
    spec.setdefault("volumes", []).extend([
        {"name": "fairlead-trust", "configMap": {"name": "fairlead-ca-root-cert"}},
        {"name": "fairlead-token", "projected": {"sources": [{"serviceAccountToken": {"path": "istio-token", "audience": "istio-ca", "expirationSeconds": 3600}}]}}])
    return deployment
