#!/usr/bin/env python3
"""CPU of a proxied request with Istio's metrics counted, beside the same without: one worker, kept connections, rounds in turn.

  telemetry.py BUILD_DIR [REQUESTS] [ROUNDS]
"""
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()
REQUESTS = int(sys.argv[2]) if len(sys.argv) > 2 else 60000
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 7
CONNECTIONS = 64
TEMPLATE = pathlib.Path(__file__).with_name("metrics.yaml").read_text()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"telemetry: nobody listens on {port}")


def cpu_ns(pid):
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def main():
    origin_port = free_port()
    running = [subprocess.Popen([BUILD / "bench/proxy-origin", str(origin_port)])]
    ways = {}
    with tempfile.TemporaryDirectory(prefix="telemetry.") as directory:
        try:
            wait_for(origin_port)
            for way in ("off", "on"):
                port, file = free_port(), pathlib.Path(directory) / f"{way}.yaml"
                text = TEMPLATE.replace("PORT", str(port)).replace("ORIGIN", str(origin_port))
                if way == "off":
                    text = re.sub(r" *- name: istio.stats\n *typed_config:.*\n", "", text)
                    assert "istio.stats" not in text
                file.write_text(text)
                running.append(subprocess.Popen([BUILD / "bin/fairlead-proxy", "-c", file], stderr=subprocess.DEVNULL))
                wait_for(port)
                ways[way] = (running[-1].pid, port, [])
            for _ in range(ROUNDS):
                for pid, port, found in ways.values():
                    before = cpu_ns(pid)
                    subprocess.run([BUILD / "bench/proxy-load", str(port), str(CONNECTIONS), str(REQUESTS)], check=True, stdout=subprocess.DEVNULL)
                    found.append((cpu_ns(pid) - before) / REQUESTS / 1000)
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait(20)
    off, on = (statistics.median(ways[w][2]) for w in ("off", "on"))
    print(f"| Istio's metrics | CPU us a request ({CONNECTIONS} connections, median of {ROUNDS} rounds of {REQUESTS}) |\n|---|---|")
    print(f"| off | {off:.2f} |\n| on | {on:.2f} |\n\non / off: {on / off:.3f}")


main()
