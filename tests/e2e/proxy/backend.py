"""A byte-exact HTTP/1.1 backend: what it answers is said by the path it is asked for, what it was asked is kept. Small and strict: whatever is not
one well-formed request is kept as garbage, so that a smuggled request cannot hide."""
import re
import socket
import threading

HEAD = re.compile(rb"\A([A-Z]+) (\S+) HTTP/1\.1\r\n((?:[^\r\n:]+: [^\r\n]*\r\n)*)\r\n")


class Request:
    def __init__(self, method, target, fields, body, trailers, connection):
        self.method, self.target, self.fields, self.body, self.trailers, self.connection = method, target, fields, body, trailers, connection

    def get(self, name):
        """All values of a field, joined; None if there is none."""
        values = [v for n, v in self.fields if n.lower() == name]
        return ", ".join(values) if values else None


class Reader:
    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def more(self):
        got = self.sock.recv(65536)
        self.buffer += got
        return bool(got)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                return None
        line, _, self.buffer = self.buffer.partition(mark)
        return line

    def exactly(self, n):
        while len(self.buffer) < n:
            if not self.more():
                return None
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data


class Backend:
    def __init__(self):
        self.requests, self.garbage, self.cut = [], [], []
        self.connections = 0
        self.status = 200  # of answers to what no path stands for
        self.release = threading.Event()  # /wait answers when it is set
        self.script = []  # what /next answers in turn: a status, "close", "wait"; behind its end 200
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.sockets.append(sock)
            threading.Thread(target=self.serve, args=(sock, self.connections), daemon=True).start()

    def close(self):
        self.release.set()
        # Its thread first: between its last look at the descriptor and its call another listener may have got that number, and would lose a connection to us.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # a test has closed it
        self.accepting.join(5)
        self.listener.close()
        for sock in self.sockets:
            sock.close()

    def serve(self, sock, number):
        reader, served = Reader(sock), 0
        try:
            while True:
                head = reader.until(b"\r\n\r\n")
                if head is None:
                    if reader.buffer:
                        self.garbage.append(reader.buffer)
                    return
                match = HEAD.match(head + b"\r\n\r\n")
                if not match:
                    self.garbage.append(head)
                    return
                fields = [tuple(line.split(": ", 1)) for line in match[3].decode("latin-1").split("\r\n") if line]
                request = Request(match[1].decode(), match[2].decode(), fields, b"", [], number)
                if request.target.startswith("/early"):
                    self.requests.append(request)
                    sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
                    return
                if not self.read_body(reader, request):
                    self.cut.append(request)
                    return
                if request.target == "/closed-if-used" and served:
                    return
                served += 1
                self.requests.append(request)
                if not self.answer(sock, request, reader):
                    return
        except OSError:
            pass
        finally:
            sock.close()

    def read_body(self, reader, request):
        length, coding = request.get("content-length"), request.get("transfer-encoding")
        if length is not None and coding is not None:
            self.garbage.append(b"both content-length and transfer-encoding")
        if length is not None:
            request.body = reader.exactly(int(length))
            return request.body is not None
        if coding is None:
            return True
        while True:
            size = reader.until(b"\r\n")
            if size is None:
                return False
            n = int(size, 16)
            if n == 0:
                break
            piece = reader.exactly(n + 2)
            if piece is None:
                return False
            request.body += piece[:-2]
        while True:
            line = reader.until(b"\r\n")
            if line is None:
                return False
            if not line:
                return True
            request.trailers.append(line.decode())

    def answer(self, sock, request, reader):
        """True: the connection goes on."""
        if request.target.startswith("/next") and self.script:
            step = self.script.pop(0)
            if step == "close":
                return False
            if step == "wait":
                self.release.wait(30)
            else:
                status, _, extra = str(step).partition(" ")
                sock.sendall(b"HTTP/1.1 %d Whatever\r\nContent-Length: 4\r\n%s\r\n\r\nfail" % (int(status), extra.encode() if extra else b"X-Step: 1"))
                return True
        what, _, argument = request.target.lstrip("/").partition("?")[0].partition("/")
        if what == "size":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % int(argument) + b"x" * int(argument))
        elif what == "chunked":
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3;ext=1\r\ndef\r\n0\r\nX-Sum: 6\r\n\r\n")
        elif what == "until-close":
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            return False
        elif what == "cut":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
            return False
        elif what == "cut-chunked":
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\npart")
            return False
        elif what == "nothing":
            return False
        elif what == "garbage":
            sock.sendall(b"garbage\r\n\r\n")
        elif what == "two-lengths":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")
        elif what == "extra":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned")
        elif what == "interim":
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        elif what == "hop":
            sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok")
        elif what == "wait":
            self.release.wait(30)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nwaited")
        elif what == "status":
            sock.sendall(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % int(argument))
        elif what == "ws":
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\n")
            while data := reader.buffer or sock.recv(65536):
                reader.buffer = b""
                sock.sendall(data.upper())
            sock.sendall(b"done")
            self.cut.append(request)
            return False
        elif what == "empty":
            sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif request.method == "HEAD":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        else:
            sock.sendall(b"HTTP/1.1 %d OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok" % self.status)
        return True
