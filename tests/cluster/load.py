"""Asks all the while a cluster is moved: load.py RESULTS PHASE TARGET...; each target KIND=ADDRESS:PORT, KIND one of
  fresh   HTTP, each request on a connection of its own, 100 a second
  kept    HTTP, each request on one connection, 20 a second; its end is a failure
  quiet   HTTP on one connection that says something only when the phase changes
  udp     a DNS question, each from a port of its own, 20 a second
  flow    DNS questions from one port, 10 a second
PHASE is a file with the name of the phase, `end` ends it. JSON at the end: by phase and target how many were asked, what failed, how long the slowest took."""
import http.client
import json
import os
import socket
import sys
import threading
import time

results, phase_file = sys.argv[1:3]
TIMEOUT_S = 10
QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00" + b"\x00\x01\x00\x01"
counts, lock, phase = {}, threading.Lock(), ["begin"]


def told(name, began, wrong):
    took = time.monotonic() - began
    with lock:
        c = counts.setdefault(phase[0], {}).setdefault(name, {"asked": 0, "failed": [], "slowest_ms": 0})
        c["asked"] += 1
        c["slowest_ms"] = max(c["slowest_ms"], round(took * 1000))
        if wrong:
            c["failed"].append(wrong)


def get(connection):
    try:
        connection.request("GET", "/", headers={"Host": "web"})
        answer = connection.getresponse()
        answer.read()
        return None if answer.status == 200 else str(answer.status)
    except (OSError, http.client.HTTPException) as e:
        return repr(e)


def ask_udp(s):
    """Asked again after 1 s, as resolvers do: what is answered late is slow, not lost."""
    for _ in range(TIMEOUT_S):
        try:
            s.send(QUESTION)
            return None if s.recv(4096)[:2] == QUESTION[:2] else "not the answer"
        except TimeoutError:
            continue
        except OSError as e:
            return repr(e)
    return "no answer"


def udp_socket(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((address, port))
    return s


def paced(per_second):
    at = time.monotonic()
    while phase[0] != "end":
        yield time.monotonic()
        at = max(at + 1 / per_second, time.monotonic() - 1)
        time.sleep(max(0, at - time.monotonic()))


def fresh(name, address, port):
    for began in paced(50):
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
        told(name, began, get(connection))
        connection.close()


def connected(address, port):
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
    connection.connect()
    connection.auto_open = False  # its end is a failure
    return connection


def kept(name, address, port):
    connection = connected(address, port)
    for began in paced(20):
        wrong = get(connection)
        told(name, began, wrong)
        if wrong:
            return


def quiet(name, address, port):
    connection, last = connected(address, port), None
    for began in paced(10):
        if phase[0] != last:
            last = phase[0]
            wrong = get(connection)
            told(name, began, wrong)
            if wrong:
                return


def udp(name, address, port):
    for began in paced(20):
        s = udp_socket(address, port)
        told(name, began, ask_udp(s))
        s.close()


def flow(name, address, port):
    s = udp_socket(address, port)
    for began in paced(10):
        told(name, began, ask_udp(s))


threads = []
for target in sys.argv[3:]:
    kind, at = target.split("=")
    address, port = at.split(":")
    for _ in range(2 if kind.startswith("fresh") else 1):
        threads.append(threading.Thread(target=globals()[kind.split("-")[0]], args=(kind, address, int(port)), daemon=True))
for t in threads:
    t.start()
open(results + ".begun", "w").close()
while phase[0] != "end":
    time.sleep(0.02)
    phase[0] = open(phase_file).read() or phase[0]
for t in threads:
    t.join(2 * TIMEOUT_S)
with open(results + ".new", "w") as f:
    json.dump(counts, f)
os.rename(results + ".new", results)
