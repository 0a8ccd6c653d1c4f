"""A backend that tells what it was asked, in its answers and, all of it, at /_asked; and does what the path says: /status/N, /cut (closes), /cut-once."""
import json
import sys
import textwrap

PROGRAM = textwrap.dedent('''
    import http.server, json, os
    seen, log = set(), []
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            asked = {"name": os.uname().nodename, "method": self.command, "path": self.path, "headers": [[k.lower(), v] for k, v in self.headers.items()], "body": body}
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
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
''')


def objects(name, fields=None, replicas=1):
    """Its Deployment and its Service; fields: of its answers."""
    container = {"name": "recorder", "image": "busybox", "command": [sys.executable, "-u", "-c", f"FIELDS = {json.dumps(fields or {})}\n{PROGRAM}"],
                 "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}}
    return ({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
             "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                      "template": {"metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
             "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})


def header(request, name):
    """Its value; None: it has none."""
    return dict(map(tuple, request["headers"])).get(name)
