"""Ingresses as the other suites have them, each with requests and what must come of them."""
import base64
import hashlib
from dataclasses import dataclass, field

from gateway import rule

PREFIX = "nginx.ingress.kubernetes.io/"
TCP_PORT = 19000
ANY = object()
# The first four are not sent SameSite=None.
BROWSERS = ("Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/60.0.3112.113 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 12_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Safari/605.1.15",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 13_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Mobile/15E148 Safari/604.1")
LONG = "a-name-as-long-as-they-may-be.of-many-parts.that-no-expression-of-a-hundred-steps.could-hold.but-one-that-counts.example"


@dataclass
class Request:
    host: str
    path: str = "/"
    status: int = 200
    app: str = None
    method: str = "GET"
    tls: bool = False
    headers: dict = field(default_factory=dict)
    body: str = None
    subject: str = None  # of the certificate
    sni: str = None
    envoy: dict = field(default_factory=dict)  # what cannot travel: path of what is compared -> what Envoy's is

    def ask(self, plane):
        return plane.try_ask(self.path, self.host, self.method, self.tls, self.headers, self.body, self.sni)

    def __str__(self):
        return f"{self.method} {'https' if self.tls else 'http'}://{self.host}{self.path} {self.headers or ''}"


def ask(host, path="/", app=None, status=200, **more):
    return Request(host, path, status, app, **more)


@dataclass
class Case:
    name: str
    rules: list
    annotations: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)
    spec: dict = field(default_factory=dict)

    def object(self):
        return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": self.name, "annotations": {PREFIX + k: v for k, v in self.annotations.items()}},
                "spec": {"ingressClassName": "nginx", "rules": self.rules, **self.spec}}


def detour(path, **more):
    """Envoy evaluates what it adds to the request when host and path are the detour's already, and runs the filters of answers."""
    name = "errors-80.pages.default.fairlead.internal"
    return {"fields.x-client": ANY, "fields.x-frame-options": "DENY", "sent.host": name, "sent.x-forwarded-host": name, "sent.x-envoy-original-host": None,
            "sent.x-original-uri": path, **more}


CLOSED = dict.fromkeys(("app", "method", "path", "host", "proto", "sent", "fields.content-type"), ANY) | {"status": 503}


def web(host, path="/", kind="Prefix", app="web"):
    return [rule(host, (path, kind, app))]


def tls(host, secret):
    return {"tls": [{"hosts": [host], "secretName": secret}]}


CHAPTERS = {
    "hosts and paths": [
        Case("paths", [rule("a.example", ("/foo", "Exact", "web"), ("/bar", "Prefix", "web"), ("/bar/deep", "Prefix", "other", "http")), rule("*.w.example", ("/", "Prefix", "other")),
                       rule(None, ("/all", "Prefix", "web"))], {}, [
            ask("a.example", "/foo", "web"), ask("a.example", "/foo/", status=404), ask("a.example", "/bar", "web"), ask("A.Example", "/bar/", "web"),
            ask("a.example:8080", "/bar/deep/x", "other"), ask("a.example", "/barx", status=404), ask("a.example", "/bar/../foo", "web"), ask("a.example", "//bar//x", "web"),
            ask("a.example", "/bar/%2e%2e/foo", "web"), ask("x.w.example", "/", "other"), ask("x.y.w.example", "/", status=404), ask("w.example", "/", status=404),
            ask("x.y.w.example", "/all", "web"), ask("unknown.example", "/all/x?q=1", "web"), ask("unknown.example", "/", status=404), ask("a.example", "/bar", "web", method="POST", body="hello"),
            ask("a.example", "/bar", method="HEAD")], {"ingressClassName": "fairlead"}),
        Case("long", web("*." + LONG), {}, [ask("x." + LONG, "/", "web"), ask("x.y." + LONG, "/", status=404), ask("x." + LONG + ":8080", "/", "web")]),
        Case("more-paths", [rule("a.example", ("/more", "Prefix", "other"))], {}, [ask("a.example", "/more", "other")]),
        Case("gone", [rule("gone.example", ("/gone", "Prefix", "nothing"), ("/port", "Prefix", "web", 81), ("/empty", "Prefix", "empty"), ("/good", "Prefix", "web"))], {}, [
            ask("gone.example", "/gone", status=503), ask("gone.example", "/port", status=503), ask("gone.example", "/empty", status=503), ask("gone.example", "/good", "web")]),
        Case("unreachable", web("refused.example", app="refused"), {}, [ask("refused.example", status=502)]),
        Case("half", web("half.example", app="half"), {"upstream-hash-by": "$arg_id"}, [ask("half.example", f"/?id={i}", "web") for i in range(6)]),
    ],
    "rewrites and redirects": [
        Case("rewrite", web("r.example", "/r(/|$)(.*)", "ImplementationSpecific"), {"rewrite-target": "/$2"}, [
            ask("r.example", "/r/a/b?q=1", "web"), ask("r.example", "/R/x", "web"), ask("r.example", "/r", "web"), ask("r.example", "/r//a/../b", "web"), ask("r.example", "/q", status=404)]),
        Case("rewrite-exact", web("r.example", "/exact", "Exact", "other"), {}, [ask("r.example", "/EXACTly", "other")]),
        Case("rewrite-plain", web("plain.example", "/x"), {"rewrite-target": "/"}, [ask("plain.example", "/x/y?q=1", "web")]),
        Case("prefix", web("prefix.example", "/app/(.*)", "ImplementationSpecific"), {"rewrite-target": "/$1", "x-forwarded-prefix": "/app"}, [ask("prefix.example", "/app/z", "web")]),
        Case("vhost", web("vhost.example"), {"upstream-vhost": "inner.example"}, [ask("vhost.example", "/", "web")]),
        Case("moved", web("moved.example"), {"permanent-redirect": "https://new.example:8443/p?a=b", "permanent-redirect-code": "308"}, [ask("moved.example", "/x?y=1", status=308)]),
        Case("temporal", web("temporal.example"), {"temporal-redirect": "https://new.example/t"}, [ask("temporal.example", "/x", status=302)]),
        Case("root", web("root.example"), {"app-root": "/app"}, [ask("root.example", "/", status=302), ask("root.example", "/x", "web")]),
        Case("slash", web("slash.example", "/x/"), {}, [ask("slash.example", "/x?q=1", status=301), ask("slash.example", "/x/y", "web")]),
        Case("www", web("www.site.example"), {"from-to-www-redirect": "true"}, [ask("site.example", "/x?y=1", status=308), ask("www.site.example", "/", "web")]),
        Case("alias", web("main.example"), {"server-alias": "also.example, *.also.example"}, [ask("also.example", "/", "web"), ask("x.also.example", "/", "web")]),
    ],
    "CORS": [
        Case("cors", web("cors.example"), {"enable-cors": "true", "cors-allow-origin": "https://a.example, https://*.b.example", "cors-max-age": "600", "cors-allow-methods": "GET, PUT"}, [
            ask("cors.example", method="OPTIONS", status=200, headers={"Origin": "https://x.b.example", "Access-Control-Request-Method": "PUT"}),
            ask("cors.example", "/", "web", headers={"Origin": "https://a.example"}), ask("cors.example", "/", "web", headers={"Origin": "https://b.example"}),
            ask("cors.example", "/", "web", headers={"Origin": "https://x.y.b.example"}), ask("cors.example", "/", "web")]),
        Case("cors-any", web("any-cors.example"), {"enable-cors": "true", "cors-allow-credentials": "false", "cors-expose-headers": "X-A"}, [
            ask("any-cors.example", "/", "web", headers={"Origin": "https://a.example"})]),
    ],
    "canaries": [
        Case("main-h", web("h.example")),
        Case("canary-h", web("h.example", app="other"), {"canary": "true", "canary-by-header": "X-Canary", "canary-by-cookie": "canary"}, [
            ask("h.example", "/", "web"), ask("h.example", "/", "other", headers={"X-Canary": "always"}), ask("h.example", "/", "web", headers={"X-Canary": "never", "Cookie": "canary=always"}),
            ask("h.example", "/", "web", headers={"X-Canary": "Always"}), ask("h.example", "/", "other", headers={"Cookie": "a=b; canary=always; c=d"}),
            ask("h.example", "/", "web", headers={"Cookie": "xcanary=always"})]),
        Case("main-v", web("v.example")),
        Case("canary-v", web("v.example", app="other"), {"canary": "true", "canary-by-header": "X-Canary", "canary-by-header-value": "blue"}, [
            ask("v.example", "/", "other", headers={"X-Canary": "blue"}), ask("v.example", "/", "web", headers={"X-Canary": "always"})]),
        Case("main-p", web("pattern.example")),
        Case("canary-p", web("pattern.example", app="other"), {"canary": "true", "canary-by-header": "X-User", "canary-by-header-pattern": "^a.*z$"}, [
            ask("pattern.example", "/", "other", headers={"X-User": "a-z"}), ask("pattern.example", "/", "web", headers={"X-User": "b"})]),
        Case("main-w", web("all.example")),
        Case("canary-w", web("all.example", app="other"), {"canary": "true", "canary-weight": "100"}, [ask("all.example", "/", "other")]),
        Case("main-s", web("share.example")),
        Case("canary-s", web("share.example", app="other"), {"canary": "true", "canary-weight": "30"}),
    ],
    "TLS": [
        Case("site", web("s.example"), {}, [
            ask("s.example", "/x?y=1", status=308), ask("s.example", "/", "web", tls=True, subject="one"), ask("else.example", "/", status=404, tls=True, subject="Fairlead default certificate"),
            ask("s.example", "/", status=308, headers={"X-Forwarded-Proto": "https"}), ask("bare.example", "/", "other", tls=True, sni="s.example", subject="one")], tls("s.example", "site")),
        Case("bare", web("bare.example", app="other"), {"ssl-redirect": "false"}),
        Case("unforced", web("q.example"), {"ssl-redirect": "false"}, [ask("q.example", "/", "web"), ask("q.example", "/", "web", tls=True, subject="two")], tls("q.example", "second")),
        Case("forced", web("f.example"), {"force-ssl-redirect": "true"}, [ask("f.example", "/", status=308), ask("f.example", "/", "web", tls=True, subject="Fairlead default certificate")]),
        Case("wild-tls", web("*.wt.example"), {"ssl-redirect": "false"}, [ask("x.wt.example", "/", "web", tls=True, subject="wild")], tls("*.wt.example", "wild")),
    ],
    "sessions, hashes and balance": [
        Case("sticky", web("sticky.example"), {"affinity": "cookie", "session-cookie-name": "route", "session-cookie-path": "/", "session-cookie-max-age": "600"}, [ask("sticky.example", "/", "web")]),
        Case("persistent", web("persistent.example"), {
            "affinity": "cookie", "affinity-mode": "persistent", "session-cookie-path": "/", "session-cookie-domain": "persistent.example", "session-cookie-secure": "true",
            "session-cookie-samesite": "None", "session-cookie-conditional-samesite-none": "true"}, [
                ask("persistent.example", "/", "web"), *(ask("persistent.example", "/", "web", headers={"User-Agent": agent}) for agent in BROWSERS)]),
        Case("hash", web("hash.example"), {"upstream-hash-by": "$arg_id$http_x_user"}, [ask("hash.example", "/a?id=1", "web"), ask("hash.example", "/", "web", headers={"X-User": "ann"})]),
        Case("load", web("load.example"), {"load-balance": "ewma"}, [ask("load.example", "/", "web")]),
        Case("by-service", web("by-service.example"), {"service-upstream": "true"}, [ask("by-service.example", "/", "web")]),
    ],
    "errors that are replaced": [
        Case("errors", web("e.example", app="rec"), {"custom-http-errors": "404,503", "default-backend": "pages", "enable-cors": "true"}, [
            ask("e.example", "/", "rec"), ask("e.example", "/status/404?q=1", "pages", headers={"Accept": "text/x", "X-Code": "999"}, envoy=detour("/?q=1")), ask("e.example", "/status/500", "rec", status=500),
            ask("e.example", "/status/503", "pages", envoy=detour("/")),
            ask("e.example", "/status/404", "pages", method="POST", body="x" * 10,
                envoy=detour("/", **{"method": "GET", "sent.content-length": None, "sent.transfer-encoding": "chunked"}))]),
        Case("errors-empty", web("m.example", app="empty"), {"default-backend": "pages"}, [ask("m.example", "/x?y=1", "pages")]),
        Case("no-way-in", web("way.example"), {}, [ask("errors-80.pages.default.fairlead.internal", "/secret", status=404)]),
    ],
    "time and further tries": [
        Case("mute", web("mute.example"), {"proxy-read-timeout": "1", "proxy-next-upstream": "off"}, [ask("mute.example", "/delay/3", status=504), ask("mute.example", "/", "web")]),
        Case("patient", web("patient.example"), {}, [ask("patient.example", "/delay/2", "web")]),
        Case("tries", web("tries.example", app="rec"), {"proxy-next-upstream": "error http_502 non_idempotent", "proxy-next-upstream-tries": "2"}, [
            ask("tries.example", "/", "rec"), ask("tries.example", "/status/500", "rec", status=500)]),
        Case("tries-safe", web("tries-safe.example", app="rec"), {"proxy-next-upstream": "error timeout http_503"}, [ask("tries-safe.example", "/", "rec")]),
        Case("slow-connect", web("connect.example"), {"proxy-connect-timeout": "30"}, [ask("connect.example", "/", "web")]),
        Case("https", web("https.example"), {"backend-protocol": "HTTPS"}),
        Case("http2", web("http2.example", app="grpc"), {"backend-protocol": "GRPC"}),
        Case("mirror", web("mirror.example"), {"mirror-target": "http://127.0.0.1:9$request_uri"}, [ask("mirror.example", "/", "web")]),
    ],
    "what protects, and what is wrong": [
        Case("ranges", web("ranges.example"), {"whitelist-source-range": "192.0.2.0/24"}, [ask("ranges.example", "/", status=403)]),
        Case("ranges-open", web("open-ranges.example"), {"whitelist-source-range": "0.0.0.0/0"}, [ask("open-ranges.example", "/", "web")]),
        Case("body", web("body.example"), {"proxy-body-size": "1k"}, [
            ask("body.example", "/", "web", method="POST", body="x" * 100), ask("body.example", "/", method="POST", body="x" * 4000, status=413)]),
        # What Envoy cannot be told of it does not serve: closed, not open.
        Case("rps", web("rps.example"), {"limit-rps": "1000"}, [ask("rps.example", "/", "web", envoy=CLOSED)]),
        Case("basic", web("basic.example"), {"auth-type": "basic", "auth-secret": "passwords"}, [
            ask("basic.example", "/", status=401, envoy={"status": 503}),
            ask("basic.example", "/", "web", headers={"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}, envoy=CLOSED)]),
        Case("hostile", web("hostile.example"), {"rewrite-target": "/\nreturn 200;", "cors-allow-origin": "https://$(id)", "enable-cors": "true", "upstream-vhost": "a\r\nX: y"}, [ask("hostile.example", "/x", "web")]),
        Case("bad-regex", [rule("regex.example", ("/(", "ImplementationSpecific", "web"), ("/fine", "ImplementationSpecific", "web"))], {"use-regex": "true"}, [
            ask("regex.example", "/fine", "web"), ask("regex.example", "/(", status=404)]),
        Case("odd", web("odd.example"), {"configuration-snippet": "return 418;", "no-such-thing": "x"}, [ask("odd.example", "/", "web")]),
    ],
}
CASES = [c for chapter in CHAPTERS.values() for c in chapter]


def secret(name, pair):
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name},
            "data": {k: base64.b64encode(f.read_bytes()).decode() for k, f in zip(("tls.crt", "tls.key"), pair)}}


def endpoints_of(service, ports):
    """A Service whose endpoints are these, {port: address}, each in a slice of its own."""
    slices = [{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
               "metadata": {"name": f"{service}-{port}", "labels": {"kubernetes.io/service-name": service}},
               "ports": [{"name": "http", "port": port}], "endpoints": [{"addresses": [address], "conditions": {"ready": True}}]} for port, address in ports.items()]
    return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": service}, "spec": {"ports": [{"name": "http", "port": 80}]}}, *slices]


def config_map(name, data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def objects(authority):
    classes = [{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name}, "spec": {"controller": controller}}
               for name, controller in (("fairlead", "fairlead.dev/ingress"), ("nginx", "k8s.io/ingress-nginx"))]
    secrets = [secret(name, authority.issue(subject, f"DNS:{host}")) for name, subject, host in (
        ("site", "one", "s.example"), ("second", "two", "q.example"), ("wild", "wild", "*.wt.example"))]
    passwords = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "passwords"},
                 "data": {"auth": base64.b64encode(b"ann:{SHA}" + base64.b64encode(hashlib.sha1(b"secret").digest())).decode()}}
    secrets.append(passwords)
    empty = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "empty"}, "spec": {"selector": {"app": "nobody"}, "ports": [{"name": "http", "port": 80}]}}
    maps = [config_map("settings", {"add-headers": "default/answers", "hide-headers": "X-Hidden"}), config_map("tcp", {str(TCP_PORT): "default/web:80"}),
            config_map("answers", {"X-Frame-Options": "DENY", "X-Client": "$remote_addr"})]
    return classes + secrets + maps + [empty] + [c.object() for c in CASES]
