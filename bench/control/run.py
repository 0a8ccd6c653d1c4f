#!/usr/bin/env python3
"""From an API write to served traffic: a lab, its control plane and one gateway, among N Ingresses of as many Services.

Usage: run.py BUILD [flags]   (root)

  --ingresses N     how many there are (3000)
  --changes N       of each kind (100; 0: none)
  --traefik PATH    Traefik beside us: the same objects, the same measuring, one after the other; ratios are told
  --throttle D      Traefik takes no two changes within that time (0s, its best; it comes with 2s)
  --churn N         changes a second by somebody else meanwhile: an endpoint and a route in turn, of others than are looked at (0)
  --requests N      so many requests at --rate a second over all hosts while things change (--churn a second, 20 if that is 0): failures are counted (0)
  --roll N          the same to a Deployment that is rolled over and over meanwhile (0)
  --rate N          requests a second (1000)

Times are from the moment the write is sent to the first answer that shows it, asked for over and over on one connection."""
import argparse
import http.client
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
arguments = argparse.ArgumentParser(usage=__doc__)
arguments.add_argument("build")
arguments.add_argument("--traefik")
arguments.add_argument("--throttle", default="0s")
for flag, default in (("ingresses", 3000), ("changes", 100), ("churn", 0), ("requests", 0), ("roll", 0), ("rate", 1000)):
    arguments.add_argument("--" + flag, type=int, default=default)
options = arguments.parse_args()
os.environ["FAIRLEAD_BIN"] = str(pathlib.Path(options.build).absolute() / "bin")
import lab_harness  # noqa: E402
import sides  # noqa: E402
from sides import SYSTEM  # noqa: E402
from suite import wait_until  # noqa: E402

INGRESSES = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
SERVICES = "/api/v1/namespaces/default/services"
LOAD = str(pathlib.Path(options.build).absolute() / "bench/control-load")


class Api:
    def __init__(self, lab):
        self.conn = lab.connect()

    def call(self, method, path, body=None, kind="application/json"):
        self.conn.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
        r = self.conn.getresponse()
        text = r.read()
        assert r.status < 300, (method, path, r.status, text[:300])
        return json.loads(text)

    def merge(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def point(self, name, ip):
        """The endpoint of a slice."""
        return self.merge(f"{SLICES}/{name}", {"endpoints": [{"addresses": [ip], "conditions": {"ready": True}}]})


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [{"name": "http", "port": 80}], **spec}}


def endpoint_slice(name, ip):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": [{"addresses": [ip], "conditions": {"ready": True}}]}


def ingress(name, to):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "default"}, "spec": {
        "ingressClassName": sides.CLASS, "rules": [{"host": f"{name}.example", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": to, "port": {"number": 80}}}}]}}]}}


def served(status, _):
    return status == 200


class Gateway:
    def __init__(self, address):
        self.conn = http.client.HTTPConnection(address, 80, timeout=10)

    def ask(self, host):
        self.conn.request("GET", "/name", headers={"Host": host})
        r = self.conn.getresponse()
        return r.status, r.read().decode().strip()

    def until(self, host, is_so):
        while not is_so(*self.ask(host)):
            pass

    def timed(self, act, host, is_so):
        begin = time.perf_counter()
        act()
        self.until(host, is_so)
        return time.perf_counter() - begin


def first_answer(address, host):
    """Of a gateway that has just been started."""
    while True:
        try:
            Gateway(address).until(host, served)
            return
        except OSError:
            time.sleep(0.005)


class Table:
    """Rows of one side, printed as they come, kept for the ratios."""

    def __init__(self, side):
        self.side, self.rows, self.facts = side, {}, {}
        print(f"\n## {side.name}\n")

    def fact(self, name, value, unit):
        self.facts[name] = value
        print(f"{name}: {value:.2f} {unit}", flush=True)

    def head(self):
        each = "".join(f" {name} CPU ms |" for name in self.side.programs)
        print(f"\n| change | times | p50 ms | p99 ms | max ms |{each}\n|---|---|---|---|---|" + "---|" * len(self.side.programs))

    def row(self, what, changes):
        """changes: calls that make one each, and tell how long it took."""
        before = [sides.cpu_ms(p) for p in self.side.programs.values()]
        ms = sorted(change() * 1000 for change in changes)
        each = [(sides.cpu_ms(p) - b) / len(ms) for p, b in zip(self.side.programs.values(), before)]
        p50, p99 = statistics.median(ms), ms[max(0, -(-len(ms) * 99 // 100) - 1)]
        self.rows[what] = p50, p99, sum(each)
        print(f"| {what} | {len(ms)} | {p50:.2f} | {p99:.2f} | {ms[-1]:.2f} |" + "".join(f" {e:.2f} |" for e in each), flush=True)


def measure_changes(table, api, gateway, ip):
    changes = range(options.changes)
    table.head()
    table.row("route added", [lambda i=i: gateway.timed(lambda: api.call("POST", INGRESSES, ingress(f"x{i}", "s0")), f"x{i}.example", served) for i in changes])
    table.row("route changed", [lambda i=i: gateway.timed(lambda: api.merge(f"{INGRESSES}/x{i}", {"spec": ingress(f"x{i}", "only-b")["spec"]}), f"x{i}.example",
                                                          lambda s, text: text == "b") for i in changes])
    table.row("route removed", [lambda i=i: gateway.timed(lambda: api.call("DELETE", f"{INGRESSES}/x{i}"), f"x{i}.example", lambda s, _: s == 404) for i in changes])
    state = [None]

    def endpoint():
        want = state[0] = "b" if state[0] == "a" else "a"
        return gateway.timed(lambda: api.point("s1", ip[want]), "i1.example", lambda s, text: text == want)
    api.point("s1", ip["b"])
    gateway.until("i1.example", lambda s, text: text == "b")
    table.row("endpoint changed", [endpoint for _ in changes])
    table.row("API write alone", [lambda i=i: gateway.timed(lambda: api.merge(f"{SLICES}/s2", {"metadata": {"labels": {"n": str(i)}}}), "i2.example", served)
                                  for i in changes])


# ---- what goes on meanwhile ----

class Churn:
    """Changes by another process, at a rate: an endpoint of s100 and above, a route c0 to c49, in turn."""

    def __init__(self, lab, rate, ip):
        self.over, self.done = multiprocessing.Event(), multiprocessing.Value("L", 0)
        self.process = multiprocessing.Process(target=self.run, args=(lab, rate, ip), daemon=True) if rate else None
        if self.process:
            self.process.start()

    def run(self, lab, rate, ip):
        api, there, at, begin = Api(lab), set(), 0, time.monotonic()
        while not self.over.wait(max(0, begin + at / rate - time.monotonic())):
            nth = at // 2
            if at % 2 == 0:
                api.point(f"s{100 + nth % (options.ingresses - 100)}", ip["ab"[nth // (options.ingresses - 100) % 2 ^ 1]])
            elif nth % 50 in there:
                api.call("DELETE", f"{INGRESSES}/c{nth % 50}")
                there.discard(nth % 50)
            else:
                api.call("POST", INGRESSES, ingress(f"c{nth % 50}", "s3"))
                there.add(nth % 50)
            at += 1
            self.done.value = at
        for i in there:
            api.call("DELETE", f"{INGRESSES}/c{i}")

    def stop(self):
        """How many there were."""
        if self.process:
            self.over.set()
            self.process.join(60)
            assert self.process.exitcode == 0, "the churn has failed"
        return self.done.value


def start_load(lab, address, host, hosts, requests, rate=options.rate):
    """In the lab's own namespace, from where the gateways' address is reached as from any client."""
    command = ["ip", "netns", "exec", f"fl.{lab.name}", LOAD, address, host, str(hosts), "64", str(requests), str(rate)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish_load(load):
    out, _ = load.communicate(timeout=600)
    assert load.returncode in (0, 1), "the load has failed"
    return {k: float(v) for k, v in (line.split("=") for line in out.splitlines())}


def tell_load(what, r):
    ends = ", ".join(f"{k} {v:.0f}" for k, v in r.items() if k.startswith("status_") or k in ("lost", "refused", "silent"))
    print(f"\n{what}: {r['requests']:.0f} requests in {r['seconds']:.0f} s, **{r['failed']:.0f} failed** ({ends}); "
          f"p50 {r['p50_us'] / 1000:.2f} ms, p99 {r['p99_us'] / 1000:.2f} ms, max {r['max_us'] / 1000:.0f} ms", flush=True)


def requests_while_things_change(lab, side, ip):
    before = {name: sides.cpu_ms(p) for name, p in side.programs.items()}
    churn = Churn(lab, options.churn or 20, ip)
    result = finish_load(start_load(lab, side.address, "i%.example", options.ingresses, options.requests))
    n = churn.stop()
    tell_load(f"{n} changes meanwhile", result)
    print("CPU: " + ", ".join(f"{name} {(sides.cpu_ms(p) - before[name]) / 1000:.1f} s" for name, p in side.programs.items()))


def requests_while_the_backend_is_rolled(lab, side):
    load = start_load(lab, side.address, "roll.example", 1, options.roll)
    path, rolls = "/apis/apps/v1/namespaces/default/deployments/roll", 0
    while load.poll() is None:
        before = {p["metadata"]["name"] for p in lab.pods("app=roll")}
        rolls += 1
        lab.patch(path, {"spec": {"template": {"metadata": {"annotations": {"rolled": f"{side.name} {rolls}"}}}}})
        while load.poll() is None and (len(lab.ready_pods("app=roll")) < 3 or before & {p["metadata"]["name"] for p in lab.pods("app=roll")}):
            time.sleep(0.2)
    tell_load(f"a Deployment of 3 rolled {rolls} times meanwhile", finish_load(load))


def cpu_per_request(lab, table):
    path = list(table.side.programs.values())[-1]
    for what, rate in ((f"at {options.rate}/s", options.rate), ("as fast as it answers", 1000000)):
        before, n = sides.cpu_ms(path), 20000
        result = finish_load(start_load(lab, table.side.address, "i%.example", options.ingresses, n, rate))
        assert result["failed"] == 0, result
        table.fact(f"CPU of a request, {what}", (sides.cpu_ms(path) - before) * 1000 / n, "us")


# ---- the whole ----

def write_objects(api, ip):
    begin = time.perf_counter()
    for i in range(options.ingresses):
        api.call("POST", SERVICES, service(f"s{i}"))
        api.call("POST", SLICES, endpoint_slice(f"s{i}", ip["a"]))
        api.call("POST", INGRESSES, ingress(f"i{i}", f"s{i}"))
    for name, to in (("only-b", "b"),):
        api.call("POST", SERVICES, service(name))
        api.call("POST", SLICES, endpoint_slice(name, ip[to]))
    print(f"{options.ingresses} Services, slices and Ingresses, each written by itself: {time.perf_counter() - begin:.1f} s", flush=True)


def measure(lab, side, ip):
    api, table = Api(lab), Table(side)
    begin = side.start()
    first_answer(side.address, f"i{options.ingresses - 1}.example")
    print(f"started among them, to the first answer: {time.perf_counter() - begin:.2f} s (with the lab's work)")
    gateway = Gateway(side.address)
    table.fact("resident, started", sum(sides.rss_mib(p) for p in side.programs.values()), "MiB")
    print("  of these: " + ", ".join(f"{name} {sides.rss_mib(p):.1f}" for name, p in side.programs.items()))
    churn = Churn(lab, options.churn, ip)
    if options.changes:
        measure_changes(table, api, gateway, ip)
    n = churn.stop()
    if n:
        print(f"\n{n} other changes meanwhile ({options.churn} a second)")
    if options.changes:
        table.fact("\nresident, after changes", sum(sides.rss_mib(p) for p in side.programs.values()), "MiB")
        print("  of these: " + ", ".join(f"{name} {sides.rss_mib(p):.1f}" for name, p in side.programs.items()))
    cpu_per_request(lab, table)
    if options.requests:
        requests_while_things_change(lab, side, ip)
    if options.roll:
        requests_while_the_backend_is_rolled(lab, side)
    return table


def ratios(ours, theirs):
    print(f"\n## {ours.side.name} / {theirs.side.name}\n\n| what | ours | theirs | ratio (goal: at most 0.20) |\n|---|---|---|---|")
    pairs = [(f"{what}, {which}", ours.rows[what][n], theirs.rows[what][n])
             for what in ours.rows for n, which in enumerate(("p50 ms", "p99 ms", "CPU ms")) if what != "API write alone"]
    pairs += [(what.strip(), ours.facts[what], theirs.facts[what]) for what in ours.facts]
    for what, a, b in pairs:
        print(f"| {what} | {a:.2f} | {b:.2f} | {a / b:.3f} |")


def restart_of_control(lab, side):
    """How long from the first list to the first push, by its own log."""
    control = side.programs["control"]
    before = sides.pids(control)
    os.kill(before[0], 9)
    wait_until("control is there again", lambda: sides.pids(control) not in ([], before))

    def line():
        log = lab.fairlead("logs", "-n", SYSTEM, lab.pods("app=fairlead-control", SYSTEM)[0]["metadata"]["name"])
        return next((text for text in log.splitlines() if "first sync done" in text), None)
    print("\ncontrol, started again: " + wait_until("it has told its first push", line, 30).split("msg=")[1])


def main():
    traefik = os.path.abspath(options.traefik) if options.traefik else None
    print(f"machine: {os.cpu_count()} cores, load {' '.join(f'{x:.1f}' for x in os.getloadavg())}; {' '.join(sys.argv[1:])}")
    lab = sides.new_lab(traefik)
    try:
        ours = sides.Fairlead(lab)
        ours.stop()
        for name in ("a", "b"):
            lab.apply(lab_harness.echo(name, args=("--name", name)))
        ip = {name: lab.wait_ready(f"app={name}", 1)[0]["status"]["podIP"] for name in ("a", "b")}
        if options.roll:
            lab.apply(lab_harness.echo("roll", replicas=3, args=("--drain", "2s")), lab_harness.service("roll"), ingress("roll", "roll"))
            lab.wait_ready("app=roll", 3)
        write_objects(Api(lab), ip)
        table = measure(lab, ours, ip)
        restart_of_control(lab, ours)
        if traefik:
            ours.stop()
            theirs = sides.Traefik(lab, traefik, options.throttle)
            ratios(table, measure(lab, theirs, ip))
        print(f"machine: load {' '.join(f'{x:.1f}' for x in os.getloadavg())}")
    finally:
        lab.down()


if __name__ == "__main__":
    main()
