"""Bootstraps for tests of listeners, as Python data; JSON is YAML."""
import json
import ssl

from conftest import Client, Proxy

TYPE = "type.googleapis.com/envoy.extensions."
HCM = TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}


def address(port, host="127.0.0.1", **more):
    return {"socket_address": {"address": host, "port_value": port, **more}}


def log(path, text):
    return [{"name": "log", "typed_config": {"@type": TYPE + "access_loggers.file.v3.FileAccessLog", "path": str(path),
                                             "log_format": {"text_format": text + "\n"}}}]


def http(body=None, cluster=None, **more):
    """A connection manager that answers with a body, or forwards."""
    route = {"direct_response": {"status": 200, "body": {"inline_string": body}}} if body else {"route": {"cluster": cluster}}
    return {"name": "http", "typed_config": {"@type": HCM, "stat_prefix": "http", "http_filters": [ROUTER], "route_config": {"virtual_hosts": [
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}]}, **more}}


def tcp(cluster="backend", **more):
    return {"name": "tcp", "typed_config": {"@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": cluster, **more}}


def listener_filter(name, **more):
    camel = "".join(word.capitalize() for word in name.split("_"))
    return {"name": name, "typed_config": {"@type": TYPE + f"filters.listener.{name}.v3.{camel}", **more}}


def tls(cert=None, **more):
    """A listener's transport socket; `more` goes into the context, common_tls_context is merged."""
    common = {"tls_certificates": [{"certificate_chain": {"filename": str(cert[0])}, "private_key": {"filename": str(cert[1])}}]} if cert else {}
    common.update(more.pop("common", {}))
    return {"name": "tls", "typed_config": {"@type": TYPE + "transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": common, **more}}


def upstream_tls(common=None, **more):
    return {"name": "tls", "typed_config": {"@type": TYPE + "transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": common or {}, **more}}


def chain(filter, **more):
    return {"filters": [filter], **more}


def cluster(port, name="backend", **more):
    ports = port if isinstance(port, list) else [port]
    where = [p if isinstance(p, dict) else address(p) for p in ports]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": a}} for a in where]}]}, **more}


def start(tmp_path, port, listeners, clusters=(), secrets=(), flags=()):
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": list(clusters), "secrets": list(secrets)}}))
    return Proxy(tmp_path, "-c", path, "--drain", "2s", *flags, port=port)


class TlsClient(Client):
    def __init__(self, port, name=None, ca=None, cert=None, alpn=None, session=None, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if ca:
            context.load_verify_locations(ca)
        context.check_hostname = bool(ca and name)
        if not ca:
            context.verify_mode = ssl.CERT_NONE
        if cert:
            context.load_cert_chain(*cert)
        if alpn:
            context.set_alpn_protocols(alpn)
        if version:
            context.minimum_version = context.maximum_version = version
        if session:
            context = session.context
        super().__init__(port)
        self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session and session.session)
        self.context, self.reader.sock = context, self.sock
