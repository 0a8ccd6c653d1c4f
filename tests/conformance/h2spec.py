#!/usr/bin/env python3
"""h2spec (https://github.com/summerwind/h2spec) with all of its cases, strict ones too, against fairlead-proxy on plain text. Fails on each failure that is
not excused here; an excuse that is not needed any more fails, too. Further arguments go to h2spec."""
import http.server
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

BUILD = pathlib.Path(os.environ["FAIRLEAD_BUILD"])
H2SPEC = pathlib.Path(os.environ["PEERS"]) / "h2spec"
# It tests RFC 7540. By section and title.
EXCUSED = {
    ("http2/5.1", "closed: Sends a DATA frame after sending RST_STREAM frame"): "RFC 9113 section 5.1: may be an error; dropped here, its window given back",
    ("http2/5.1", "closed: Sends a DATA frame"): "the same",
    ("http2/5.3.1", "Sends PRIORITY frame that depend on itself"): "RFC 9113 section 5.3.2: priorities are no more; read and dropped",
}
CONFIG = """
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: l
          codec_type: HTTP2
          http_filters: [{{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
          route_config: {{virtual_hosts: [{{name: v, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: b}}}}]}}]}}
  clusters:
  - name: b
    load_assignment: {{cluster_name: b, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin}}}}}}}}}]}}]}}
"""


class Origin(http.server.BaseHTTPRequestHandler):
    """Takes its time: what a case sends behind a request is to come before the answer."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.1)
        self.send_response(200)
        self.send_header("Content-Length", "1024")
        self.end_headers()
        self.wfile.write(b"x" * 1024)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        while "chunked" in self.headers.get("Transfer-Encoding", ""):
            n = int(self.rfile.readline(), 16)
            self.rfile.read(n)
            self.rfile.readline()
            if not n:
                break
        self.do_GET()

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(100):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"error: nobody listens on {port}")


def results(report):
    """{(section, title): what was wrong, or None}"""
    found = {}
    for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            wrong = [e for e in case if e.tag in ("failure", "error")]
            found[case.get("package"), case.get("classname")] = wrong[0].text.strip() if wrong else None
    return found


def main():
    port = free_port()
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    origin.handle_error = lambda *_: None  # most of its requests are given up
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    running = []
    with tempfile.TemporaryDirectory() as directory:
        config, report = pathlib.Path(directory, "proxy.yaml"), pathlib.Path(directory, "report.xml")
        config.write_text(CONFIG.format(port=port, origin=origin.server_port))
        try:
            running.append(subprocess.Popen([BUILD / "bin/fairlead-proxy", "-c", config], stderr=subprocess.DEVNULL))
            wait_for(port)
            subprocess.run([H2SPEC, "-S", "-h", "127.0.0.1", "-p", str(port), "-j", report, *sys.argv[1:]], stdout=subprocess.DEVNULL)
        finally:
            for process in running:
                process.terminate()
                process.wait()
        found = results(report)
    failed = {case: why for case, why in found.items() if why}
    for (section, title), why in failed.items():
        print(f"{section}: {title}\n    {EXCUSED.get((section, title)) or 'FAILED: ' + why}")
    stale = [case for case in EXCUSED if case in found and not found[case]]
    for section, title in stale:
        print(f"{section}: {title}\n    passes: take its excuse out")
    bad = [case for case in failed if case not in EXCUSED]
    print(f"h2spec: {len(found)} cases, {len(found) - len(failed)} passed, {len(failed) - len(bad)} excused, {len(bad)} failed")
    sys.exit(1 if bad or stale or not found else 0)


main()
