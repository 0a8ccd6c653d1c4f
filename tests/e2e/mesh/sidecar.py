"""A proxy beside a pod's containers, set up by hand: what injection does."""
import json

CONTROL = "fairlead-control.fairlead-system.svc.cluster.local"
HTTP2 = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
ADS = {"ads": {}, "resource_api_version": "V3"}


def endpoint(host, port):
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}


def bootstrap():
    trust = {"trusted_ca": {"filename": "/var/run/secrets/fairlead/root-cert.pem"}, "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": CONTROL}}]}
    tls = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": CONTROL,
           "common_tls_context": {"alpn_protocols": ["h2"], "validation_context": trust}}
    control = {"name": "xds-grpc", "type": "STRICT_DNS", "connect_timeout": "1s", "dns_failure_refresh_rate": {"base_interval": "0.1s", "max_interval": "2s"},
               "typed_extension_protocol_options": HTTP2,
               "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [endpoint(CONTROL, 15012)]}]},
               "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls}}
    admin = {"name": "admin", "type": "STATIC", "load_assignment": {"cluster_name": "admin", "endpoints": [{"lb_endpoints": [endpoint("127.0.0.1", 15000)]}]}}
    hcm = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "ready",
           "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
           "route_config": {"name": "ready", "virtual_hosts": [{"name": "ready", "domains": ["*"], "routes": [
               {"match": {"path": "/healthz/ready"}, "route": {"cluster": "admin", "prefix_rewrite": "/ready"}}]}]}}
    ready = {"name": "ready", "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15021}},
             "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]}
    return {"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
            "dynamic_resources": {"ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]},
                                  "cds_config": ADS, "lds_config": ADS},
            "static_resources": {"clusters": [control, admin], "listeners": [ready]}}


def objects(root_pem, namespace="default"):
    """What the sidecars of a namespace read."""
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sidecar", "namespace": namespace}, "data": {"bootstrap.json": json.dumps(bootstrap())}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "root", "namespace": namespace}, "data": {"root-cert.pem": root_pem}}]


def beside(deployment, namespace="default", interception=()):
    """The Deployment with a sidecar in its pods."""
    spec = deployment["spec"]["template"]["spec"]
    field = lambda path: {"valueFrom": {"fieldRef": {"fieldPath": path}}}  # noqa: E731
    spec["initContainers"] = [
        {"name": "interception", "image": "fairlead/proxy", "args": ["interception", *interception],
         "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}},
        {"name": "sidecar", "image": "fairlead/proxy", "restartPolicy": "Always",
         "args": ["-c", "/etc/fairlead/bootstrap.json", "--xds-token-file=/var/run/secrets/tokens/token", f"--service-cluster={deployment['metadata']['name']}.{namespace}",
                  f"--service-node=sidecar~$(POD_IP)~$(POD_NAME).{namespace}~{namespace}.svc.cluster.local"],
         "env": [{"name": "POD_IP"} | field("status.podIP"), {"name": "POD_NAME"} | field("metadata.name")],
         "securityContext": {"runAsUser": 1337, "runAsGroup": 1337, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True},
         "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 1, "failureThreshold": 60},
         "volumeMounts": [{"name": n, "mountPath": p, "readOnly": True} for n, p in
                          (("bootstrap", "/etc/fairlead"), ("trust", "/var/run/secrets/fairlead"), ("fairlead-token", "/var/run/secrets/tokens"))]}]
    spec.setdefault("volumes", []).extend([
        {"name": "bootstrap", "configMap": {"name": "sidecar"}}, {"name": "trust", "configMap": {"name": "root"}},
        {"name": "fairlead-token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "fairlead-control", "expirationSeconds": 3600}}]}}])
    return deployment
