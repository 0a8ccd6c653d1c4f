"""Manifests of a few words for the commands that read files, and running those."""
import json
import subprocess

from suite import FAIRLEAD

NGINX = "nginx.ingress.kubernetes.io/"


def fairlead(*argv, stdin=None):
    return subprocess.run([FAIRLEAD, *map(str, argv)], input=stdin, capture_output=True, text=True, check=False, timeout=60)


def path(path, service="web", type_="Prefix", port=80):
    return {"path": path, "pathType": type_, "backend": {"service": {"name": service, "port": {"number": port}}}}


def ingress(name, *paths, host="a.example", annotations=None, class_="nginx", ns="default", created="2026-01-01T00:00:00Z", **spec):
    rules = [{"host": host, "http": {"paths": list(paths)}} if host else {"http": {"paths": list(paths)}}] if paths else []
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": ns, "creationTimestamp": created,
                         "annotations": {k if "/" in k else NGINX + k: v for k, v in (annotations or {}).items()}},
            "spec": {**({"ingressClassName": class_} if class_ else {}), "rules": rules, **spec}}


def service(name="web", ns="default", **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns}, "spec": {"ports": [{"name": "http", "port": 80}], **spec}}


def slice_(name="web", ready=True, ns="default"):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "metadata": {"name": name + "-1", "namespace": ns, "labels": {"kubernetes.io/service-name": name}},
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]}


def pod(name="web", ns="default", labels=None, ports=()):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns, "labels": labels or {"app": name}},
            "spec": {"containers": [{"name": "c", "image": "x", "ports": [{"name": p, "containerPort": 8080} for p in ports]}]}}


def class_(name, controller="k8s.io/ingress-nginx", default=False):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": {"controller": controller},
            "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"} if default else {}}}


def as_stream(objects):
    return "\n---\n".join(json.dumps(o) for o in objects)
