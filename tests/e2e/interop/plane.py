"""A control plane of our own in a node's network, and a proxy beside it that it drives: stock Envoy, or ours."""
import http.client
import json
import socket
import ssl
import subprocess

from suite import BIN, SLOW, wait_until

HTTP_PORT, HTTPS_PORT = 18080, 18443
BOOTSTRAP = """
node: {id: "router~127.0.0.1~%s.default~default.svc.cluster.local", cluster: interop}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
dynamic_resources:
  ads_config: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 15010}}}}]}]
"""


class Answer:
    def __init__(self, status, fields, body, certificate):
        self.status, self.fields, self.body, self.certificate = status, fields, body, certificate

    @property
    def echo(self):
        """What the backend says it was sent; {}: none has answered."""
        try:
            told = json.loads(self.body)
            return told if isinstance(told, dict) else {}
        except ValueError:
            return {}

    @property
    def app(self):
        """Which Deployment has answered; None: none has."""
        return self.fields.get("x-from") or (self.echo["name"].rsplit("-", 2)[0] if "name" in self.echo else None)


class Plane:
    """Ends with its processes by stop()."""

    def __init__(self, lab, node, directory):
        self.lab, self.node, self.directory, self.processes = lab, node, directory, []
        self.address = lab.node_address(node, "InternalIP")
        self.start("control", BIN / "fairlead-control", "--kubeconfig", lab.kubeconfig, "--ingress-controllers=fairlead.dev/ingress,k8s.io/ingress-nginx",
                   "--plain-secrets", f"--gateway-http-port={HTTP_PORT}", f"--gateway-https-port={HTTPS_PORT}", "--configmap=default/settings", "--tcp-services-configmap=default/tcp")
        wait_until("control is ready", lambda: lab.answers(self.node, "http://127.0.0.1:15014/ready"), 20)

    def start(self, name, *argv):
        log = open(self.directory / f"{name}.log", "w")
        process = subprocess.Popen(["ip", "netns", "exec", self.lab.netns(self.node), *map(str, argv)], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def start_proxy(self, program, *flags, api="DELTA_GRPC"):
        file = self.directory / "bootstrap.yaml"
        file.write_text(BOOTSTRAP % (self.directory.name, api))
        self.proxy = self.start("proxy", program, "-c", file, *flags)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(40 * SLOW)

    def log(self, name="proxy"):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def refusals(self):
        """What Envoy says it has not taken, each once."""
        return sorted({line.split("] ", 3)[-1] for line in self.log().splitlines() if " rejected: " in line})

    def syncz(self):
        text = self.lab.answers(self.node, "http://127.0.0.1:15014/debug/syncz")
        return json.loads(text) if text else []

    def config_dump(self):
        """Of the proxy's own admin port."""
        return json.loads(self.lab.answers(self.node, "http://127.0.0.1:15000/config_dump"))

    def ask(self, path="/", host="any.example", method="GET", tls=False, headers=(), body=None, sni=None):
        conn = http.client.HTTPConnection(self.address, HTTP_PORT, timeout=10 * SLOW)
        certificate = None
        try:
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                conn.sock = context.wrap_socket(socket.create_connection((self.address, HTTPS_PORT), 10 * SLOW), server_hostname=sni or host)
                certificate = conn.sock.getpeercert(binary_form=True)
            conn.request(method, path, body, {"Host": host, **dict(headers)})
            r = conn.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read().decode(), certificate)
        finally:
            conn.close()

    def try_ask(self, *args, **kw):
        try:
            return self.ask(*args, **kw)
        except OSError:
            return None
