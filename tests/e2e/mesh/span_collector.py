"""A collector that takes whatever it is posted, and says it on its output, a line each: span_collector.py PORT."""
import base64
import http.server
import json
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        line = json.dumps({"path": self.path, "fields": {k.lower(): v for k, v in self.headers.items()}, "body": base64.b64encode(body).decode()})
        sys.stdout.write(line + "\n")  # at once: others write beside it
        sys.stdout.flush()
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
