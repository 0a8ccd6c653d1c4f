"""Ephemeral containers: put into a pod that runs, as `kubectl debug` does."""
import json

from suite import wait_until
from test_remote import LOOP


def debug(lab, pod, check=True, **container):
    """Through the subresource, as a strategic merge patch."""
    body = json.dumps({"spec": {"ephemeralContainers": [container]}})
    return raw(lab, "PATCH", f"/api/v1/namespaces/default/pods/{pod}/ephemeralcontainers", body, check)


def raw(lab, method, path, body, check=True):
    said = json.loads(lab.raw(path, method, body=body, body_type="application/strategic-merge-patch+json")[1])
    assert not check or said["kind"] == "Pod", said
    return said


def ephemeral(lab, pod):
    return {s["name"]: s for s in lab.status(pod).get("ephemeralContainerStatuses", [])}


def test_it_joins_the_pod(lab):
    lab.pod("patient", command=None, image="busybox", labels={"a": "b"})
    before = lab.wait_ready("patient")["status"]["containerStatuses"]
    debug(lab, "patient", name="doctor", image="busybox", command=["sh", "-c", LOOP], targetContainerName="main")
    wait_until("it runs", lambda: "running" in ephemeral(lab, "patient").get("doctor", {}).get("state", {}))
    ip = lab.get("pod/patient")["status"]["podIP"]

    def sh(script):
        return lab.fairlead("exec", "patient", "-c", "doctor", "--", "sh", "-c", script)
    assert ip in sh("ip -o addr show dev eth0") and sh("hostname").strip() == "patient"
    assert "trap" in sh("tr '\\0' ' ' < /proc/1/cmdline"), "PID 1 is the target's"
    own = lab.fairlead("exec", "patient", "-c", "main", "--", "readlink", "/proc/self/ns/mnt")
    assert sh("readlink /proc/self/ns/mnt") != own, "files of its own"
    assert lab.logs("patient", "-c", "doctor") == ""
    assert lab.get("pod/patient")["status"]["containerStatuses"] == before and lab.is_ready("patient")


def test_its_end_changes_nothing(lab):
    lab.wait_ready(lab.pod("calm", image="busybox"))
    debug(lab, "calm", name="short", image="busybox", command=["sh", "-c", "echo seen; exit 3"])
    ended = wait_until("it has ended", lambda: ephemeral(lab, "calm").get("short", {}).get("state", {}).get("terminated"))
    assert ended["exitCode"] == 3 and lab.logs("calm", "-c", "short") == "seen\n"
    assert lab.status("calm")["phase"] == "Running" and lab.is_ready("calm") and ephemeral(lab, "calm")["short"]["restartCount"] == 0
    debug(lab, "calm", name="late", image="nobody/knows")
    wait_until("the other says why", lambda: "lab image" in ephemeral(lab, "calm").get("late", {}).get("state", {}).get("waiting", {}).get("message", ""))
    lab.delete_and_wait("calm")


def test_what_is_refused(lab):
    lab.wait_ready(lab.pod("strict", image="busybox"))
    raw(lab, "PATCH", "/api/v1/namespaces/default/pods/strict", json.dumps({"spec": {"ephemeralContainers": [{"name": "y", "image": "busybox"}]}}))
    assert "ephemeralContainers" not in lab.get("pod/strict")["spec"]
    said = debug(lab, "strict", check=False, name="main", image="busybox")
    assert said["reason"] == "Invalid" and 'spec.ephemeralContainers[0].name: Duplicate value: "main"' in said["message"]
    said = debug(lab, "strict", check=False, name="x", image="busybox", targetContainerName="nobody")
    assert 'spec.ephemeralContainers[0].targetContainerName: Not found: "nobody"' in said["message"]
    debug(lab, "strict", name="x", image="busybox", command=["sh", "-c", LOOP])
    said = debug(lab, "strict", check=False, name="x", image="alpine")
    assert "existing ephemeral containers may not be changed" in said["message"]
    # Not through the pod itself, and nothing else through the subresource.
    path = "/api/v1/namespaces/default/pods/strict"
    raw(lab, "PATCH", path, json.dumps({"spec": {"ephemeralContainers": [{"name": "y", "image": "busybox"}]}}))
    raw(lab, "PATCH", path + "/ephemeralcontainers", json.dumps({"metadata": {"labels": {"new": "label"}}, "status": {"phase": "Failed"}}))
    pod = lab.get("pod/strict")
    assert [c["name"] for c in pod["spec"]["ephemeralContainers"]] == ["x"] and pod["status"]["phase"] == "Running"


def test_kubectl_debug(lab, kubectl):  # noqa: F811
    lab.wait_ready(lab.pod("target", image="busybox"))
    done = kubectl("debug", "target", "-i", "--image=nicolaka/netshoot", "--target=main", "--profile=general", "--", "sh", "-c", "read x; echo got $x; id -u", input="hello\n")
    assert done.returncode == 0 and "got hello\n0\n" in done.stdout, done
