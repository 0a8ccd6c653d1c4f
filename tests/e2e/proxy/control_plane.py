"""A control plane for tests: the aggregated discovery service, state of the world or delta, over gRPC on a socket. What it was told is kept; what it
says is what a test says."""
import socket
import struct
import sys
import threading

import wire

sys.path.append("/usr/lib/python3/dist-packages")  # for a Python that is not Debian's
import h2.config  # noqa: E402
import h2.connection  # noqa: E402
import h2.events  # noqa: E402

PACKAGE = "envoy.service.discovery.v3."
URLS = {"cds": "envoy.config.cluster.v3.Cluster", "eds": "envoy.config.endpoint.v3.ClusterLoadAssignment", "lds": "envoy.config.listener.v3.Listener",
        "rds": "envoy.config.route.v3.RouteConfiguration", "vhds": "envoy.config.route.v3.VirtualHost", "sds": "envoy.extensions.transport_sockets.tls.v3.Secret",
        "wds": "istio.workload.Address"}
WORDS = {"type.googleapis.com/" + v: k for k, v in URLS.items()}


class ControlPlane:
    def __init__(self, port=0):
        self.requests = []  # all, each with its stream's number as "stream" and the type's word as "type"
        self.streams = 0
        self.lock = threading.Lock()
        self.session = None
        self.nonce = 0
        self.listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port = self.listener.getsockname()[1]
        self.closed = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        sock.sendall(conn.data_to_send())
        buffer, number = b"", 0
        try:
            while data := sock.recv(65536):
                with self.lock:
                    events = conn.receive_data(data)
                    for e in events:
                        if isinstance(e, h2.events.RequestReceived):
                            fields = dict(e.headers)
                            assert fields["content-type"] == "application/grpc" and fields["te"] == "trailers", fields
                            self.delta = "Delta" in fields[":path"]
                            self.fields = fields
                            self.streams += 1
                            number = self.streams
                            conn.send_headers(e.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                            self.session = (sock, conn, e.stream_id)
                        elif isinstance(e, h2.events.DataReceived):
                            conn.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                            buffer += e.data
                    sock.sendall(conn.data_to_send())
                while len(buffer) >= 5 and len(buffer) >= 5 + (n := struct.unpack(">I", buffer[1:5])[0]):
                    self.take(buffer[5:5 + n], number)
                    buffer = buffer[5 + n:]
        except OSError:
            pass
        finally:
            with self.lock:
                if self.session and self.session[0] is sock:
                    self.session = None
            sock.close()

    def take(self, data, number):
        request = wire.decode(PACKAGE + ("DeltaDiscoveryRequest" if self.delta else "DiscoveryRequest"), data)
        request["stream"], request["type"] = number, WORDS[request.pop("type_url")]
        self.requests.append(request)

    def of(self, kind):
        return [r for r in self.requests if r["type"] == kind]

    def answers(self, kind):
        """Requests that answer a response."""
        return [r for r in self.of(kind) if r.get("response_nonce")]

    def send(self, kind, resources, version="1", removed=(), versions=None):
        """resources: name -> dict. The nonce of the response."""
        self.nonce += 1
        url = "type.googleapis.com/" + URLS[kind]
        anys = {name: {"@type": url} | {k: v for k, v in r.items() if k != "@type"} for name, r in resources.items()}
        if self.delta:
            message = wire.encode(PACKAGE + "DeltaDiscoveryResponse", {
                "system_version_info": version, "type_url": url, "nonce": f"n{self.nonce}", "removed_resources": list(removed),
                "resources": [{"name": name, "version": (versions or {}).get(name, version), "resource": a} for name, a in anys.items()]})
        else:
            if kind == "vhds":  # what they are called stands around them
                anys = {name: {"@type": "type.googleapis.com/" + PACKAGE + "Resource", "name": name, "resource": a} for name, a in anys.items()}
            message = wire.encode(PACKAGE + "DiscoveryResponse", {"version_info": version, "type_url": url, "nonce": f"n{self.nonce}", "resources": list(anys.values())})
        self.send_message(message)
        return f"n{self.nonce}"

    def send_message(self, message):
        data = b"\0" + struct.pack(">I", len(message)) + message
        sock, conn, stream = self.session
        while data:
            with self.lock:
                room = min(conn.local_flow_control_window(stream), conn.max_outbound_frame_size)
                if room:
                    conn.send_data(stream, data[:room])
                    data = data[room:]
                    sock.sendall(conn.data_to_send())

    def cut(self):
        """The connection, as if the control plane had died."""
        with self.lock:
            if self.session:
                self.session[0].shutdown(socket.SHUT_RDWR)
            self.session = None

    def close(self):
        if not self.closed:
            self.closed = True
            self.listener.shutdown(socket.SHUT_RDWR)  # a thread waits in accept()
            self.listener.close()
            self.cut()
