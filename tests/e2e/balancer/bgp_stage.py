"""The segment of l2_stage.py with a bgpd of FRR on each node, and a router: the client's namespace, which knows a way to the addresses only by what it is told."""
import ipaddress
import json

from frr import Frr
from l2_stage import Stage
from suite import wait_until

POOL4, POOL6 = "203.0.113.0/24", "2001:db8:b::/112"
ROUTER = """router bgp 64513
bgp router-id 192.0.2.100
no bgp ebgp-requires-policy
no bgp default ipv4-unicast
neighbor nodes peer-group
neighbor nodes remote-as 64512
neighbor six peer-group
neighbor six remote-as 64512
neighbor 192.0.2.11 peer-group nodes
neighbor 192.0.2.12 peer-group nodes
neighbor 192.0.2.13 peer-group nodes
neighbor 2001:db8:1::b peer-group six
neighbor 2001:db8:1::c peer-group six
neighbor 2001:db8:1::d peer-group six
neighbor nodes passive
neighbor six passive
address-family ipv4 unicast
neighbor nodes activate
exit-address-family
address-family ipv6 unicast
neighbor six activate
exit-address-family
exit"""


class BgpStage(Stage):
    hold = "9s"

    def define_pools(self):
        self.cluster.pool("routed", POOL4, POOL6)
        self.frrs = []

    def daemons(self, namespace, *names):
        frr = Frr(namespace, self.dir / f"frr-{namespace.name}")
        self.frrs.append(frr)
        return frr.start("zebra", *names)

    def start_node(self, node):
        if not hasattr(self, "router"):
            self.router = self.daemons(self.client, "bgpd", "bfdd")
            self.configure_router()
            for family in ("ipv4", "ipv6"):
                self.client.sysctl(f"net.{family}.fib_multipath_hash_policy", 1)  # by ports, too
        node.frr = self.daemons(node, "bgpd", "bfdd")
        node.start(f"--frr-vty-directory={node.frr.dir}")

    def configure_router(self, *more):
        self.router.configure(*ROUTER.splitlines()[:-1], *more, "exit")

    def restart_router(self):
        """Without what was configured besides."""
        self.router.stop("bgpd")
        self.router.start("bgpd")
        self.configure_router()

    def wait_for_agents(self):
        self.peer("tor", self.client.v4)
        self.peer("tor6", self.client.v6)
        self.cluster.bgp("BGPAdvertisement", "all")
        self.sessions_are_up()

    def peer(self, name, address, **spec):
        return self.cluster.bgp("BGPPeer", name, **{"myASN": 64512, "peerASN": 64513, "peerAddress": address, "holdTime": self.hold, "connectTime": "1s", **spec})

    def sessions(self):
        """(family, node) of the sessions that the router has."""
        found = set()
        for family, key in ((4, "ipv4"), (6, "ipv6")):
            peers = json.loads(self.router.say(f"show bgp {key} unicast summary json")).get("peers", {})
            found |= {(family, n.name) for n in self.nodes.values() if peers.get(n.v6 if family == 6 else n.v4, {}).get("state") == "Established"}
        return found

    def sessions_are_up(self):
        wait_until("all sessions are up", lambda: self.sessions() == {(f, n) for f in (4, 6) for n in self.nodes}, 40)

    def route(self, prefix):
        """Nodes that the router's kernel has as next hops."""
        address, _, length = prefix.partition("/")
        version = ipaddress.ip_address(address).version
        text = self.client.ip("-j", f"-{version}", "route", "show", f"{address}/{length or (32 if version == 4 else 128)}")
        hops = [h for r in json.loads(text or "[]") for h in r.get("nexthops", [r])]
        by_address = {n.v4: n.name for n in self.nodes.values()} | {n.v6: n.name for n in self.nodes.values()} | {self.link_local(n): n.name for n in self.nodes.values()}
        return sorted({by_address.get(h.get("gateway") or h.get("via", {}).get("host"), "?") for h in hops})

    def link_local(self, node):
        if not hasattr(node, "own_link_local"):
            found = json.loads(node.ip("-j", "-6", "addr", "show", "dev", "eth0", "scope", "link"))
            node.own_link_local = next(a["local"] for i in found for a in i.get("addr_info", []) if "local" in a)
        return node.own_link_local

    def routed_to(self, prefix, *names, timeout=20):
        wait_until(f"{prefix} leads to {names}", lambda: self.route(prefix) == sorted(names), timeout)

    def path(self, prefix, node):
        """What the router was told of it by a node."""
        version = 6 if ":" in prefix else 4
        found = json.loads(self.router.say(f"show bgp ipv{version} unicast {prefix} json"))
        own = node.v6 if version == 6 else node.v4
        return next((p for p in found.get("paths", []) if p["peer"]["peerId"] == own), None)

    def serve(self, name, *nodes, **kw):
        self.cluster.service(name, **kw)
        for family in (4, 6) if kw.get("ipFamilyPolicy") == "RequireDualStack" else (4,):
            self.endpoints(name, *(nodes or self.nodes), family=family)
        return wait_until(f"{name} has an address", lambda: self.cluster.ips(name))

    def close(self):
        for frr in getattr(self, "frrs", []):
            frr.stop()
        super().close()
