/* A Service is reached at one of its ready endpoints: the API server stands outside the fabric that
 * knows ClusterIPs. Each call has a connection of its own. */
#include "lab/apiserver/webhook_call.h"

#include <errno.h>
#include <stdio.h>

#include "lab/apiserver/webhook_review.h"

struct webhook_call {
    struct loop *loop;
    struct loop_call ending;
    struct http_client *client;
    struct http_call *call;
    char *url;
    webhook_call_fn *fn;
    void *user;
};

/* Where it is, in words and as an address. */
struct place {
    char *host; /* of the name that its certificate has */
    char *resolve;
    char *path;
    struct ip ip;
    uint16_t port, endpoint_port;
};

static void place_done(struct place *p)
{
    free(p->host);
    free(p->resolve);
    free(p->path);
}

static int of_url(const char *url, struct place *p, struct err *reterr)
{
    struct str rest, path, host, port;
    uint64_t n = 443;
    if (strncmp(url, "https://", 8) != 0)
        return err_set(reterr, -EINVAL, NULL, "the URL is not https://");
    rest = str_cut(str_from(url + 8), '/', &path);
    if (rest.n && rest.p[0] == '[') {
        host = str_cut(str_sub(rest, 1, rest.n), ']', &port);
        port = port.n && port.p[0] == ':' ? str_sub(port, 1, port.n) : (struct str){0};
    } else {
        host = str_cut(rest, ':', &port);
    }
    if (port.n && (str_to_u64(port, &n) < 0 || n < 1 || n > UINT16_MAX))
        return err_set(reterr, -EINVAL, NULL, "the URL's port is none");
    p->host = str_dup(host);
    p->port = p->endpoint_port = (uint16_t)n;
    p->path = xasprintf("/" STR_FMT, STR_ARG(path));
    if (ip_parse(host, &p->ip) < 0)
        p->ip = (struct ip){0};
    return 0;
}

static int of_service(struct api_server *s, const json_t *ref, struct place *p, struct err *reterr)
{
    const char *ns = json_key_str(ref, "namespace"), *name = json_key_str(ref, "name"),
               *path = json_key_str(ref, "path");
    int index = api_kind_find(STR(""), STR("v1"), STR("services"));
    struct object *o = store_find(s->store, (uint32_t)index, ns, name);
    char number[8];
    p->port = (uint16_t)json_at_int(ref, "port", 443);
    p->host = xasprintf("%s.%s.svc", name, ns);
    p->path = xasprintf("%s%s", str_empty(path) || *path != '/' ? "/" : "", path ? path : "");
    if (!o)
        return err_set(reterr, -ENOENT, NULL, "service \"%s\" not found", name);
    AUTO_JSON json_t *service = object_tree(o);
    snprintf(number, sizeof(number), "%u", p->port);
    if (streq(json_at_str(service, "spec.type"), "ExternalName")) {
        p->resolve = xstrdup(json_at_str(service, "spec.externalName"));
        p->endpoint_port = p->port;
        return 0;
    }
    int r = api_service_endpoint(s, ns, service, number, &p->ip, &p->endpoint_port);
    if (r == -ENOENT)
        return err_set(reterr, r, NULL, "no service port %u found for service \"%s\"", p->port,
                       name);
    return r < 0 ? err_set(reterr, r, NULL, "no endpoints available for service \"%s\"", name) : 0;
}

/* ---- the call ---- */

static void free_now(void *user)
{
    struct webhook_call *c = user;
    http_client_free(c->client);
    free(c->url);
    free(c);
}

void webhook_call_cancel(struct webhook_call *c)
{
    if (c->call)
        http_call_cancel(c->call);
    c->call = NULL;
    loop_defer(c->loop, &c->ending); /* we may stand inside a callback of it */
}

static char *no_answer(const struct webhook_call *c, const char *why)
{
    return xasprintf("failed to call webhook: Post \"%s\": %s", c->url, why);
}

/* What a client of Kubernetes makes of a status. */
static char *bad_status(int status)
{
    if (status == 404)
        return xstrdup("failed to call webhook: the server could not find the requested resource");
    if (status == 400)
        return xstrdup(
            "failed to call webhook: the server rejected our request for an unknown reason");
    if (status < 500)
        return xasprintf("failed to call webhook: the server responded with the status code %d "
                         "but did not return more information",
                         status);
    return xstrdup("failed to call webhook: an error on the server (\"unknown\") has prevented the "
                   "request from succeeding");
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct webhook_call *c = user;
    AUTO_CHARS char *why = NULL;
    int status = code == 0 ? http_call_status(call) : 0;
    c->call = NULL;
    if (code == -ETIMEDOUT)
        why = no_answer(c, "context deadline exceeded");
    else if (code < 0)
        why = no_answer(c, text);
    else if (status != 200)
        why = bad_status(status);
    c->fn(c->user, why ? -EIO : 0, why ? (struct str){0} : http_call_body(call), why);
    loop_defer(c->loop, &c->ending);
}

static void start(struct webhook_call *c, const struct webhook *h, const json_t *review,
                  const struct place *p)
{
    static const struct http_call_ops ops = {.on_done = on_done};
    const struct http_header headers[] = {{STR("Content-Type"), STR("application/json")},
                                          {STR("Accept"), STR("application/json, */*")}};
    AUTO_DONE(buf) struct buf body = {0};
    AUTO_CHARS char *target =
        xasprintf("%s?timeout=%llus", p->path, (unsigned long long)h->timeout_s);
    const struct http_client_config config = {.ip = p->ip,
                                              .port = p->endpoint_port,
                                              .host = p->host,
                                              .resolve = p->resolve,
                                              .tls = h->tls,
                                              .user_agent = "kube-apiserver-admission",
                                              .connect_timeout_ms = h->timeout_s * 1000};
    json_write(&body, review);
    const struct http_request request = {.method = "POST",
                                         .target = target,
                                         .headers = headers,
                                         .n_headers = ARRAY_LEN(headers),
                                         .body = buf_str(&body),
                                         .timeout_ms = h->timeout_s * 1000,
                                         .body_bytes_max = WEBHOOK_ANSWER_BYTES_MAX};
    c->client = http_client_new(c->loop, &config);
    c->call = http_call_start(c->client, &request, &ops, c);
}

struct webhook_call *webhook_call_start(struct api_server *s, const struct webhook *h,
                                        const json_t *review, webhook_call_fn *fn, void *user,
                                        struct err *reterr)
{
    const json_t *ref = json_at(h->spec, "clientConfig.service");
    const char *url = json_at_str(h->spec, "clientConfig.url");
    struct place p = {0};
    struct err err = {0};
    int r = ref ? of_service(s, ref, &p, &err) : of_url(url ? url : "", &p, &err);
    struct webhook_call *c = NEW(struct webhook_call);
    c->loop = s->loop;
    c->fn = fn;
    c->user = user;
    c->url = ref ? xasprintf("https://%s:%u%s?timeout=%llus", p.host, p.port, p.path,
                             (unsigned long long)h->timeout_s)
                 : xasprintf("%s?timeout=%llus", url ? url : "", (unsigned long long)h->timeout_s);
    loop_call_init(&c->ending, free_now, c);
    if (r == 0 && !h->tls)
        r = err_set(&err, -EINVAL, NULL, "caBundle: %s", err_text(&h->tls_error));
    if (r == 0) {
        start(c, h, review, &p);
    } else {
        AUTO_CHARS char *text = no_answer(c, err_text(&err));
        (void)err_set(reterr, r, NULL, "%s", text);
        free_now(c);
        c = NULL;
    }
    place_done(&p);
    return c;
}
