"""A backend that tells what it was asked, in its answers and, all of it, at /_asked; and does what the path says: /status/N, /cut (closes), /cut-once."""
import json
import sys
import textwrap

PROGRAM = textwrap.dedent('''
    import http.server, json, os, ssl, tempfile
    seen, log = set(), []
    def peer_of(conn):
        """The CN of the certificate that is shown; None: none is, or it is not TLS."""
        subject = (getattr(conn, "getpeercert", dict)() or {}).get("subject", ())
        return dict(pair for part in subject for pair in part).get("commonName")
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            asked = {"name": os.uname().nodename, "peer": peer_of(self.connection), "sni": getattr(self.connection, "sni", None), "method": self.command, "path": self.path, "headers": [[k.lower(), v] for k, v in self.headers.items()], "body": body}
            log.append(asked)
            what, _, word = self.path.split("?")[0].strip("/").partition("/")
            if what == "cut" or (what == "cut-once" and word not in seen):
                seen.add(word)
                self.close_connection = True
                return
            self.send_response(int(word) if what == "status" else 200)
            answer = json.dumps(log if self.path == "/_asked" else asked).encode()
            for name, value in (FIELDS or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.send_header("connection", "close")  # each request on a connection of its own
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)
        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = do
        def log_message(self, *args):
            pass
    http.server.ThreadingHTTPServer.address_family = __import__("socket").AF_INET
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler)
    if TLS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(TLS["cert"])
            f.flush()
            context.load_cert_chain(f.name)
        if TLS["clients"]:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=TLS["clients"])
        context.sni_callback = lambda conn, name, _: setattr(conn, "sni", name)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
''')


def objects(name, fields=None, replicas=1, tls=None):
    """Its Deployment and its Service; fields: of its answers; tls: cert (with its key) that it shows, clients: whose CA it asks of them, None: of none."""
    container = {"name": "recorder", "image": "busybox", "command": [sys.executable, "-u", "-c", f"FIELDS, TLS = {json.dumps(fields or {})}, {tls!r}\n{PROGRAM}"],
                 "readinessProbe": {**({"tcpSocket": {"port": 8080}} if tls else {"httpGet": {"path": "/ready", "port": 8080}}), "periodSeconds": 1}}
    return ({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
             "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                      "template": {"metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
             "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})


def header(request, name):
    """Its value; None: it has none."""
    return dict(map(tuple, request["headers"])).get(name)
