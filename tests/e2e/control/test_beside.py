"""Beside another controller of Ingresses, by docs/ingress.md ("Moving from ingress-nginx"). ingress-nginx's part is played by a stand-in, which does what of it meets ours in the API: it writes its own address, and nobody else's, into the
status of each Ingress of its class whenever that is not so, and takes no other note of anything."""
import threading
import time

from gateway import rule
from suite import wait_until

SYSTEM, THEIRS = "fairlead-system", "192.0.2.44"
CONTROL = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control"


def path_of(name):
    return f"/apis/networking.k8s.io/v1/namespaces/default/ingresses/{name}"


class StandIn:
    """Serves one class; looks every 50 ms until it is ended."""

    def __init__(self, lab, class_):
        self.lab, self.class_, self.writes, self.ended = lab, class_, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ended.is_set():
            for i in self.lab.get("ingresses")["items"]:
                if i["spec"].get("ingressClassName") == self.class_ and i.get("status", {}).get("loadBalancer", {}).get("ingress") != [{"ip": THEIRS}]:
                    self.lab.raw(path_of(i["metadata"]["name"]) + "/status", "PATCH", {"status": {"loadBalancer": {"ingress": [{"ip": THEIRS}]}}})
                    self.writes += 1
            time.sleep(0.05)

    def end(self):
        self.ended.set()
        self.thread.join()


def address(lab, name):
    return [i["ip"] for i in lab.get(f"ingress/{name}").get("status", {}).get("loadBalancer", {}).get("ingress", [])]


def versions(lab, *names):
    return [lab.get(f"ingress/{n}")["metadata"]["resourceVersion"] for n in names]


def flags(lab, change):
    container = lab.get("deployments/fairlead-control", "-n", SYSTEM)["spec"]["template"]["spec"]["containers"][0]
    before = {p["metadata"]["name"] for p in lab.pods("app=fairlead-control", SYSTEM)}
    lab.patch(CONTROL, {"spec": {"template": {"spec": {"containers": [{**container, "args": change(container["args"])}]}}}})
    wait_until("it has been exchanged", lambda: not before & {p["metadata"]["name"] for p in lab.pods("app=fairlead-control", SYSTEM)} and lab.ready_pods("app=fairlead-control", SYSTEM), 60)


def later(lab, gateway, ingress, name):
    """Ours has looked at everything since: an Ingress that is new now is served and has its address."""
    ingress(name, [rule(f"{name}.example", ("/", "Prefix", "web"))], class_="fairlead")
    wait_until("a later Ingress has our address", lambda: address(lab, name) == [gateway.address], 60)


def test_each_its_own_class(lab, gateway, ingress):
    """Each writes the status of its own, and neither the other's; what is theirs is not served here."""
    lab.apply({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "theirs"}, "spec": {"controller": "example.com/theirs"}})
    other = StandIn(lab, "theirs")
    try:
        ingress("their-own", [rule("theirs.example", ("/", "Prefix", "web"))], class_="theirs")
        ingress("our-own", [rule("ours.example", ("/", "Prefix", "web"))], class_="fairlead")
        gateway.becomes("ours is served", lambda a: a.app == "web", "/", "ours.example")
        wait_until("both have an address", lambda: (address(lab, "their-own"), address(lab, "our-own")) == ([THEIRS], [gateway.address]))
        settled = versions(lab, "their-own", "our-own")
        later(lab, gateway, ingress, "later-own")
        flags(lab, lambda args: [*args, "--log-level=debug"])  # it starts anew, and looks at all of them
        later(lab, gateway, ingress, "latest-own")
        assert versions(lab, "their-own", "our-own") == settled and other.writes == 1
        assert gateway.ask("/", "theirs.example").status == 404
        # The class of one is changed: it changes hands, there and back.
        lab.patch(path_of("their-own"), {"spec": {"ingressClassName": "fairlead"}})
        wait_until("it has our address", lambda: address(lab, "their-own") == [gateway.address])
        gateway.becomes("it is served", lambda a: a.app == "web", "/", "theirs.example")
        lab.patch(path_of("their-own"), {"spec": {"ingressClassName": "theirs"}})
        wait_until("it has theirs again", lambda: address(lab, "their-own") == [THEIRS])
        gateway.becomes("it is not served any more", lambda a: a.status == 404, "/", "theirs.example")
        settled = versions(lab, "their-own")
        later(lab, gateway, ingress, "last-own")
        assert versions(lab, "their-own") == settled and other.writes == 2
    finally:
        other.end()
        flags(lab, lambda args: [a for a in args if a != "--log-level=debug"])
        lab.fairlead("delete", "ingressclass/theirs")


def test_both_serve_one_class(lab, gateway, ingress):
    """ingress.publishStatus=false: ours serves the class nginx and leaves its status to the other; with it the status is ours once the other has gone."""
    published = lab.get("deployments/fairlead-control", "-n", SYSTEM)["spec"]["template"]["spec"]["containers"][0]["args"]
    flags(lab, lambda args: [a for a in args if not a.startswith("--publish-service")])
    other = StandIn(lab, "nginx")
    try:
        ingress("shared", [rule("shared.example", ("/", "Prefix", "web"))])
        gateway.becomes("ours serves it", lambda a: a.app == "web", "/", "shared.example")
        wait_until("its address is theirs", lambda: address(lab, "shared") == [THEIRS])
        settled = versions(lab, "shared")
        ingress("shared-2", [rule("shared-2.example", ("/", "Prefix", "web"))])
        gateway.becomes("ours serves that, too", lambda a: a.app == "web", "/", "shared-2.example")
        assert versions(lab, "shared") == settled
    finally:
        other.end()
        flags(lab, lambda args: published)
    wait_until("it is ours", lambda: address(lab, "shared") == [gateway.address] and address(lab, "shared-2") == [gateway.address], 60)
