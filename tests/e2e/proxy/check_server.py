"""An external authorization server for tests (envoy.service.auth.v3.Authorization/Check), over gRPC on a socket. It keeps what it was asked, and answers as
its script says: a CheckResponse as a dict; a number: that status of gRPC; bytes: a message as it is; "wait": nothing; "close": the connection ends."""
import socket
import struct
import sys
import threading

import wire

sys.path.append("/usr/lib/python3/dist-packages")  # for a Python that is not Debian's
import h2.config  # noqa: E402
import h2.connection  # noqa: E402
import h2.events  # noqa: E402

NAME = "envoy.service.auth.v3."


class CheckServer:
    def __init__(self, address="127.0.0.1", port=0, decide=None):
        self.requests, self.fields, self.script, self.decide = [], [], [], decide
        self.listener = socket.create_server((address, port))
        self.port, self.connections = self.listener.getsockname()[1], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        sock.sendall(conn.data_to_send())
        bodies = {}
        try:
            while data := sock.recv(65536):
                for e in conn.receive_data(data):
                    if isinstance(e, h2.events.RequestReceived):
                        self.fields.append(dict(e.headers))
                        bodies[e.stream_id] = b""
                    elif isinstance(e, h2.events.DataReceived):
                        conn.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                        bodies[e.stream_id] += e.data
                    elif isinstance(e, h2.events.StreamEnded):
                        if not self.answer(conn, e.stream_id, bodies.pop(e.stream_id)):
                            sock.close()
                            return
                sock.sendall(conn.data_to_send())
        except OSError:
            pass

    def answer(self, conn, stream, body):
        assert body[0] == 0 and struct.unpack(">I", body[1:5])[0] == len(body) - 5
        request = wire.decode(NAME + "CheckRequest", body[5:])["attributes"]
        self.requests.append(request)
        step = self.script.pop(0) if self.script else self.decide(request) if self.decide else {}
        if step in ("wait", "close"):
            return step == "wait"
        head = [(":status", "200"), ("content-type", "application/grpc")]
        if isinstance(step, int):
            conn.send_headers(stream, [*head, ("grpc-status", str(step)), ("grpc-message", "no")], end_stream=True)
            return True
        message = step if isinstance(step, bytes) else wire.encode(NAME + "CheckResponse", step)
        conn.send_headers(stream, head)
        conn.send_data(stream, b"\0" + struct.pack(">I", len(message)) + message)
        conn.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        return True

    def stop(self):
        for s in [self.listener, *self.connections]:
            s.close()


if __name__ == "__main__":  # in a pod: who says x-pass: yes may pass, as ann
    def decide(request):
        fields = request["request"]["http"]["headers"]
        if fields.get("x-pass") == "yes":
            return {"ok_response": {"headers": [{"header": {"key": "x-user", "value": "ann"}}], "headers_to_remove": ["x-secret"]}}
        why = {"header": {"key": "x-why", "value": request["source"].get("principal", "nobody")}}
        return {"status": {"code": 7}, "denied_response": {"status": {"code": 418}, "headers": [why], "body": request["request"]["http"].get("body", "-")}}
    CheckServer("0.0.0.0", int(sys.argv[1]), decide)
    threading.Event().wait()
