"""A plain-HTTP door in front of the API server that writes down what a client sends: FAIRLEAD_RECORD=1 pytest test_recorded.py
runs each kubectl found through it and keeps the requests in recorded/1.NN.json, byte for byte (heads without what differs from
run to run). test_recorded.py sends them again without any kubectl."""
import base64
import socket
import struct
import threading

VOLATILE = {"host", "authorization", "content-length", "sec-websocket-key", "kubectl-session", "kubectl-command", "connection"}


def read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return None, b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return (lines[0].split(" ")[:2], [l.split(": ", 1) for l in lines[1:]]), rest


def frames(data):
    """The payloads of complete masked WebSocket frames, and what is left."""
    out = []
    while len(data) >= 6:
        n, at = data[1] & 127, 2
        if n == 126:
            n, at = struct.unpack(">H", data[2:4])[0], 4
        elif n == 127:
            n, at = struct.unpack(">Q", data[2:10])[0], 10
        if len(data) < at + 4 + n:
            break
        key = data[at:at + 4]
        out.append((data[0] & 15, bytes(b ^ key[i % 4] for i, b in enumerate(data[at + 4:at + 4 + n]))))
        data = data[at + 4 + n:]
    return out, data


class Recorder:
    def __init__(self, server, token):
        self.server, self.token, self.requests = server, token, []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        head, body = read_head(c)
        if not head:
            c.close()
            return
        (method, target), headers = head
        length = int(next((v for k, v in headers if k.lower() == "content-length"), 0))
        while len(body) < length:
            body += c.recv(65536)
        upgrade = any(k.lower() == "upgrade" for k, _ in headers)
        entry = {"method": method, "target": target, "headers": [[k, v] for k, v in headers if k.lower() not in VOLATILE]}
        if body:
            entry["body"] = base64.b64encode(body).decode()
        if upgrade:
            entry["frames"] = []
        self.requests.append(entry)
        up = self.server.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.server.port)), server_hostname="127.0.0.1")
        keep = [(k, v) for k, v in headers if k.lower() not in ("authorization", "connection")]
        keep += [("Authorization", f"Bearer {self.token}"), ("Connection", "Upgrade" if upgrade else "close")]
        up.sendall((f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in keep) + "\r\n").encode() + body)
        if upgrade:
            threading.Thread(target=self.relay_frames, args=(c, up, entry), daemon=True).start()
        status = b""
        try:
            while data := up.recv(65536):
                if "status" not in entry:
                    status += data
                    if b"\r\n" in status:
                        entry["status"] = int(status.split(b" ")[1])
                c.sendall(data)
        except OSError:
            pass
        try:
            c.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        c.close()

    def relay_frames(self, c, up, entry):
        rest = b""
        try:
            while data := c.recv(65536):
                got, rest = frames(rest + data)
                entry["frames"] += [[op, base64.b64encode(p).decode()] for op, p in got]
                up.sendall(data)
        except OSError:
            pass

    def take(self):
        taken, self.requests = self.requests, []
        return taken
