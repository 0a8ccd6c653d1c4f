#!/usr/bin/env python3
"""look-for.py LAB NAMESPACE POD WORD -- COMMAND: runs the command and looks for the word among all bytes that go over the pod's link meanwhile. Fails if it is there. Root."""
import subprocess
import sys
import time

LISTEN = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind(("eth0", 0)); s.settimeout(0.05)
print("listening", flush=True); seen = b""; end = time.monotonic() + 3
while time.monotonic() < end:
    try: seen += s.recv(65536)
    except TimeoutError: pass
print(len(seen), int(sys.argv[1].encode() in seen))
"""


def main():
    lab, namespace, pod, word, dashes, *command = sys.argv[1:]
    assert dashes == "--" and command, __doc__
    listener = subprocess.Popen(["ip", "netns", "exec", f"fl.{lab}.{node_of(namespace, pod)}.{namespace}.{pod}", sys.executable, "-c", LISTEN, word], stdout=subprocess.PIPE, text=True)
    listener.stdout.readline()
    time.sleep(0.1)
    subprocess.run(command, check=True)
    count, found = listener.stdout.read().split()
    listener.wait()
    print(f"{count} bytes seen on the pod's link, {'and the word IS among them' if int(found) else 'the word is not among them'}")
    sys.exit(int(found) or not int(count))


def node_of(namespace, pod):
    return subprocess.run(["fairlead", "get", f"pod/{pod}", "-n", namespace, "-o", "jsonpath={.spec.nodeName}"], check=True, capture_output=True, text=True).stdout.strip()


main()
