#!/usr/bin/env bash
# Guess: `nginx -s quit` is the graceful one, so a client whose connection was made before it, and who has sent his request, is answered.
# Seen: the worker closes its listening socket without looking into its queue: who has not been accepted by then is reset. One accept a turn (multi_accept off) leaves many there when a worker is busy.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd "$dir" && apt-get download -q nginx=1.22.1-9+deb12u9 >/dev/null 2>&1 && dpkg -x ./*.deb .)
"$dir/usr/sbin/nginx" -v 2>&1
cat >"$dir/ask.py" <<'PY'
import collections, os, pathlib, signal, socket, subprocess, sys, time
d = pathlib.Path(sys.argv[1])
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    at = s.getsockname()
temp = " ".join(f"{kind}_temp_path {d}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
(d / "conf").write_text(f"daemon off; worker_processes 1; pid {d}/pid; events {{}} http {{ access_log off; {temp} server {{ listen {at[0]}:{at[1]}; return 200 ok; }} }}")
master = subprocess.Popen([d / "usr/sbin/nginx", "-p", d, "-c", d / "conf", "-e", d / "log"])
worker = 0
try:
    for _ in range(100):
        try:
            socket.create_connection(at).close()
            break
        except OSError:
            time.sleep(0.1)
    worker = int(pathlib.Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()[0])
    os.kill(worker, signal.SIGSTOP)  # busy for a moment
    clients = [socket.create_connection(at) for _ in range(40)]
    for c in clients:
        c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    master.send_signal(signal.SIGQUIT)
    time.sleep(0.5)
    os.kill(worker, signal.SIGCONT)
    seen = collections.Counter()
    for c in clients:
        c.settimeout(10)
        try:
            seen["answered" if c.recv(12) == b"HTTP/1.1 200" else "closed"] += 1
        except ConnectionResetError:
            seen["reset"] += 1
    print(dict(seen))
    sys.exit(seen["reset"] < 20)
finally:
    if worker and master.poll() is None:
        os.kill(worker, signal.SIGKILL)
    master.kill()
    master.wait()
PY
python3 "$dir/ask.py" "$dir"
