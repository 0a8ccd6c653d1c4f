"""Istio's sample shop, as examples/mesh/bookinfo has it, in a namespace that asks for proxies: its pages, by weight and by header, and over nothing but TLS."""
import json

import pytest
from gateway import Gateway
from suite import ROOT, wait_until

EXAMPLES = ROOT / "examples/mesh/bookinfo"
PODS = ("productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")


@pytest.fixture(scope="module")
def shop(mesh):
    lab = mesh.lab
    lab.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"istio-injection": "enabled"}}})
    lab.fairlead("apply", "-f", EXAMPLES / "bookinfo.yaml")
    for name in PODS:
        app, version = name.split("-")
        wait_until(f"{name} is ready", lambda app=app, version=version: lab.ready_pods(f"app={app},version={version}"), 40)
    wait_until("the page is whole", lambda: stars(lab) is not None, 30)
    return lab


def ask(lab, path, *args):
    """From ratings' pod, which is one of the mesh."""
    pod = lab.ready_pods("app=ratings")[0]["metadata"]["name"]
    out = lab.fairlead("exec", pod, "-c", "ratings", "--", "curl", "-s", "-m", "10", "-w", "\n%{http_code}", *args, f"http://productpage:9080{path}")
    body, _, status = out.rpartition("\n")
    return int(status), body


def stars(lab, *args):
    """Of which version the reviews are: v1 has no stars, v2 black ones, v3 red ones. None: they did not come."""
    status, body = ask(lab, "/api/v1/products/0/reviews", *args)
    if status != 200 or "reviews" not in (found := json.loads(body)):
        return None
    rating = found["reviews"][0].get("rating")
    return {None: "v1", "black": "v2", "red": "v3"}[rating and rating.get("color")]


def test_the_page(shop):
    status, page = ask(shop, "/productpage")
    assert status == 200 and "The Comedy of Errors" in page and "Reviewer1" in page and "paperback" in page


def test_a_tenth_sees_stars(shop):
    shop.fairlead("apply", "-f", EXAMPLES / "reviews-90-10.yaml")
    wait_until("v3 is out", lambda: "v3" not in [stars(shop) for _ in range(12)], 20)
    seen = [stars(shop) for _ in range(150)]
    # 150 draws of one in ten: 3 to 30 but once in some ten thousand runs
    assert set(seen) == {"v1", "v2"} and 3 <= seen.count("v2") <= 30, seen.count("v2")


def test_jason_sees_red_ones(shop):
    shop.fairlead("apply", "-f", EXAMPLES / "reviews-jason.yaml")
    wait_until("he does", lambda: stars(shop, "-H", "end-user: jason") == "v3")
    assert {stars(shop) for _ in range(10)} == {"v1"} and {stars(shop, "-H", "end-user: jason") for _ in range(5)} == {"v3"}


def test_strict(shop):
    """Who has no proxy is not answered; all others are as before."""
    shop.fairlead("apply", "-f", EXAMPLES / "strict.yaml")
    ip = shop.ready_pods("app=details")[0]["status"]["podIP"]
    node = shop.get("nodes")["items"][0]["metadata"]["name"]
    wait_until("plain text is refused", lambda: shop.in_netns(node, "curl", "-s", "-m", "3", f"http://{ip}:9080/details/0", check=False).returncode in (52, 56))
    assert stars(shop) == "v1" and ask(shop, "/productpage")[0] == 200


def test_the_door(shop):
    """From outside, by a Gateway, into a namespace that takes no plain text."""
    shop.fairlead("apply", "-f", EXAMPLES / "strict.yaml")
    for kind in ("gateways", "virtualservices"):
        shop.apply((ROOT / f"deploy/crds/networking.{kind}.yaml").read_text())
    shop.fairlead("apply", "-f", EXAMPLES / "gateway.yaml")
    door = Gateway(shop)
    door.all_do("the page is whole", lambda a: a.status == 200 and "The Comedy of Errors" in a.body and "Reviewer1" in a.body, "/productpage", "bookinfo.example")
    assert door.ask("/api/v1/products/0/reviews", "any.example").status == 200
    assert door.ask("/else", "any.example").status == 404
