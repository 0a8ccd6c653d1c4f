#!/usr/bin/env python3
"""How long an announced address is nobody's when its node dies: kills on a bridge of network namespaces (root).

    FAIRLEAD_BIN=build/bin bench/l2/failover.py [KILLS] [NODES]

A node dies in one moment: its agent by SIGKILL, its link by going down. told: until another node says that the address is its own. served: until a client
whose neighbour table has the dead node has its first answer; it tries a new connection each 50 ms. left: the same as told, when the agent is ended by SIGTERM.
"""
import pathlib
import socket
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/e2e/balancer")]

from l2_stage import ETH_P_ARP, Stage, packets  # noqa: E402
from suite import run, wait_until  # noqa: E402


def until_told(heard, ip, after):
    target = socket.inet_aton(ip)
    for frame in packets(heard, 10):
        if frame[28:32] == frame[38:42] == target:
            return time.monotonic() - after
    return None


def until_served(client, ip, after, ret):
    while time.monotonic() - after < 10:
        if client.ask(ip, timeout=0.05):
            ret.append(time.monotonic() - after)
            return


def kill(stage, ip, hard):
    node = stage.nodes[stage.order(ip)[0]]
    stage.announced_by(ip, node.name)
    wait_until("it is served", lambda: stage.client.ask(ip))
    heard, served = stage.client.listen(ETH_P_ARP), []
    if hard:
        node.agent.kill()
        run("ip", "link", "set", node.name, "down")
    else:
        node.agent.terminate()
    begin = time.monotonic()
    told = until_told(heard, ip, begin)
    if hard:
        until_served(stage.client, ip, begin, served)
    heard.close()
    node.agent.wait(10)
    run("ip", "link", "set", node.name, "up")
    node.start()
    return told, served[0] if served else None


def row(name, v):
    v = sorted(x * 1000 for x in v)
    print(f"| {name} | {len(v)} | {v[0]:.0f} | {v[len(v) // 2]:.0f} | {v[int(len(v) * 0.9)]:.0f} | {v[-1]:.0f} |")


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    stage = Stage(pathlib.Path(tempfile.mkdtemp()), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    try:
        stage.cluster.service("one")
        # Not on the nodes that die: it is the announcement that is measured.
        ip = wait_until("it has an address", lambda: stage.cluster.ips("one"))[0]
        stage.endpoints("one", *stage.order(ip)[1:])
        hard = [kill(stage, ip, True) for _ in range(kills)]
        soft = [kill(stage, ip, False) for _ in range(kills)]
        print("| ms | times | best | median | 90 % | worst |\n|---|---|---|---|---|---|")
        row("told", [t for t, _ in hard])
        row("served", [s for _, s in hard])
        row("left", [t for t, _ in soft])
    finally:
        stage.close()


if __name__ == "__main__":
    main()
