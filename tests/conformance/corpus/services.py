"""Services."""
from .cases import case, create, delete, json_patch, merge, obj, port, service, strategic, update

LB = {"type": "LoadBalancer"}
NP = {"type": "NodePort"}


def ports(*p, **spec):
    return create(service(ports=list(p), **spec))


# ---- ports ----
for what, p in {
    "plain": port(80),
    "target port of digits": port(80, targetPort="8080"),
    "target port by name": port(80, targetPort="http"),
    "target port with two hyphens": port(80, targetPort="a--b"),
    "target port too long": port(80, targetPort="abcdefghijklmnop"),
    "target port upper case": port(80, targetPort="HTTP"),
    "target port begins with a hyphen": port(80, targetPort="-a"),
    "target port 0": port(80, targetPort=0),
    "target port 65536": port(80, targetPort=65536),
    "target port negative": port(80, targetPort=-1),
    "target port empty": port(80, targetPort=""),
    "target port true": port(80, targetPort=True),
    "port 0": port(0),
    "port 65536": port(65536),
    "port negative": port(-1),
    "port of text": port("80"),
    "port a fraction": port(80.5),
    "port 80.0": port(80.0),
    "no port": {"name": "a"},
    "protocol lower case": port(80, protocol="tcp"),
    "protocol SCTP": port(80, protocol="SCTP"),
    "protocol empty": port(80, protocol=""),
    "name with two hyphens": port(80, name="a--b"),
    "name upper case": port(80, name="Http"),
    "name of 63": port(80, name="a" * 63),
    "name of 64": port(80, name="a" * 64),
    "name with a dot": port(80, name="a.b"),
    "appProtocol": port(80, appProtocol="kubernetes.io/h2c"),
    "appProtocol with a blank": port(80, appProtocol="Foo Bar"),
    "appProtocol empty": port(80, appProtocol=""),
    "appProtocol upper case": port(80, appProtocol="HTTP"),
    "appProtocol bad prefix": port(80, appProtocol="A/b"),
    "node port on ClusterIP": port(80, nodePort=30055),
}.items():
    case(f"port: {what}", ports(p))
case("port: two, the second unnamed", ports(port(80, name="a"), port(81)))
case("port: two unnamed", ports(port(80), port(81)))
case("port: two of one name", ports(port(80, name="a"), port(81, name="a")))
case("port: two of one number", ports(port(80, name="a"), port(80, name="b")))
case("port: one number, two protocols", ports(port(53, name="a"), port(53, name="b", protocol="UDP")))
case("port: none", create(service(ports=[])))
case("port: none, headless", create(service(ports=[], clusterIP="None")))
case("port: no spec", create(obj("Service", "s")))

# ---- node ports ----
case("nodePort: given", ports(port(80, nodePort=30001), **NP))
case("nodePort: below the range", ports(port(80, nodePort=80), **NP))
case("nodePort: above the range", ports(port(80, nodePort=32768), **NP))
case("nodePort: negative", ports(port(80, nodePort=-1), **NP))
case("nodePort: 65536", ports(port(80, nodePort=65536), **NP))
case("nodePort: twice, one protocol", ports(port(80, name="a", nodePort=30002), port(81, name="b", nodePort=30002), **NP))
case("nodePort: twice, two protocols, two numbers",
     ports(port(80, name="a", nodePort=30003), port(81, name="b", nodePort=30003, protocol="UDP"), **NP))
case("nodePort: twice, two protocols, one number",
     ports(port(80, name="a", nodePort=30004), port(80, name="b", nodePort=30004, protocol="UDP"), **NP))
case("nodePort: of another Service", ports(port(80, nodePort=30005), **NP),
     create(service("t", ports=[port(80, nodePort=30005)], **NP)))
case("nodePort: of another Service, other protocol", ports(port(80, nodePort=30006), **NP),
     create(service("t", ports=[port(80, nodePort=30006, protocol="UDP")], **NP)))
case("nodePort: the same Service again", ports(port(80, nodePort=30007), **NP), ports(port(80, nodePort=30007), **NP))
case("nodePort: two swap", ports(port(80, name="a", nodePort=30008), port(81, name="b", nodePort=30009), **NP),
     update(service(ports=[port(80, name="a", nodePort=30009), port(81, name="b", nodePort=30008)], **NP)))
case("nodePort: twice by update", ports(port(80, name="a", nodePort=30010), port(81, name="b", nodePort=30011), **NP),
     merge("Service", "s", {"spec": {"ports": [port(80, name="a", nodePort=30010), port(81, name="b", nodePort=30010)]}}),
     differs="500 without a reason says nothing of what to mend; ours is the 422 that a create gets")
case("nodePort: kept on a type without", ports(port(80, nodePort=30012), **NP),
     merge("Service", "s", {"spec": {"type": "ClusterIP"}}))
case("nodePort: new one on a type without", ports(port(80, nodePort=30013), **NP),
     merge("Service", "s", {"spec": {"type": "ClusterIP", "ports": [port(80, nodePort=30014)]}}))
case("nodePort: ExternalName with one",
     create(service(type="ExternalName", externalName="a.b", ports=[port(80, nodePort=30015)])))
case("nodePort: false allocation, given", ports(port(80, nodePort=30016), allocateLoadBalancerNodePorts=False, **LB))
case("nodePort: allocation switched off", create(service(**LB)),
     merge("Service", "s", {"spec": {"allocateLoadBalancerNodePorts": False}}))
case("strategic patch of the second of one number",
     ports(port(53, name="a"), port(53, name="b", protocol="UDP"), **NP),
     strategic("Service", "s", {"spec": {"ports": [port(53, protocol="UDP", name="b")]}}),
     differs="as above: the patch hits the first element, so that two are the same; 500 there, 422 here")
case("strategic patch of the second of one number, no node ports",
     ports(port(53, name="a"), port(53, name="b", protocol="UDP")),
     strategic("Service", "s", {"spec": {"ports": [port(53, protocol="UDP", name="b")]}}))

# ---- health check ports ----
LOCAL = {**LB, "externalTrafficPolicy": "Local"}
case("healthCheckNodePort: given", create(service(healthCheckNodePort=30031, **LOCAL)))
case("healthCheckNodePort: taken", create(service(healthCheckNodePort=30032, **LOCAL)),
     create(service("t", healthCheckNodePort=30032, **LOCAL)))
case("healthCheckNodePort: outside the range", create(service(healthCheckNodePort=80, **LOCAL)))
case("healthCheckNodePort: changed", create(service(healthCheckNodePort=30033, **LOCAL)),
     merge("Service", "s", {"spec": {"healthCheckNodePort": 30034}}))
case("healthCheckNodePort: not Local", create(service(healthCheckNodePort=30035, **LB)))
case("healthCheckNodePort: goes with the policy", create(service(**LOCAL)),
     merge("Service", "s", {"spec": {"externalTrafficPolicy": "Cluster"}}))

# ---- addresses ----
for what, spec in {
    "given": {"clusterIP": "10.96.0.77"},
    "both": {"clusterIP": "10.96.0.78", "clusterIPs": ["10.96.0.78"]},
    "they differ": {"clusterIP": "10.96.0.79", "clusterIPs": ["10.96.0.80"]},
    "clusterIPs alone": {"clusterIPs": ["10.96.0.81"]},
    "foreign": {"clusterIP": "1.2.3.4"},
    "network": {"clusterIP": "10.96.0.0"},
    "broadcast": {"clusterIP": "10.96.255.255"},
    "of default/kubernetes": {"clusterIP": "10.96.0.1"},
    "leading zeros": {"clusterIP": "10.096.0.1"},
    "no address": {"clusterIP": "abc"},
    "mapped": {"clusterIP": "::ffff:10.96.0.82"},
    "IPv6": {"clusterIP": "fd00:10:96::82"},
    "IPv6 in upper case": {"clusterIP": "FD00:10:96::83"},
    "IPv6 for IPv4": {"clusterIP": "fd00:10:96::84", "ipFamilies": ["IPv4"]},
    "IPv4 for IPv6": {"clusterIP": "10.96.0.84", "ipFamilies": ["IPv6"]},
    "None and another": {"clusterIP": "None", "clusterIPs": ["None", "10.96.0.85"]},
    "three": {"clusterIP": "10.96.0.86", "clusterIPs": ["10.96.0.86", "fd00:10:96::86", "10.96.0.87"]},
    "two of one family": {"clusterIP": "10.96.0.88", "clusterIPs": ["10.96.0.88", "10.96.0.89"], "ipFamilyPolicy": "PreferDualStack"},
    "two, single stack": {"clusterIP": "10.96.0.90", "clusterIPs": ["10.96.0.90", "fd00:10:96::90"]},
    "two, dual stack": {"clusterIP": "10.96.0.91", "clusterIPs": ["10.96.0.91", "fd00:10:96::91"], "ipFamilyPolicy": "RequireDualStack"},
    "headless": {"clusterIP": "None"},
    "headless LoadBalancer": {"clusterIP": "None", **LB},
    "headless NodePort": {"clusterIP": "None", **NP},
    "families twice": {"ipFamilies": ["IPv4", "IPv4"]},
    "family unknown": {"ipFamilies": ["IPv5"]},
    "two families, single stack": {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"},
    "two families, no policy": {"ipFamilies": ["IPv4", "IPv6"]},
    "policy unknown": {"ipFamilyPolicy": "Dual"},
    "prefer dual stack": {"ipFamilyPolicy": "PreferDualStack"},
}.items():
    case(f"clusterIP: {what}", create(service(**spec)))
case("clusterIP: taken", create(service(clusterIP="10.96.0.92")), create(service("t", clusterIP="10.96.0.92")))
case("clusterIP: changed", create(service(clusterIP="10.96.0.93")), merge("Service", "s", {"spec": {"clusterIP": "10.96.0.94"}}))
case("clusterIP: left out by a replace", create(service()), update(service()))
case("clusterIP: to None", create(service()), merge("Service", "s", {"spec": {"clusterIP": "None"}}))
case("clusterIP: from None", create(service(clusterIP="None")), merge("Service", "s", {"spec": {"clusterIP": "10.96.0.95"}}))
case("clusterIP: emptied", create(service()), merge("Service", "s", {"spec": {"clusterIP": ""}}))
case("clusterIPs: another second", create(service(ipFamilyPolicy="RequireDualStack", clusterIP="10.96.0.96", clusterIPs=["10.96.0.96", "fd00:10:96::96"])),
     merge("Service", "s", {"spec": {"clusterIPs": ["10.96.0.96", "fd00:10:96::97"]}}))
case("families: changed", create(service()), merge("Service", "s", {"spec": {"ipFamilies": ["IPv6"]}}))
case("families: upgrade", create(service()), merge("Service", "s", {"spec": {"ipFamilyPolicy": "PreferDualStack"}}))
case("families: downgrade", create(service(ipFamilyPolicy="RequireDualStack")), merge("Service", "s", {"spec": {"ipFamilyPolicy": "SingleStack"}}))
case("families: downgrade without policy", create(service(ipFamilyPolicy="RequireDualStack")), merge("Service", "s", {"spec": {"ipFamilies": ["IPv4"]}}))
case("families: the second goes, policy kept", create(service(ipFamilyPolicy="RequireDualStack")),
     merge("Service", "s", {"spec": {"clusterIPs": None, "ipFamilies": ["IPv4"]}}))

# ---- types ----
case("type: unknown", create(service(type="Nope")))
case("type: ExternalName", create(service(type="ExternalName", externalName="example.org", ports=[])))
case("type: ExternalName without a name", create(service(type="ExternalName")))
case("type: ExternalName with a clusterIP", create(service(type="ExternalName", externalName="a.b", clusterIP="10.96.0.98")))
case("type: ExternalName, headless", create(service(type="ExternalName", externalName="a.b", clusterIP="None")))
case("type: ExternalName with families", create(service(type="ExternalName", externalName="a.b", ipFamilies=["IPv4"])))
case("type: ExternalName with a policy", create(service(type="ExternalName", externalName="a.b", ipFamilyPolicy="SingleStack")))
case("type: ClusterIP to ExternalName", create(service()), merge("Service", "s", {"spec": {"type": "ExternalName", "externalName": "a.b"}}))
case("type: ExternalName to ClusterIP", create(service(type="ExternalName", externalName="a.b")), merge("Service", "s", {"spec": {"type": "ClusterIP"}}))
case("type: ExternalName to NodePort", create(service(type="ExternalName", externalName="a.b")), merge("Service", "s", {"spec": {"type": "NodePort"}}))
case("type: LoadBalancer to ClusterIP", create(service(loadBalancerClass="a/b", **LOCAL)), merge("Service", "s", {"spec": {"type": "ClusterIP"}}))
case("type: LoadBalancer to ClusterIP, other class", create(service(loadBalancerClass="a/b", **LB)),
     merge("Service", "s", {"spec": {"type": "ClusterIP", "loadBalancerClass": "a/c"}}))
for name in ("example.org.", "10.0.0.1", "Example.org", "a_b.c", "..", "a" * 254, "-a.b", ""):
    case(f"externalName: {name[:20]!r}", create(service(type="ExternalName", externalName=name)))
for name, good in (("1abc", 1), ("a.b", 0), ("A", 0), ("a" * 63, 1), ("a" * 64, 0), ("a-", 0), ("a_b", 0)):
    case(f"name: {name[:5]} {len(name)}", create(service(name)))

# ---- load balancers ----
for what, ranges in {
    "plain": ["10.0.0.0/8"], "host bits": ["10.0.0.1/8"], "leading zero in the length": ["10.0.0.0/08"],
    "leading zero in the address": ["010.0.0.0/8"], "blanks around": [" 10.0.0.0/8 "], "no length": ["10.0.0.0"],
    "too long": ["10.0.0.0/33"], "IPv6": ["2001:db8::/32"], "IPv6 host bits": ["2001:db8::1/32"],
    "IPv6 in upper case": ["2001:DB8::/32"], "mapped": ["::ffff:10.0.0.0/104"], "words": ["all"],
}.items():
    case(f"source range: {what}", create(service(loadBalancerSourceRanges=ranges, **LB)))
case("source range: on ClusterIP", create(service(loadBalancerSourceRanges=["10.0.0.0/8"])))
case("source range: stays behind the type", create(service(loadBalancerSourceRanges=["10.0.0.0/8"], **LB)),
     merge("Service", "s", {"spec": {"type": "ClusterIP"}}))
for what, name in {"plain": "a", "with domain": "a.b/c", "blank": "a b", "empty": "", "bad domain": "A/b", "two slashes": "a/b/c"}.items():
    case(f"loadBalancerClass: {what}", create(service(loadBalancerClass=name, **LB)))
case("loadBalancerClass: on ClusterIP", create(service(loadBalancerClass="a")))
case("loadBalancerClass: changed", create(service(loadBalancerClass="a", **LB)), merge("Service", "s", {"spec": {"loadBalancerClass": "b"}}))
case("loadBalancerClass: set later", create(service(**LB)), merge("Service", "s", {"spec": {"loadBalancerClass": "b"}}))
case("loadBalancerClass: with the type", create(service()), merge("Service", "s", {"spec": {"type": "LoadBalancer", "loadBalancerClass": "b"}}))
case("allocateLoadBalancerNodePorts: on ClusterIP", create(service(allocateLoadBalancerNodePorts=True)))
case("allocateLoadBalancerNodePorts: of text", create(service(allocateLoadBalancerNodePorts="yes", **LB)))

# ---- the status ----
for what, ingress in {
    "ip": {"ip": "192.0.2.1"}, "ip and mode": {"ip": "192.0.2.1", "ipMode": "Proxy"}, "mode without ip": {"hostname": "a.b", "ipMode": "VIP"},
    "mode unknown": {"ip": "192.0.2.1", "ipMode": "Direct"}, "leading zeros": {"ip": "192.0.02.1"}, "no address": {"ip": "abc"},
    "hostname": {"hostname": "a.b"}, "hostname an address": {"hostname": "192.0.2.1"}, "hostname upper case": {"hostname": "A.b"},
    "nothing": {}, "IPv6": {"ip": "2001:DB8::1"},
}.items():
    case(f"status: {what}", create(service(**LB)), merge("Service", "s", {"status": {"loadBalancer": {"ingress": [ingress]}}}, "status"))
case("status: of a ClusterIP Service", create(service()),
     merge("Service", "s", {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}, "status"))
case("status: then another type", create(service(**LB)),
     merge("Service", "s", {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}, "status"),
     merge("Service", "s", {"spec": {"type": "ClusterIP"}}))

# ---- policies ----
case("externalTrafficPolicy: on ClusterIP", create(service(externalTrafficPolicy="Local")))
case("externalTrafficPolicy: with external addresses", create(service(externalTrafficPolicy="Local", externalIPs=["192.0.2.1"])))
case("externalTrafficPolicy: unknown", create(service(externalTrafficPolicy="Near", **NP)))
case("internalTrafficPolicy: unknown", create(service(internalTrafficPolicy="Near")))
case("internalTrafficPolicy: Local", create(service(internalTrafficPolicy="Local")))
for v in ("PreferClose", "PreferSameZone", "PreferSameNode", "Near", ""):
    case(f"trafficDistribution: {v!r}", create(service(trafficDistribution=v)))
for v in (0, -1, 1, 86400, 86401, "10"):
    case(f"timeoutSeconds: {v!r}", create(service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": v}})))
case("sessionAffinity: unknown", create(service(sessionAffinity="Cookie")))
case("sessionAffinity: config without", create(service(sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}})))
case("sessionAffinity: off by patch", create(service(sessionAffinity="ClientIP")), merge("Service", "s", {"spec": {"sessionAffinity": "None"}}))
for ip in ("192.0.2.1", "abc", "127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "224.0.1.1", "2001:DB8::1", "fe80::1", "::", "ff02::1",
           "192.0.2.01", "::ffff:192.0.2.1", ""):
    case(f"externalIPs: {ip!r}", create(service(externalIPs=[ip])))
case("selector: bad value", create(service(selector={"a": "b c"})))
case("selector: bad key", create(service(selector={"a b": "c"})))
case("annotation: source ranges", create(service(metadata={"annotations": {"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.1/8"}}, **LB)))
case("annotation: source ranges on ClusterIP", create(service(metadata={"annotations": {"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8"}})))
case("annotation: topology, both, unlike", create(service(metadata={"annotations": {
    "service.kubernetes.io/topology-mode": "Auto", "service.kubernetes.io/topology-aware-hints": "disabled"}})))
case("patch: remove what is not there", create(service()), json_patch("Service", "s", {"op": "remove", "path": "/spec/nope"}))
case("patch: test that fails", create(service()), json_patch("Service", "s", {"op": "test", "path": "/spec/type", "value": "NodePort"}))
case("delete: twice", create(service()), delete("Service", "s"), delete("Service", "s"))
