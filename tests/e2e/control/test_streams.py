"""Who is given what over the stream: TLS with a root that gateways know, and a token that says who one is."""
import base64
import json
import subprocess

import pytest
import yaml

from suite import BIN, SLOW, wait_until

SYSTEM = "fairlead-system"


@pytest.fixture
def token(lab):
    return lambda account, audience="fairlead-control", ns=SYSTEM: lab.token(account, ns, audience)


@pytest.fixture
def stranger(lab, tmp_path):
    """A proxy in a node's network that speaks to the control plane as it is told; what it says until the words come."""
    def run(words, token=None, root=None, port=15012):
        deployed = yaml.safe_load(lab.get("cm/fairlead-gateway", "-n", SYSTEM)["data"]["bootstrap.yaml"])
        cluster = deployed["static_resources"]["clusters"][0]
        root = root or lab.get("cm/fairlead-ca-root-cert", "-n", SYSTEM)["data"]["root-cert.pem"]
        cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]["trusted_ca"] = {"inline_string": root}
        cluster["type"] = "STATIC"
        where = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        where["address"], where["port_value"] = lab.ready_pods("app=fairlead-control", SYSTEM)[0]["status"]["podIP"], port
        deployed["node"] = {"id": "stranger", "cluster": "stranger"}
        (tmp_path / "bootstrap.yaml").write_text(yaml.safe_dump(deployed))
        (tmp_path / "token").write_text(f"{token}\n" if token else "")
        flags = ["--xds-token-file", tmp_path / "token"] if token is not None else []
        process = subprocess.Popen(["ip", "netns", "exec", lab.netns("node-1"), str(BIN / "fairlead-proxy"), "-c", str(tmp_path / "bootstrap.yaml"), *map(str, flags)],
                                   stderr=open(tmp_path / "log", "w"))
        try:
            wait_until(f"it says {words}", lambda: words in (tmp_path / "log").read_text(), 20 * SLOW)
            return (tmp_path / "log").read_text()
        finally:
            process.terminate()
            process.wait()
    return run


def streams(lab):
    status, text = lab.view("/debug/syncz")
    return {s["proxy"].split("~")[0] for s in json.loads(text)} if status == 200 else set()


def test_who_is_not_served(lab, gateway, stranger, token):
    said = stranger("the stream to the control plane has ended")
    assert "grpc_code=16" in said and "needs a token" in said
    said = stranger("the stream to the control plane has ended", token="")
    assert "grpc_code=16" in said and "cannot be read" in said, "an empty file"
    for bad in ("not-a-token", token("fairlead-gateway", audience="somebody-else"), token("fairlead-gateway")[:-8] + "AAAAAAAA"):
        said = stranger("the stream to the control plane has ended", token=bad)
        assert "grpc_code=16" in said and "is not valid, or not meant for fairlead-control" in said and bad not in said
    said = stranger("the stream to the control plane has ended", token=token("default", ns="default"))
    assert "grpc_code=7" in said and "system:serviceaccount:default:default: that service account is none of a gateway's" in said
    assert "stranger" not in streams(lab)
    assert int(lab.raw(f"/api/v1/namespaces/{SYSTEM}/services/fairlead-control:15014/proxy/metrics")[1].split("fairlead_control_xds_unknown_callers_total ")[-1].split()[0]) >= 6


def test_a_gateway_is_served_and_sees_whom_it_speaks_to(lab, gateway, stranger, token):
    assert "connected" in stranger("connected to the control plane", token=token("fairlead-gateway"))
    other = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=another root"],
                           capture_output=True, text=True, check=True).stdout
    said = stranger("no connection to the control plane", token=token("fairlead-gateway"), root=other)
    assert "connected to the control plane" not in said, "its token is told to nobody it does not know"


def test_the_plain_door_is_for_its_own_pod_alone(lab, gateway, stranger):
    assert "refused" in stranger("no connection to the control plane", port=15010)


def test_replicas_have_one_root(lab, gateway):
    before = lab.get("secret/fairlead-ca", "-n", SYSTEM)
    assert before["type"] == "kubernetes.io/tls" and base64.b64decode(before["data"]["tls.crt"]).decode() == lab.get("cm/fairlead-ca-root-cert", "-n", SYSTEM)["data"]["root-cert.pem"]
    path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control"
    lab.patch(path, {"spec": {"replicas": 2}})
    pods = lab.wait_ready("app=fairlead-control", 2, SYSTEM)
    wait_until("both serve", lambda: all("streams over TLS are served" in lab.fairlead("logs", "-n", SYSTEM, p["metadata"]["name"]) for p in pods))
    lab.patch(path, {"spec": {"replicas": 1}})
    wait_until("one is left", lambda: len(lab.pods("app=fairlead-control", SYSTEM)) == 1)
    assert lab.get("secret/fairlead-ca", "-n", SYSTEM)["data"] == before["data"]
    lab.wait_ready("app=fairlead-control", 1, SYSTEM)
    wait_until("both gateways are there", lambda: "router" in streams(lab))
