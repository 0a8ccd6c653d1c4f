"""A proxy with a control plane that says what a test says."""
import json

from conftest import Proxy
from control_plane import ControlPlane
from suite import free_ports, wait_until
from test_dynamic import HCM, ROUTER, answers, assignment, static_cluster, table

ADS = {"ads": {}, "resource_api_version": "V3"}


class Stage:
    def __init__(self, tmp_path, delta, **more):
        self.port, self.control, self.tmp_path, self.proxy = free_ports(1)[0], ControlPlane(), tmp_path, None
        xds = static_cluster("xds", self.control.port)
        del xds["@type"]
        xds["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
        self.bootstrap = {
            "node": {"id": "n1", "cluster": "test"},
            "dynamic_resources": {"ads_config": {"api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3",
                                                 "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]},
                                  "cds_config": ADS, "lds_config": ADS},
            "static_resources": {"clusters": [xds]}} | more

    def write(self):
        path = self.tmp_path / "bootstrap.json"
        path.write_text(json.dumps(self.bootstrap))
        return path

    def start(self, *flags, wait=True):
        path = self.write()
        listens, Proxy.listens = Proxy.listens, lambda self: True  # there is no listener before the control plane says so
        try:
            self.proxy = Proxy(self.tmp_path, "-c", path, "--drain", "2s", "--concurrency", 2, *flags, port=self.port)
        finally:
            Proxy.listens = listens
        if wait:
            wait_until("it asks for clusters", lambda: self.control.of("cds"))

    def eds_cluster(self, name, wait="15s"):
        return {"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": ADS | {"initial_fetch_timeout": wait}}}

    def listener(self, port=None, name="l"):
        hcm = {"@type": HCM, "stat_prefix": "x", "http_filters": [ROUTER], "rds": {"route_config_name": "routes", "config_source": ADS}}
        return {"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port or self.port}},
                "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]}

    def acked(self, kind, nonce):
        wait_until(f"{kind} is answered", lambda: [r for r in self.control.answers(kind) if r["response_nonce"] == nonce])
        return next(r for r in self.control.answers(kind) if r["response_nonce"] == nonce)

    def say(self, kind, resources, **more):
        return self.acked(kind, self.control.send(kind, resources, **more))

    def serve(self, backend):
        """One of each."""
        assert "error_detail" not in self.say("cds", {"a": self.eds_cluster("a")})
        wait_until("it asks for endpoints", lambda: self.control.of("eds"))
        assert "error_detail" not in self.say("eds", {"a": assignment("a", backend.port)})
        wait_until("it asks for listeners", lambda: self.control.of("lds"))
        assert "error_detail" not in self.say("lds", {"l": self.listener()})
        wait_until("it asks for routes", lambda: self.control.of("rds"))
        assert "error_detail" not in self.say("rds", {"routes": table("routes", ("/", "a"))})
        wait_until("it serves", lambda: answers(self.port))

    def stop(self):
        if self.proxy:
            self.proxy.stop()
        self.control.close()
