"""An HTTPS webhook of its own certificate on a loopback port: what it says is a function of the review."""
import base64
import http.server
import json
import ssl
import threading
import time

from suite import run


def make_certificate(directory):
    """For 127.0.0.1, localhost and a Service's name; the caBundle of its configurations."""
    key, crt = directory / "hook.key", directory / "hook.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", crt, "-days", "2", "-subj", "/CN=hook",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:hook.hooks.svc")
    return key, crt


def patch(*operations):
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}


def label(name, value="yes"):
    """A patch that adds a label, whether there are some or not."""
    def say(request):
        labels = (request["object"]["metadata"].get("labels") or {}) | {name: value}
        return patch({"op": "add", "path": "/metadata/labels", "value": labels})
    return say


class Webhook:
    """say[path] is a function of the request: members of the response beside uid and allowed; or of a whole answer, (status, text)."""

    def __init__(self, directory, address="127.0.0.1"):
        key, crt = make_certificate(directory)
        self.bundle = base64.b64encode(crt.read_bytes()).decode()
        self.say, self.seen, self.paths = {}, [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = self.path.split("?")[0]
                outer.seen.append(review)
                outer.paths.append(self.path)
                said = outer.say[path](review["request"])
                if isinstance(said, tuple):
                    status, body = said
                else:
                    response = {"uid": review["request"]["uid"], "allowed": True} | (said or {})
                    status, body = 200, json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
                body = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass  # a caller that does not trust us, or has gone

        self.server = Server((address, 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"https://127.0.0.1:{self.port}{path}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def slow(seconds, say=None):
    def wait(request):
        time.sleep(seconds)
        return say(request) if say else None
    return wait
