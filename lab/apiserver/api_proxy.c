/* pods/proxy and services/proxy: a request of HTTP through the API server to a pod, or to a ready
 * endpoint of a Service, chosen by chance.
 *
 * Owns what name and port mean ([http:]NAME[:PORT], as kube-apiserver reads them) and which headers
 * go which way. The server reaches pods by the fabric's routes. Credentials stay here. Upgrades and
 * https: are refused; links inside answers are not rewritten. */
#include <errno.h>
#include <netinet/in.h>

#include "base/rand.h"
#include "base/vec.h"
#include "lab/apiserver/api_priv.h"

enum {
    PROXY_TIMEOUT_MS = 60 * 1000,
    PROXY_HEADERS_MAX = 64,
    PROXY_QUEUE_BYTES = 256 * 1024, /* that a client has not read: the pod waits */
    PORT_DEFAULT = 80,
};

struct proxy {
    struct loop_call ending;
    struct api_request *request;
    struct http_client *client;
    struct http_call *call;
    bool started; /* the answer's head is out */
};

/* Where to, as text of the path: borrowed from a copy of the name. */
struct target {
    char *name;
    const char *port; /* "" = the first */
    struct ip ip;
    uint16_t number;
};

/* ---- target ---- */

/* Not this machine itself, nor a group of machines. */
static bool may_be_asked(const struct ip *ip)
{
    const uint8_t *b = ip->bytes;
    if (ip->family == AF_INET)
        return b[0] != 0 && b[0] != 127 && b[0] < 224 && !(b[0] == 169 && b[1] == 254);
    for (size_t i = 0; i < 15; i++)
        if (b[i])
            return b[0] != 0xff && !(b[0] == 0xfe && (b[1] & 0xc0) == 0x80) &&
                   !(i == 10 && b[10] == 0xff); /* an IPv4 address in disguise */
    return false;                               /* :: and ::1 */
}

/* False: answered. */
static bool split_name(struct api_request *r, struct target *t)
{
    char *colon = strchr(t->name, ':'), *second = colon ? strchr(colon + 1, ':') : NULL;
    t->port = "";
    if (second) {
        *colon = 0;
        if (!streq(t->name, "http")) {
            api_status(r, 400, "BadRequest", NULL, "%s: only http is passed on by this lab",
                       t->name);
            return false;
        }
        memmove(t->name, colon + 1, strlen(colon + 1) + 1);
        colon = strchr(t->name, ':');
    }
    if (colon) {
        *colon = 0;
        t->port = colon + 1;
    }
    return true;
}

static bool port_number(const char *text, uint16_t *ret)
{
    uint64_t v;
    if (str_to_u64(str_from(text), &v) < 0 || v < 1 || v > UINT16_MAX)
        return false;
    *ret = (uint16_t)v;
    return true;
}

static int pod_target(const json_t *pod, struct target *t)
{
    const char *ip = json_at_str(pod, "status.podIP");
    json_t *container, *port;
    size_t i, k;
    if (!ip || ip_parse(str_from(ip), &t->ip) < 0)
        return -EADDRNOTAVAIL;
    if (port_number(t->port, &t->number))
        return 0;
    json_array_foreach(json_at(pod, "spec.containers"), i, container)
    {
        json_array_foreach(json_at(container, "ports"), k, port)
        {
            if (*t->port && !streq(json_key_str(port, "name"), t->port))
                continue;
            t->number = (uint16_t)json_at_int(port, "containerPort", 0);
            return 0;
        }
    }
    t->number = PORT_DEFAULT;
    return *t->port ? -ENOENT : 0;
}

/* The name of the Service's port that is meant by name or number; NULL: it has none. */
static const char *service_port(const json_t *service, const char *wanted)
{
    json_t *port;
    size_t i;
    uint16_t number = 0;
    bool by_number = port_number(wanted, &number);
    json_array_foreach(json_at(service, "spec.ports"), i, port)
    {
        const char *name = json_key_str(port, "name");
        name = name ? name : "";
        if (!*wanted || streq(name, wanted) ||
            (by_number && json_at_int(port, "port", 0) == number))
            return name;
    }
    return NULL;
}

int api_service_endpoint(struct api_server *s, const char *ns, const json_t *service,
                         const char *wanted_port, struct ip *ret_ip, uint16_t *ret_port)
{
    int index = api_kind_find(STR(""), STR("v1"), STR("endpoints"));
    struct object *o =
        store_find(s->store, (uint32_t)index, ns, json_at_str(service, "metadata.name"));
    const char *wanted = service_port(service, wanted_port);
    VEC(struct target) found = {0};
    json_t *subset, *port, *address;
    size_t i, k;
    if (!wanted)
        return -ENOENT;
    AUTO_JSON json_t *endpoints = o ? object_tree(o) : NULL;
    json_array_foreach(json_at(endpoints, "subsets"), i, subset)
    {
        struct target one = {0};
        json_array_foreach(json_at(subset, "ports"), k, port)
        {
            const char *name = json_key_str(port, "name");
            if (streq(name ? name : "", wanted))
                one.number = (uint16_t)json_at_int(port, "port", 0);
        }
        json_array_foreach(json_at(subset, "addresses"), k, address)
        {
            const char *ip = json_key_str(address, "ip");
            if (one.number && ip && ip_parse(str_from(ip), &one.ip) == 0)
                vec_push(&found, one);
        }
    }
    if (found.n) {
        const struct target *one = &found.v[rand_below(found.n)];
        *ret_ip = one->ip;
        *ret_port = one->number;
    }
    int code = found.n ? 0 : -EADDRNOTAVAIL;
    vec_done(&found);
    return code;
}

/* False: answered. */
static bool find_target(struct api_request *r, struct target *t)
{
    struct object *o;
    if (!split_name(r, t))
        return false;
    o = store_find(r->server->store, r->kind_index, r->ns, t->name);
    if (!o) {
        api_not_found(r, t->name);
        return false;
    }
    AUTO_JSON json_t *object = object_tree(o);
    bool pod = api_kind_is(r->kind, "Pod");
    int code = pod ? pod_target(object, t)
                   : api_service_endpoint(r->server, r->ns, object, t->port, &t->ip, &t->number);
    if (code == -ENOENT)
        api_status(r, 503, "ServiceUnavailable", NULL, "no port \"%s\" found for %s \"%s\"",
                   t->port, pod ? "pod" : "service", t->name);
    else if (code < 0)
        api_status(r, 503, "ServiceUnavailable", NULL,
                   pod ? "pod \"%s\" has no address yet"
                       : "no endpoints available for service \"%s\"",
                   t->name);
    else if (!may_be_asked(&t->ip))
        api_status(r, 403, "Forbidden", NULL, "address not allowed");
    else
        return true;
    return false;
}

/* ---- the call ---- */

static void proxy_free_now(void *user)
{
    struct proxy *p = user;
    http_client_free(p->client);
    free(p);
}

static void proxy_free(struct proxy *p)
{
    if (p->call)
        http_call_cancel(p->call);
    loop_defer(p->request->server->loop, &p->ending); /* we may stand inside a callback */
    api_request_free(p->request);
}

static void on_client_gone(struct http_exchange *x, void *user)
{
    (void)x;
    proxy_free(user);
}

/* What belongs to one connection, or to us. */
static bool stays_here(struct str name)
{
    static const char *const names[] = {"connection",
                                        "keep-alive",
                                        "proxy-connection",
                                        "proxy-authenticate",
                                        "te",
                                        "trailer",
                                        "upgrade",
                                        "proxy-authorization",
                                        "transfer-encoding",
                                        "host",
                                        "content-length",
                                        "authorization",
                                        "expect",
                                        "cookie"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    return false;
}

static size_t passed_on(const struct http_head *head, struct http_header *ret)
{
    struct http_header from[HTTP_FIELDS_MAX];
    size_t n = http_head_list(head, from, HTTP_FIELDS_MAX), out = 0;
    for (size_t i = 0; i < n && out < PROXY_HEADERS_MAX; i++)
        if (!stays_here(from[i].name))
            ret[out++] = from[i];
    return out;
}

static void on_client_drain(struct http_exchange *x, void *user)
{
    struct proxy *p = user;
    (void)x;
    if (p->call)
        http_call_resume(p->call);
}

static void on_head(struct http_call *call, int status, void *user)
{
    struct proxy *p = user;
    struct http_header headers[PROXY_HEADERS_MAX];
    size_t n = passed_on(http_call_head(call), headers);
    p->started = true;
    http_exchange_start(p->request->exchange, status, headers, n);
    http_exchange_set_drain(p->request->exchange, on_client_drain, p);
}

static void on_data(struct http_call *call, struct str piece, void *user)
{
    struct proxy *p = user;
    http_exchange_write(p->request->exchange, piece);
    if (http_exchange_queued(p->request->exchange) > PROXY_QUEUE_BYTES)
        http_call_pause(call);
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct proxy *p = user;
    struct api_request *r = p->request;
    (void)call;
    p->call = NULL;
    if (code == 0) {
        http_exchange_finish(r->exchange);
    } else if (p->started) {
        http_exchange_abort(r->exchange);
    } else {
        http_exchange_set_done(r->exchange, NULL, NULL);
        loop_defer(r->server->loop, &p->ending);
        api_status(r, code == -ETIMEDOUT ? 504 : 503,
                   code == -ETIMEDOUT ? "Timeout" : "ServiceUnavailable", NULL,
                   "error trying to reach service: %s", text);
    }
}

void api_proxy(struct api_request *r)
{
    static const struct http_call_ops ops = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    AUTO_CHARS char *name = xstrdup(r->name);
    struct target t = {.name = name};
    char host[IP_TEXT_BYTES];
    struct http_header headers[PROXY_HEADERS_MAX];
    if (!find_target(r, &t))
        return;
    struct proxy *p = NEW(struct proxy);
    loop_call_init(&p->ending, proxy_free_now, p);
    const struct http_client_config config = {
        .ip = t.ip, .port = t.number, .host = ip_format(&t.ip, host)};
    AUTO_CHARS char *method = str_dup(http_exchange_method(r->exchange));
    AUTO_CHARS char *path =
        xasprintf("%s" STR_FMT "%s" STR_FMT, r->proxy_path.n ? "" : "/", STR_ARG(r->proxy_path),
                  r->query.n ? "?" : "", STR_ARG(r->query));
    struct http_request request = {.method = method,
                                   .target = path,
                                   .headers = headers,
                                   .n_headers = passed_on(http_exchange_head(r->exchange), headers),
                                   .body = http_exchange_body(r->exchange),
                                   .timeout_ms = PROXY_TIMEOUT_MS};
    p->request = r;
    p->client = http_client_new(r->server->loop, &config);
    http_exchange_set_done(r->exchange, on_client_gone, p);
    http_exchange_end_with_client(r->exchange);
    p->call = http_call_start(p->client, &request, &ops, p);
}
