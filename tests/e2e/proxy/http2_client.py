"""A client of HTTP/2 over plain text, prior knowledge; Debian's python3-h2 does the frames, so that tests can do what no well-bred client would."""
import socket
import sys

from suite import SLOW

sys.path.append("/usr/lib/python3/dist-packages")  # for a Python that is not Debian's
import h2.config  # noqa: E402
import h2.connection  # noqa: E402
import h2.events  # noqa: E402
import h2.exceptions  # noqa: E402

# h2 takes every GOAWAY for the end; streams that are open go on (RFC 9113 section 6.8).
GOES_ON = h2.connection.ConnectionState.CLIENT_OPEN
h2.connection.H2ConnectionStateMachine._transitions[GOES_ON, h2.connection.ConnectionInputs.RECV_GOAWAY] = None, GOES_ON


class Stream:
    def __init__(self):
        self.status, self.fields, self.body, self.trailers, self.ended, self.reset, self.interim = None, {}, b"", {}, False, None, []

    def over(self):
        return self.ended or self.reset is not None


class Http2:
    def __init__(self, port, window=None, reads=True, validate=True):
        self.sock = socket.create_connection(("127.0.0.1", port), 10 * SLOW)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            validate_outbound_headers=validate, normalize_outbound_headers=validate, header_encoding="utf-8"))
        if window is not None:
            self.h2.local_settings.initial_window_size = window
        self.reads = reads  # gives windows back
        self.streams, self.goaway, self.eof = {}, None, False
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def open(self, method, path, *fields, end=True, host="example.test"):
        sid = self.h2.get_next_available_stream_id()
        self.streams[sid] = Stream()
        self.h2.send_headers(sid, [(":method", method), (":scheme", "http"), (":authority", host), (":path", path), *fields], end_stream=end)
        self.flush()
        return sid

    def send(self, sid, data, end=False):
        """As the windows allow."""
        while data or end:
            n = min(len(data), self.h2.local_flow_control_window(sid), self.h2.max_outbound_frame_size)
            if n == 0 and data:
                self.receive()
                continue
            piece, data = data[:n], data[n:]
            self.h2.send_data(sid, piece, end_stream=end and not data)
            self.flush()
            if not data:
                return

    def trailers(self, sid, *fields):
        self.h2.send_headers(sid, fields, end_stream=True)
        self.flush()

    def receive(self):
        try:
            got = self.sock.recv(65536)
        except ConnectionResetError:
            got = b""
        if not got:
            self.eof = True
            return
        for e in self.h2.receive_data(got):
            s = self.streams.get(getattr(e, "stream_id", None))
            if isinstance(e, h2.events.ConnectionTerminated):
                self.goaway = e
            elif s is None:
                continue
            elif isinstance(e, h2.events.ResponseReceived):
                s.fields = dict(e.headers)
                s.status = int(s.fields.pop(":status"))
            elif isinstance(e, h2.events.InformationalResponseReceived):
                s.interim.append(int(dict(e.headers)[":status"]))
            elif isinstance(e, h2.events.DataReceived):
                s.body += e.data
                if self.reads and e.flow_controlled_length:
                    self.h2.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.TrailersReceived):
                s.trailers = dict(e.headers)
            elif isinstance(e, h2.events.StreamEnded):
                s.ended = True
            elif isinstance(e, h2.events.StreamReset):
                s.reset = int(e.error_code)
        if not self.eof:
            try:
                self.flush()
            except OSError:
                pass

    def until(self, what):
        while not what():
            assert not self.eof, "the connection ended"
            self.receive()

    def wait(self, sid):
        s = self.streams[sid]
        self.until(s.over)
        return s

    def ask(self, method, path, *fields, body=None, **more):
        sid = self.open(method, path, *fields, end=body is None, **more)
        if body is not None:
            self.send(sid, body, end=True)
        return self.wait(sid)

    def close(self):
        self.sock.close()
