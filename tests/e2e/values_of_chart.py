"""Values to try the chart with: each leaf of values.yaml with another value, and whole sets of them by chance, all of which the schema takes."""
import pathlib
import random

import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "deploy/chart"
# All that hangs on something being on is on; what tells where the API server is, too.
ALL_ON = {"networkPolicy": {"enabled": True}, "monitoring": {"podMonitor": {"enabled": True}, "dashboards": {"enabled": True}}, "loadBalancer": {"enabled": True, "bgp": {"enabled": True}},
          "agent": {"apiServer": {"host": "192.0.2.1"}}, "mesh": {"everywhere": False, "cni": {"enabled": True}}}
CHOICES = {
    "image.registry": ["", "my.registry/net", "localhost:5000"], "image.tag": ["1.2.3", "latest"], "image.pullPolicy": ["Always", "Never"], "image.pullSecrets": [[{"name": "a"}, {"name": "b"}]],
    "logLevel": ["debug", "warn", "error"], "logFormat": ["json"], "agent.apiServer.host": ["10.0.0.1", "fd00::1", "api.example"], "agent.apiServer.port": [443],
    "agent.detectLocalMode": [""], "agent.clusterCIDR": ["10.0.0.0/8", "10.0.0.0/8,fd00::/48"], "agent.podBridgeInterface": ["cni0"], "agent.podInterfaceNamePrefix": ["cali"],
    "agent.nodePortAddresses": ["primary", "10.0.0.0/8,localhost"], "agent.kubeProxyConfigMap": ["kube-proxy"], "agent.metricsBindAddress": ["0.0.0.0:1", "[::]:10249"],
    "agent.updateStrategy": [{"type": "OnDelete"}], "loadBalancer.namespace": ["metallb-system"], "loadBalancer.loadBalancerClass": ["x.example/y"],
    "loadBalancer.bgp.vtyDirectory": ["/var/run/frr"], "loadBalancer.bgp.passwordSecrets": [["tor", "spine.1"]],
    "ingress.controllers": [["a.example/b"], ["a", "b", "c"]], "ingress.defaultBackendService": ["a/b"], "ingress.configMap": ["", "a/b"], "ingress.tcpServicesConfigMap": ["", "a/b"],
    "ingress.udpServicesConfigMap": ["", "a/b"], "gateway.service.type": ["NodePort", "ClusterIP"], "gateway.service.annotations": [{"a/b": "c<&>\"d'"}],
    "gateway.service.externalTrafficPolicy": ["Local", "Cluster"], "gateway.service.loadBalancerClass": ["x.example/y"], "gateway.service.loadBalancerSourceRanges": [["10.0.0.0/8", "fd00::/8"]],
    "gateway.service.extraPorts": [[{"name": "a", "port": 22, "targetPort": "ssh", "protocol": "TCP"}, {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 30053}]],
    "mesh.outboundTrafficPolicy": ["REGISTRY_ONLY"], "mesh.trustDomain": ["td.example"], "mesh.certificateLifetime": ["1h", "90m30s"], "mesh.clusterID": ["east"], "mesh.cni.binDir": ["/usr/libexec/cni"],
    "mesh.cni.confDir": ["/var/lib/cni/net.d"], "mesh.cni.confName": ["10-net.conflist"], "mesh.cni.excludeNamespaces": [[], ["a", "b-c"]], "mesh.cni.updateStrategy": [{"type": "OnDelete"}],
    "networkPolicy.metricsFrom": [[], [{"ipBlock": {"cidr": "10.0.0.0/8"}}]], "monitoring.podMonitor.interval": ["1m"], "monitoring.podMonitor.labels": [{"a": "b"}],
    "monitoring.dashboards.labels": [{"a": "true", "b": "1"}]}
BY_NAME = {"resources": [{"limits": {"cpu": 1, "memory": "1Gi"}}, {"requests": {"cpu": 0.5}}], "nodeSelector": [{"a/b": "true", "c": "1"}], "tolerations": [[], [{"key": "a", "effect": "NoSchedule"}]],
           "affinity": [{"nodeAffinity": {"x": [{"weight": 1}]}}], "priorityClassName": ["high"], "extraArgs": [["--log-format=json"], ["--a=\"b\"", "--c: d"]], "maxUnavailable": ["50%", 2]}


def leaves(values, path=()):
    for key, value in values.items():
        name = ".".join(path + (key,))
        if isinstance(value, dict) and value and name not in CHOICES and key not in BY_NAME:
            yield from leaves(value, path + (key,))
        else:
            yield name, value


def others(name, value):
    """Values unlike the default."""
    if name in CHOICES:
        return CHOICES[name]
    last = name.rsplit(".", 1)[-1]
    if last in BY_NAME:
        return [v for v in BY_NAME[last] if v != value]
    if isinstance(value, bool):
        return [not value]
    assert isinstance(value, int), name
    return [value + 1]


def put(values, name, value):
    *path, last = name.split(".")
    for key in path:
        values = values.setdefault(key, {})
    values[last] = value


def default_values():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def by_chance(seed):
    """Some values, of those that the schema takes together."""
    random_ = random.Random(seed)
    chosen = {}
    for name, value in leaves(default_values()):
        if random_.random() < 0.3:
            put(chosen, name, random_.choice(others(name, value)))
    if chosen.get("control", {}).get("enabled") is False:
        put(chosen, "gateway.enabled", False)
        put(chosen, "mesh.enabled", False)
    if chosen.get("mesh", {}).get("everywhere"):
        put(chosen, "mesh.revisionOnly", False)
    return chosen
