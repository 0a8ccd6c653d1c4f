"""A server of HTTP over TLS that says whom it was asked for as, and by whom: one JSON object an answer. CERT KEY CA PORT."""
import http.server
import json
import ssl
import sys

cert, key, ca, port = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        subject = dict(pair for part in (self.connection.getpeercert() or {}).get("subject", ()) for pair in part)
        body = json.dumps({"sni": getattr(self.connection, "asked", None), "client": subject.get("commonName"), "host": self.headers["Host"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, address):
        try:
            request.do_handshake()
            super().finish_request(request, address)
        except (ssl.SSLError, OSError):
            pass


def note(connection, name, _):
    connection.asked = name


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
context.load_verify_locations(ca)
context.verify_mode = ssl.CERT_OPTIONAL
context.sni_callback = note
server = Server(("0.0.0.0", int(port)), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("ready", flush=True)
server.serve_forever()
