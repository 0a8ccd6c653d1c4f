"""Agents, control plane and sidecars of a lab give up what they never ask for, and the mesh goes on: a Service, a certificate, a call."""
import os
import re

import lab_harness
import pytest

if os.environ.get("FAIRLEAD_SANITIZED"):
    pytest.skip("no sanitizer can live in it", allow_module_level=True)
PROGRAMS = ("fairlead-agent", "fairlead-control", "fairlead-proxy")


def processes(lab):
    """(program, its seccomp mode, no new privileges) of what runs in this lab's namespaces."""
    ours = {os.stat(f"/run/netns/{name}").st_ino for name in os.listdir("/run/netns") if name == f"fl.{lab.name}" or name.startswith(f"fl.{lab.name}.")}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            argv = open(f"/proc/{pid}/cmdline").read().split("\0")
            status = open(f"/proc/{pid}/status").read()
            network = os.stat(f"/proc/{pid}/ns/net").st_ino
        except OSError:
            continue
        program = os.path.basename(argv[0])
        if program in PROGRAMS and network in ours:
            yield program, re.search(r"^Seccomp:\t(\d)", status, re.M).group(1), re.search(r"^NoNewPrivs:\t(\d)", status, re.M).group(1)


def test_all_of_a_mesh(mesh, lab):
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "meshed", "labels": {"app": "meshed", "sidecar.istio.io/inject": "true"}}, "spec": {"containers": [{"name": "echo", "image": "fairlead/echo"}]}},
              lab_harness.service("meshed"))
    lab.wait_ready("app=meshed", 1)
    found = list(processes(lab))
    assert {program for program, _, _ in found} == set(PROGRAMS)
    assert {(seccomp, privileges) for _, seccomp, privileges in found} == {("2", "1")}, found
