"""Asks until a file is there: ask.py RESULTS STOP ADDRESS HOST KEPT. Each request of four threads is on a connection of its own; with KEPT, a fifth asks on one alone, which may not end. JSON at the end."""
import http.client
import json
import os
import sys
import threading

results, stop, address, host, kept = sys.argv[1:6]
counts = {"requests": 0, "kept": 0}
failed = []
lock = threading.Lock()


def ask(connection, what):
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        answer.read()
        wrong = None if answer.status == 200 else f"{what}: {answer.status}"
    except (OSError, http.client.HTTPException) as e:
        wrong = f"{what}: {e!r}"
    with lock:
        counts[what] += 1
        if wrong:
            failed.append(wrong)
    return wrong


def fresh():
    while not os.path.exists(stop):
        connection = http.client.HTTPConnection(address, timeout=5)
        ask(connection, "requests")
        connection.close()


def one():
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.connect()
    connection.auto_open = False  # its end is a failure
    while not os.path.exists(stop) and not ask(connection, "kept"):
        pass


threads = [threading.Thread(target=fresh) for _ in range(4)] + ([threading.Thread(target=one)] if kept == "1" else [])
for t in threads:
    t.start()
open(results + ".begun", "w").close()
for t in threads:
    t.join()
with open(results + ".new", "w") as f:
    json.dump(dict(counts, failed=failed), f)
os.rename(results + ".new", results)
