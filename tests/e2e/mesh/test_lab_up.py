"""`lab up --mesh -f`: what the files ask for has its proxies when the command returns."""
import lab_harness
import yaml


def test_files_are_applied_once_proxies_can_be_had(tmp_path):
    ns = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}
    app = lab_harness.echo("cart")
    app["metadata"]["namespace"] = "shop"
    alone = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone", "labels": {"sidecar.istio.io/inject": "true"}}, "spec": {"containers": [{"name": "echo", "image": "fairlead/echo"}]}}
    path = tmp_path / "app.yaml"
    path.write_text(yaml.safe_dump_all([ns, app, alone]))
    for lab in lab_harness.running(lab_harness.Lab(), "--mesh", "-f", str(path)):
        pods = lab.get("pods", "-n", "shop")["items"] + [lab.get("pod/alone")]
        assert len(pods) == 2
        for p in pods:
            assert [c["name"] for c in p["spec"]["initContainers"]][:2] == ["istio-init", "istio-proxy"]
            assert all(c["ready"] for c in p["status"]["containerStatuses"])
        assert len(lab.get("crd")["items"]) == 14
