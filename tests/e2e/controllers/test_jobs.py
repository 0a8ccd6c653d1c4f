"""Jobs: how many pods there are at once, how ends are counted, when it is over, and what is left."""
import signal

from suite import wait_until

JOBS = "/apis/batch/v1/namespaces/{}/jobs"
TRACKING = "batch.kubernetes.io/job-tracking"


def make(cluster, ns, name="work", template=None, **spec):
    return cluster.create(JOBS.format(ns), {"metadata": {"name": name}, "spec": {**spec, "template": {"spec": {
        "schedulerName": "none", "restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}], **(template or {})}}}})


def job(cluster, ns, name="work"):
    return cluster.read(f"{JOBS.format(ns)}/{name}")


def status(cluster, ns, name="work"):
    return job(cluster, ns, name).get("status") or {}


def pods(cluster, ns, name="work"):
    return cluster.items(f"/api/v1/namespaces/{ns}/pods", f"job-name={name}")


def active(cluster, ns, name="work"):
    return {p["metadata"]["name"] for p in pods(cluster, ns, name)
            if p["status"].get("phase") == "Pending" and not p["metadata"].get("deletionTimestamp")}


def end(cluster, ns, pod, phase, at="2026-01-01T00:00:00Z"):
    """As a node reports it; failures of long ago wait for nobody."""
    cluster.change(f"/api/v1/namespaces/{ns}/pods/{pod}/status", {"status": {"phase": phase, "containerStatuses": [
        {"name": "c", "image": "i", "imageID": "", "ready": False, "restartCount": 0,
         "state": {"terminated": {"exitCode": 0 if phase == "Succeeded" else 1, "finishedAt": at}}}]}}, "strategic")


def condition(cluster, ns, kind, name="work"):
    return next((c for c in status(cluster, ns, name).get("conditions", []) if c["type"] == kind and c["status"] == "True"), None)


def tracked(cluster, ns, name="work"):
    return [p["metadata"]["name"] for p in pods(cluster, ns, name) if TRACKING in p["metadata"].get("finalizers", [])]


def told(cluster, ns, reason, name="work"):
    return [e["message"] for e in cluster.events(ns, name) if e["reason"] == reason and e["involvedObject"]["kind"] == "Job"]


def test_what_a_job_gets_from_the_server(cluster, ns):
    made = make(cluster, ns)
    uid = made["metadata"]["uid"]
    labels = {"job-name": "work", "batch.kubernetes.io/job-name": "work", "controller-uid": uid, "batch.kubernetes.io/controller-uid": uid}
    assert made["spec"]["template"]["metadata"]["labels"] == labels
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert {k: made["spec"][k] for k in ("completions", "parallelism", "backoffLimit", "completionMode", "suspend", "manualSelector",
                                         "podReplacementPolicy")} == {
        "completions": 1, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False, "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed"}
    reply = cluster.patch(f"{JOBS.format(ns)}/work", {"spec": {"completions": 2, "completionMode": "Indexed"}}, "merge")
    assert reply.status == 422
    assert {c["field"]: c["message"] for c in reply.json["details"]["causes"]}["spec.completionMode"] == 'Invalid value: "Indexed": field is immutable'


def test_so_many_at_once_until_enough_have_succeeded(cluster, ns):
    make(cluster, ns, completions=3, parallelism=2)
    wait_until("two run", lambda: len(active(cluster, ns)) == 2)
    assert len(tracked(cluster, ns)) == 2
    end(cluster, ns, sorted(active(cluster, ns))[0], "Succeeded")
    wait_until("the third comes", lambda: len(active(cluster, ns)) == 2 and status(cluster, ns).get("succeeded") == 1)
    end(cluster, ns, sorted(active(cluster, ns))[0], "Succeeded")
    wait_until("one is left", lambda: len(active(cluster, ns)) == 1 and status(cluster, ns).get("succeeded") == 2)
    assert not condition(cluster, ns, "Complete")
    end(cluster, ns, active(cluster, ns).pop(), "Succeeded")
    wait_until("complete", lambda: condition(cluster, ns, "Complete"))
    s = status(cluster, ns)
    assert (s["succeeded"], s.get("failed", 0), s.get("active", 0), s["uncountedTerminatedPods"]) == (3, 0, 0, {})
    assert s["completionTime"] >= s["startTime"]
    assert condition(cluster, ns, "SuccessCriteriaMet")["reason"] == condition(cluster, ns, "Complete")["reason"] == "CompletionsReached"
    assert not tracked(cluster, ns) and len(pods(cluster, ns)) == 3
    wait_until("told", lambda: told(cluster, ns, "Completed") == ["Job completed"])


def test_a_queue_of_work_is_over_when_one_says_so(cluster, ns):
    make(cluster, ns, parallelism=3)
    wait_until("three run", lambda: len(active(cluster, ns)) == 3)
    first, second, third = sorted(active(cluster, ns))
    end(cluster, ns, first, "Succeeded")
    wait_until("counted", lambda: status(cluster, ns).get("succeeded") == 1)
    assert active(cluster, ns) == {second, third} and not condition(cluster, ns, "Complete")
    end(cluster, ns, second, "Failed")
    end(cluster, ns, third, "Succeeded")
    wait_until("complete", lambda: condition(cluster, ns, "Complete"))
    assert (status(cluster, ns)["succeeded"], status(cluster, ns)["failed"]) == (2, 1)


def test_indexes_are_each_done_once(cluster, ns):
    make(cluster, ns, completions=4, parallelism=4, completionMode="Indexed")
    wait_until("four run", lambda: len(active(cluster, ns)) == 4)
    by_index = {p["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]: p for p in pods(cluster, ns)}
    assert sorted(by_index) == ["0", "1", "2", "3"]
    two = by_index["2"]
    assert two["spec"]["hostname"] == "work-2" and two["metadata"]["name"].startswith("work-2-")
    assert two["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    end(cluster, ns, by_index["0"]["metadata"]["name"], "Succeeded")
    end(cluster, ns, by_index["3"]["metadata"]["name"], "Succeeded")
    end(cluster, ns, by_index["1"]["metadata"]["name"], "Failed")
    wait_until("told", lambda: status(cluster, ns).get("completedIndexes") == "0,3")
    again = wait_until("index 1 comes again", lambda: [p for p in pods(cluster, ns) if p["metadata"]["name"] in active(cluster, ns)
                                                         and p["metadata"]["name"].startswith("work-1-")])
    assert active(cluster, ns) == {two["metadata"]["name"], again[0]["metadata"]["name"]}
    for pod in active(cluster, ns):
        end(cluster, ns, pod, "Succeeded")
    wait_until("complete", lambda: condition(cluster, ns, "Complete"))
    assert (status(cluster, ns)["completedIndexes"], status(cluster, ns)["succeeded"], status(cluster, ns)["failed"]) == ("0-3", 4, 1)


def test_too_many_failures_end_it_and_its_pods(cluster, ns):
    make(cluster, ns, completions=2, parallelism=2, backoffLimit=1)
    wait_until("two run", lambda: len(active(cluster, ns)) == 2)
    one, other = sorted(active(cluster, ns))
    end(cluster, ns, one, "Failed")
    wait_until("counted, and replaced", lambda: status(cluster, ns).get("failed") == 1 and len(active(cluster, ns)) == 2)
    end(cluster, ns, other, "Failed")
    wait_until("failed", lambda: condition(cluster, ns, "Failed"))
    assert condition(cluster, ns, "Failed")["reason"] == condition(cluster, ns, "FailureTarget")["reason"] == "BackoffLimitExceeded"
    assert not active(cluster, ns) and not tracked(cluster, ns)
    assert told(cluster, ns, "BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]


def test_a_pod_that_just_failed_is_not_followed_at_once(cluster, ns):
    make(cluster, ns)
    wait_until("it runs", lambda: active(cluster, ns))
    end(cluster, ns, active(cluster, ns).pop(), "Failed", at="2126-01-01T00:00:00Z")
    wait_until("counted", lambda: status(cluster, ns).get("failed") == 1)
    make(cluster, ns, name="later")  # what it makes proves that the controller has gone on
    wait_until("the other runs", lambda: active(cluster, ns, "later"))
    assert not active(cluster, ns)


def test_a_deadline(cluster, ns):
    make(cluster, ns, activeDeadlineSeconds=1)
    wait_until("failed", lambda: condition(cluster, ns, "Failed"))
    assert condition(cluster, ns, "Failed")["reason"] == "DeadlineExceeded"
    assert not active(cluster, ns)


def test_restarts_count_where_containers_start_again(cluster, ns):
    make(cluster, ns, backoffLimit=2, template={"restartPolicy": "OnFailure"})
    wait_until("it runs", lambda: active(cluster, ns))
    pod = active(cluster, ns).pop()
    cluster.change(f"/api/v1/namespaces/{ns}/pods/{pod}/status", {"status": {"phase": "Running", "containerStatuses": [
        {"name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 2}]}}, "strategic")
    wait_until("failed", lambda: condition(cluster, ns, "Failed"))
    assert condition(cluster, ns, "Failed")["reason"] == "BackoffLimitExceeded"


def test_suspended_it_has_no_pods_and_no_start(cluster, ns):
    make(cluster, ns, suspend=True)
    wait_until("told", lambda: condition(cluster, ns, "Suspended"))
    assert not pods(cluster, ns) and "startTime" not in status(cluster, ns)
    cluster.change(f"{JOBS.format(ns)}/work", {"spec": {"suspend": False}})
    wait_until("it runs", lambda: active(cluster, ns) and status(cluster, ns).get("startTime") and not condition(cluster, ns, "Suspended"))
    cluster.change(f"{JOBS.format(ns)}/work", {"spec": {"suspend": True}})
    wait_until("its pod goes", lambda: not active(cluster, ns) and condition(cluster, ns, "Suspended"))
    assert status(cluster, ns).get("failed", 0) == 0 and "startTime" not in status(cluster, ns)


def test_what_is_over_goes_after_a_while(cluster, ns):
    make(cluster, ns, ttlSecondsAfterFinished=1)
    wait_until("it runs", lambda: active(cluster, ns))
    end(cluster, ns, active(cluster, ns).pop(), "Succeeded")
    wait_until("gone", lambda: cluster.get(f"{JOBS.format(ns)}/work").status == 404 and not pods(cluster, ns))


def test_deleted_with_its_pods_or_without(cluster, ns):
    for name, body, left in (("background", {"propagationPolicy": "Background"}, 0), ("foreground", {"propagationPolicy": "Foreground"}, 0), ("plain", None, 1)):
        make(cluster, ns, name=name)
        wait_until("it runs", lambda name=name: active(cluster, ns, name))
        cluster.remove(f"{JOBS.format(ns)}/{name}", body)
        wait_until("gone", lambda name=name: cluster.get(f"{JOBS.format(ns)}/{name}").status == 404)
        wait_until("and its pods", lambda name=name, left=left: len(pods(cluster, ns, name)) == left and not tracked(cluster, ns, name))


def test_ends_are_counted_once_though_the_controller_is_killed(cluster, ns):
    make(cluster, ns, completions=20, parallelism=20)
    wait_until("twenty run", lambda: len(active(cluster, ns)) == 20)
    for i, pod in enumerate(sorted(active(cluster, ns))):
        end(cluster, ns, pod, "Failed" if i < 3 else "Succeeded")
        if i in (5, 12):
            cluster.stop_controllers(signal.SIGKILL)
            cluster.start_controllers()
    wait_until("all are counted", lambda: (status(cluster, ns).get("succeeded"), status(cluster, ns).get("failed")) == (17, 3))
    wait_until("three come again", lambda: len(active(cluster, ns)) == 3)
    assert len(pods(cluster, ns)) == 23 and status(cluster, ns)["uncountedTerminatedPods"] == {}


def test_what_has_no_effect_is_told(cluster, ns):
    make(cluster, ns, podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]})
    wait_until("told", lambda: told(cluster, ns, "FieldIgnored") == ["spec.podFailurePolicy has no effect in the lab"])


def test_wrong_jobs_are_refused(cluster, ns):
    for spec, template, field, message in (
            ({}, {"restartPolicy": "Always"}, "spec.template.spec.restartPolicy", 'Required value: valid values: "OnFailure", "Never"'),
            ({"completionMode": "Indexed", "parallelism": 1}, {}, "spec.completions", "Required value: when completion mode is Indexed"),
            ({"backoffLimitPerIndex": 1}, {}, "spec.backoffLimitPerIndex", "Invalid value: 1: requires indexed completion mode"),
            ({"parallelism": -1}, {}, "spec.parallelism", "Invalid value: -1: must be greater than or equal to 0"),
            ({"completionMode": "Odd"}, {}, "spec.completionMode", 'Unsupported value: "Odd": supported values: "NonIndexed", "Indexed"'),
            ({"manualSelector": True}, {}, "spec.selector", "Required value")):
        reply = cluster.post(JOBS.format(ns), {"metadata": {"name": "bad"}, "spec": {**spec, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}], **template}}}})
        assert reply.status == 422, (spec, reply.body)
        assert message in [c["message"] for c in reply.json["details"]["causes"] if c["field"] == field], reply.json["details"]["causes"]
