"""fairlead edges, graph, top, trace on answers of the control plane that were kept: what they print, to the letter."""
import json

import pytest

from manifests import fairlead


def numbers(requests, errors=0, seconds=60, connections=0, sent=0, **buckets):
    counts = [0] * 20
    for bucket, n in buckets.items():
        counts[int(bucket[1:])] = n
    return {"seconds": seconds, "requests": requests, "errors": errors, "milliseconds": 0, "buckets": counts, "receivedBytes": 0, "sentBytes": sent, "connections": connections}


def edge(source, destination, service=None, protocol="http", security="mutual_tls", **ends):
    def side(text):
        name, ns = text.split(".")
        return {"workload": name, "namespace": ns}
    return {"source": side(source), "destination": side(destination), "service": service or f"{destination}.svc.cluster.local", "protocol": protocol, "security": security, **ends}


EDGES = {"proxies": 4, "edges": [
    edge("web.shop", "cart.shop", client=numbers(120, 12, b2=120), server=numbers(110, 2, b2=110)),
    edge("cart.shop", "db.bank", protocol="tcp", security="none", client=numbers(0, connections=3, sent=600)),
    edge("cart.shop", "reviews.shop", security="unknown", server=numbers(60, b9=60, seconds=30)),
    edge("web.shop", "cart.shop", security="unknown", client=numbers(60, b2=60)),  # another replica's
]}

GRAPH = """\
cart.shop
  -> db.bank  tcp  3 connections  10 B/s  plain
  -> reviews.shop  http  2.0 rps  100.00%  p95 975ms  unknown
web.shop
  -> cart.shop  http  3.0 rps  93.33%  p95 4.8ms  mutual TLS
"""

DOT = """\
digraph fairlead {
  rankdir=LR;
  node [shape=box];
  "cart.shop" -> "db.bank" [label="3 connections\\n10 B/s",color=black,style=dashed];
  "cart.shop" -> "reviews.shop" [label="2.0 rps\\n100.00%\\np95 975ms",color=black,style=dashed];
  "web.shop" -> "cart.shop" [label="3.0 rps\\n93.33%\\np95 4.8ms",color=black,style=bold];
}
"""

EDGES_WIDE = """\
SRC    DST       SRC_NS   DST_NS   SECURED      SERVICE                          PROTOCOL   SUCCESS   RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99
cart   db        shop     bank     plain        db.bank.svc.cluster.local        tcp        -         -     -             -             -
cart   reviews   shop     shop     unknown      reviews.shop.svc.cluster.local   http       100.00%   2.0   750ms         975ms         995ms
web    cart      shop     shop     mutual TLS   cart.shop.svc.cluster.local      http       93.33%    3.0   3.0ms         4.8ms         5.0ms
"""

TOP = """\
NAME      NAMESPACE   SUCCESS   RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99   TCP_CONN
reviews   shop        100.00%   2.0   750ms         975ms         995ms         0
cart      shop        98.18%    1.8   3.0ms         4.8ms         5.0ms         0
db        bank        -         -     -             -             -             3
"""


@pytest.fixture
def kept(tmp_path):
    file = tmp_path / "edges.json"
    file.write_text(json.dumps(EDGES))
    return file


@pytest.mark.parametrize("argv, text", [(["graph"], GRAPH), (["graph", "-o", "dot"], DOT), (["edges", "-o", "wide"], EDGES_WIDE), (["top"], TOP)])
def test_what_is_printed(kept, argv, text):
    done = fairlead(*argv, "-f", kept)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", text)


def test_what_is_chosen(kept):
    def pairs(*argv):
        done = fairlead("edges", "-f", kept, "-o", "json", *argv)
        assert done.returncode == 0, done.stderr
        return [f"{e['source']['workload']}>{e['destination']['workload']}" for e in json.loads(done.stdout)["items"]]
    assert pairs("deploy/web") == ["web>cart"] and pairs("cart") == ["cart>db", "cart>reviews", "web>cart"] and pairs("svc/db") == ["cart>db"]
    assert pairs("-n", "bank") == ["cart>db"] and len(pairs("-n", "bank", "-A")) == 3 and pairs("-n", "x") == []
    assert "no traffic of namespace x" in fairlead("edges", "-f", kept, "-n", "x").stderr


def test_as_json(kept):
    j = json.loads(fairlead("graph", "-f", kept, "-o", "json").stdout)
    assert (j["kind"], len(j["items"]), [n["id"] for n in j["nodes"]]) == ("Graph", 3, ["cart.shop", "db.bank", "reviews.shop", "web.shop"])
    cart = j["items"][2]
    assert cart["client"]["requests"] == 180 and cart["client"]["requestsPerSecond"] == 3 and cart["server"]["requests"] == 110 and cart["security"] == "mutual_tls"
    assert json.loads(fairlead("top", "-f", kept, "-o", "json").stdout)["items"][0]["workload"] == "reviews"


def span(service, kind, ident, parent, begin, took, status="200", **tags):
    return {"traceId": "1" * 32, "id": ident * 16, **({"parentId": parent * 16} if parent else {}), "name": "x", "kind": kind, "timestamp": 1000000 + begin, "duration": took,
            "localEndpoint": {"serviceName": service}, "tags": {"http.method": "GET", "http.url": f"http://{service}/", "http.status_code": status, **tags}}


WATERFALL = """\
trace 11111111111111111111111111111111: 40ms, 4 spans
|========================================|      40ms  200  web.shop ->  GET http://web.shop/
| ===========================            |      27ms  200    cart.shop <-  GET http://cart.shop/
|                    ==                  |     2.0ms  503      cart.shop ->  GET http://?[31m/  error
|          ==========                    |      10ms  200  lost.shop <-  GET http://lost.shop/
"""


def test_a_waterfall(tmp_path):
    """A span whose parent nobody has told of stands by itself; what is no text does not get to the terminal."""
    spans = [span("cart.shop", "SERVER", "b", "a", 1000, 27000), span("web.shop", "CLIENT", "a", "f", 0, 40000), span("cart.shop", "CLIENT", "c", "b", 20000, 2000, "503", error="true"),
             span("lost.shop", "SERVER", "e", "d", 10000, 10000)]
    spans[2]["tags"]["http.url"] = "http://\x1b[31m/"
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(spans))
    done = fairlead("trace", "1" * 32, "-f", file)
    assert (done.returncode, done.stdout) == (0, WATERFALL)
    circle = [span("x.y", "SERVER", "a", "b", 0, 10), span("x.y", "SERVER", "b", "a", 0, 10)]
    file.write_text(json.dumps(circle))
    assert len(fairlead("trace", "1" * 32, "-f", file).stdout.splitlines()) == 3


def test_a_list_of_two_replicas(tmp_path):
    def one(**more):
        return {"traceId": "1" * 32, "service": "cart.shop", "name": "GET http://cart/", "timestamp": 2000, "duration": 10, "spans": 1, "error": False} | more
    file = tmp_path / "list.json"
    file.write_text(json.dumps([one(), one(traceId="2" * 32), one(service="web.shop", name="GET http://web/", timestamp=1000, duration=5000, spans=2, error=True)]))
    rows = [line.split() for line in fairlead("trace", "-f", file).stdout.splitlines()][1:]
    assert [r[:7] for r in rows] == [["1" * 32, "web.shop", "GET", "http://web/", "3", "5.0ms", "error"], ["2" * 32, "cart.shop", "GET", "http://cart/", "1", "0.0ms", "-"]]


@pytest.mark.parametrize("text, error", [("", "error: "), ("{}", "there are no edges in it"), ("[1", "error: ")])
def test_what_is_no_answer(tmp_path, text, error):
    file = tmp_path / "x.json"
    file.write_text(text)
    done = fairlead("edges", "-f", file)
    assert done.returncode == 1 and error in done.stderr and done.stdout == ""
