"""The gateways' address, asked from outside: what a client gets."""
import http.client
import json
import socket
import ssl

from suite import SLOW, wait_until


class Answer:
    def __init__(self, status, fields, body, certificate=None):
        self.status, self.fields, self.body, self.certificate = status, fields, body, certificate

    @property
    def echo(self):
        return json.loads(self.body)

    @property
    def app(self):
        """Which Deployment has answered; None: none has."""
        try:
            return self.echo["name"].rsplit("-", 2)[0]
        except ValueError:
            return None


class Gateway:
    def __init__(self, lab):
        self.lab = lab
        self.address = wait_until("the gateways have an address", lambda: (
            lab.get("svc/fairlead-gateway", "-n", "fairlead-system").get("status", {}).get("loadBalancer", {}).get("ingress") or [{}])[0].get("ip"))
        wait_until("the gateways answer", lambda: self.try_ask("/"))

    def ask(self, path="/", host="any.example", method="GET", tls=False, headers=(), body=None, cert=None, sni=None):
        conn = http.client.HTTPConnection(self.address, 80, timeout=5 * SLOW)
        certificate = None
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if cert:
                context.load_cert_chain(*cert)
            conn.sock = context.wrap_socket(socket.create_connection((self.address, 443), 5 * SLOW), server_hostname=sni or host)
            certificate = conn.sock.getpeercert(binary_form=True)
        conn.request(method, path, body, {"Host": host, **dict(headers)})
        r = conn.getresponse()
        answer = Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read().decode(), certificate)
        conn.close()
        return answer

    def try_ask(self, *args, **kw):
        try:
            return self.ask(*args, **kw)
        except OSError:
            return None

    def settled(self):
        """All gateways have what the control plane has told (or it does not say): no answer of another one is of before."""
        status, text = self.lab.view("/debug/syncz")
        types = [t for proxy in json.loads(text) for t in proxy.values() if isinstance(t, dict)] if status == 200 else []
        return not any(t["state"] == "STALE" or t["waiting"] for t in types)

    def becomes(self, what, is_so, *args, **kw):
        """Asks until the answer is so, and every gateway has heard of what made it so; the answer."""
        def look():
            answer = self.try_ask(*args, **kw)
            return answer if answer and is_so(answer) and self.settled() else None
        return wait_until(what, look)

    def all_do(self, what, is_so, *args, **kw):
        """The same of every gateway: each answer of many, whichever gateway it comes from."""
        def look():
            answers = [self.try_ask(*args, **kw) for _ in range(24)]
            return all(a and is_so(a) for a in answers)
        return wait_until(what, look, 40)


def rule(host=None, *paths):
    """paths: (path, type, service) or (path, type, service, port)."""
    def backend(service, port=80):
        return {"service": {"name": service, "port": {"name": port} if isinstance(port, str) else {"number": port}}}
    r = {"http": {"paths": [{"path": p[0], "pathType": p[1], "backend": backend(*p[2:])} for p in paths]}}
    return r | ({"host": host} if host else {})
