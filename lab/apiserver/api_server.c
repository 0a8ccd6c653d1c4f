/* The API server's entry: a request comes in here, is authenticated, taken apart and handed to the
 * file that knows.
 *
 * Owns the server object: store, HTTP server, open watches. One loop, one thread: a request is
 * handled to its end in one call, but for watches and tunnels. */
#include "lab/apiserver/api_server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/time.h"
#include "codec/url.h"
#include "lab/apiserver/custom_registry.h"

static uint32_t service_kind(void)
{
    return (uint32_t)api_kind_find(STR(""), STR("v1"), STR("services"));
}

static void on_store_event(const struct store_event *e, void *user)
{
    struct api_server *s = user;
    if (e->object->kind == service_kind()) {
        AUTO_JSON json_t *before = e->before ? object_tree(e->before) : NULL;
        AUTO_JSON json_t *now = e->type != STORE_DELETED ? object_tree(e->object) : NULL;
        alloc_release(&s->alloc, before);
        alloc_take(&s->alloc, now);
    }
    api_bootstrap_event(s, e);
    api_rbac_event(s, e);
    api_webhooks_event(s, e);
    custom_garbage_event(s, e); /* before a row may go */
    custom_registry_event(s, e);
    api_watch_event(s, e);
}

/* The mirror of Services that were stored before this start. */
static void load_alloc(struct api_server *s)
{
    for (size_t i = 0; i < store_count(s->store, service_kind()); i++) {
        AUTO_JSON json_t *service = object_tree(store_at(s->store, service_kind(), i));
        alloc_take(&s->alloc, service);
    }
}

/* ---- paths ---- */

/* Decodes one segment; names never need more than percent-decoding, and must not hide a slash. */
static char *segment(struct str raw)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (!raw.n || url_decode(raw, false, &b) < 0 || memchr(b.p, '/', b.n) ||
        memchr(b.p, '\0', b.n) || !json_is_utf8(buf_str(&b)))
        return NULL;
    return buf_take_cstr(&b);
}

static bool find_kind(struct api_request *r, struct str group, struct str version,
                      struct str plural)
{
    int index = api_kind_find(group, version, plural);
    if (index < 0)
        return false;
    r->kind = api_kind_at((size_t)index);
    r->kind_index = (uint32_t)api_kind_index(r->kind);
    return true;
}

/* /api/v1/… or /apis/GROUP/VERSION/… with namespaces/NS/ where it belongs. */
static bool parse_path(struct api_request *r, struct str path)
{
    struct str rest, group = {"", 0}, version, plural;
    if (str_starts(path, STR("/api/"))) {
        rest = str_sub(path, 5, path.n);
    } else if (str_starts(path, STR("/apis/"))) {
        rest = str_sub(path, 6, path.n);
        group = str_cut(rest, '/', &rest);
    } else {
        return false;
    }
    version = str_cut(rest, '/', &rest);
    plural = str_cut(rest, '/', &rest);
    if (str_is(plural, "watch") && rest.p) { /* the old form /api/v1/watch/… */
        r->watch = true;
        plural = str_cut(rest, '/', &rest);
    }
    if (str_is(plural, "namespaces") && rest.p) {
        struct str after, ns = str_cut(rest, '/', &after);
        struct str next, word = after.p ? str_cut(after, '/', &next) : (struct str){0};
        /* namespaces/NAME and namespaces/NAME/{status,finalize} are about the Namespace itself */
        if (after.p && after.n &&
            !(group.n == 0 && (str_is(word, "status") || str_is(word, "finalize")) && !next.p)) {
            r->ns = segment(ns);
            plural = word;
            rest = next;
            if (!r->ns)
                return false;
        }
    }
    if (!find_kind(r, group, version, plural))
        return false;
    if (!r->ns)
        r->ns = xstrdup("");
    if (!r->kind->namespaced && *r->ns)
        return false;
    if (rest.p && rest.n) {
        struct str name = str_cut(rest, '/', &rest);
        r->name = segment(name);
        if (!r->name || (r->kind->namespaced && !*r->ns))
            return false;
        struct str behind, word = rest.p ? str_cut(rest, '/', &behind) : (struct str){0};
        if (str_is(word, "proxy") && r->kind->has_proxy) {
            r->subresource = xstrdup("proxy");
            r->proxy_path = str_sub(rest, word.n, rest.n);
            return true;
        }
        if (rest.p && rest.n) {
            r->subresource = segment(rest);
            return r->subresource != NULL;
        }
    }
    return true;
}

/* Its values go into answers and objects. */
static bool query_is_text(const struct api_request *r)
{
    AUTO_DONE(buf) struct buf b = {0};
    return url_decode(r->query, true, &b) < 0 || json_is_utf8(buf_str(&b));
}

/* ---- dispatch ---- */

static void method_not_allowed(struct api_request *r)
{
    api_status(r, 405, "MethodNotAllowed", NULL,
               "the server does not allow this method on the requested resource");
}

static void on_collection(struct api_request *r, struct str method)
{
    if (str_is(method, "GET"))
        (r->watch ? api_watch : api_list)(r);
    else if (str_is(method, "POST"))
        api_create(r);
    else if (str_is(method, "DELETE") && api_kind_has_collection_delete(r->kind) &&
             (*r->ns || !r->kind->namespaced)) /* never over all namespaces */
        api_delete_collection(r);
    else
        method_not_allowed(r);
}

static bool is_apply(const struct api_request *r)
{
    return str_starts(http_exchange_header(r->exchange, "content-type"),
                      STR("application/apply-patch+yaml"));
}

static void on_object(struct api_request *r, struct str method)
{
    if (str_is(method, "GET"))
        (r->watch ? api_watch : api_get)(r);
    else if (str_is(method, "PUT"))
        api_update(r);
    else if (str_is(method, "PATCH"))
        (is_apply(r) ? api_apply : api_patch)(r);
    else if (str_is(method, "DELETE"))
        api_delete(r);
    else
        method_not_allowed(r);
}

static void metrics(struct api_request *r)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct api_server *s = r->server;
    static const char *const views[_API_VIEW_MAX] = {"json", "table", "table_object", "table_none",
                                                     "partial"};
    struct http_header headers[API_HEADERS_MAX] = {
        {STR("Content-Type"), STR("text/plain; version=0.0.4")}};
    buf_addf(
        &b, "# TYPE fairlead_lab_requests_total counter\nfairlead_lab_requests_total %" PRIu64 "\n",
        s->requests);
    buf_addf(&b, "# TYPE fairlead_lab_watches gauge\nfairlead_lab_watches %" PRIu64 "\n",
             s->watches_open);
    buf_addf(&b,
             "# TYPE fairlead_lab_watches_dropped_total "
             "counter\nfairlead_lab_watches_dropped_total %" PRIu64 "\n",
             s->watches_dropped);
    buf_add_cstr(&b, "# TYPE fairlead_lab_watch_encodes_total counter\n");
    for (int v = 0; v < _API_VIEW_MAX; v++)
        buf_addf(&b, "fairlead_lab_watch_encodes_total{view=\"%s\"} %" PRIu64 "\n", views[v],
                 s->watch_encodes[v]);
    buf_add_cstr(&b, "# TYPE fairlead_lab_objects gauge\n");
    for (size_t k = 0; k < api_kinds_count(); k++)
        if (!api_kind_at(k)->review && !api_kind_at(k)->stored_as &&
            (!api_kind_at(k)->row || api_kind_at(k)->home))
            buf_addf(&b, "fairlead_lab_objects{resource=\"%s\"} %zu\n",
                     api_kind_resource(api_kind_at(k)), store_count(s->store, (uint32_t)k));
    buf_addf(&b,
             "# TYPE fairlead_lab_store_version gauge\nfairlead_lab_store_version %" PRIu64 "\n",
             store_version(s->store));
    size_t bytes, texts = managed_texts(&bytes);
    buf_addf(&b,
             "# TYPE fairlead_lab_managed_texts gauge\nfairlead_lab_managed_texts %zu\n"
             "# TYPE fairlead_lab_managed_bytes gauge\nfairlead_lab_managed_bytes %zu\n",
             texts, bytes);
    api_rbac_metrics(s, &b);
    api_webhooks_metrics(s, &b);
    http_exchange_reply(r->exchange, 200, headers, api_headers(r, headers, 1), buf_str(&b));
    api_request_free(r);
}

/* Whoever is answered here finds everything in order: there is one check, "ping", by its own path,
 * too. */
static bool health(struct api_request *r, struct str path)
{
    static const char *const names[] = {"healthz", "livez", "readyz"};
    struct http_header headers[API_HEADERS_MAX] = {
        {STR("Content-Type"), STR("text/plain; charset=utf-8")}};
    AUTO_CHARS char *verbose = url_param(r->query, "verbose");
    AUTO_DONE(buf) struct buf text = {0};
    struct str check, name;
    size_t i = 0;
    if (!str_starts(path, STR("/"))) /* as a client of any kind may send it */
        return false;
    name = str_cut(str_sub(path, 1, path.n), '/', &check);
    while (i < ARRAY_LEN(names) && !str_is(name, names[i]))
        i++;
    if (i == ARRAY_LEN(names) || (check.p && !str_is(check, "ping")))
        return false;
    if (verbose && !check.p)
        buf_addf(&text, "[+]ping ok\n%s check passed\n", names[i]);
    else
        buf_add_cstr(&text, "ok");
    http_exchange_reply(r->exchange, 200, headers, api_headers(r, headers, 1), buf_str(&text));
    api_request_free(r);
    return true;
}

/* What Kubernetes has and the lab has not is told as such. */
static void path_not_found(struct api_request *r, struct str path)
{
    AUTO_JSON json_t *details = json_object();
    struct str rest = path.n ? str_sub(path, 1, path.n) : path, group = {"", 0};
    if (str_is(str_cut(rest, '/', &rest), "apis"))
        group = str_cut(rest, '/', &rest);
    (void)str_cut(rest, '/', &rest);
    struct str plural = str_cut(rest, '/', &rest), name = str_cut(rest, '/', &rest);
    if (str_is(plural, "namespaces") && rest.p) {
        plural = str_cut(rest, '/', &rest);
        name = str_cut(rest, '/', &rest);
    }
    (void)name;
    const char *hint = api_absent_hint(group, plural, rest);
    AUTO_CHARS char *resource =
        xasprintf(STR_FMT "%s" STR_FMT, STR_ARG(plural), group.n ? "." : "", STR_ARG(group));
    if (hint)
        api_status(r, 404, "NotFound", details, "this lab has no %s: %s", resource, hint);
    else
        api_status(r, 404, "NotFound", details, "the server could not find the requested resource");
}

/* How the answer is to look, and what is said of whole kinds. */
static void read_manner(struct api_request *r)
{
    AUTO_CHARS char *pretty = url_param(r->query, "pretty");
    r->pretty = pretty && !r->watch && url_param_bool(r->query, "pretty");
    if (api_kind_is(r->kind, "Endpoints"))
        api_warn(r, "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
    if (r->kind->custom && r->kind->custom->warning)
        api_warn(r, r->kind->custom->warning);
}

static void dispatch(struct api_request *r)
{
    struct str method = http_exchange_method(r->exchange);
    if (r->subresource && r->kind->custom && !custom_has_subresource(r->kind, r->subresource))
        api_not_found(r, r->name);
    else if (r->kind->review && !(str_is(method, "POST") && !r->name))
        method_not_allowed(r);
    else if (r->kind->review)
        api_review(r);
    else if (r->subresource && !streq(r->subresource, "status"))
        api_subresource(r);
    else if (r->subresource &&
             (!r->kind->has_status || str_is(method, "DELETE") || str_is(method, "POST")))
        method_not_allowed(r);
    else if (r->name)
        on_object(r, method);
    else
        on_collection(r, method);
}

static void handle(struct api_request *r)
{
    struct str method = http_exchange_method(r->exchange), path = http_exchange_path(r->exchange);
    if (health(r, path))
        return;
    if (api_authenticate(r->server, r->exchange, &r->user) < 0 && !str_is(path, "/version")) {
        api_status(r, 401, "Unauthorized", NULL, "Unauthorized");
        return;
    }
    if (r->user.name && !api_impersonate(r))
        return;
    if (!query_is_text(r)) {
        api_status(r, 400, "BadRequest", NULL, "the query of the request is not UTF-8");
        return;
    }
    bool of_object = parse_path(r, path);
    r->watch = r->watch || url_param_bool(r->query, "watch");
    if (r->user.name && !api_authorize(r, method, path))
        return;
    if (str_is(path, "/metrics")) {
        metrics(r);
        return;
    }
    if (api_discovery(r, path) || api_openid(r, path))
        return;
    if (!of_object) {
        path_not_found(r, path);
        return;
    }
    if (r->proxy_path.p) {
        api_proxy(r);
        return;
    }
    if (api_view_of(http_exchange_header(r->exchange, "accept"), r->query, &r->view, &r->yaml) <
        0) {
        api_status(r, 406, "NotAcceptable", NULL,
                   "only the following media types are accepted: application/json, "
                   "application/yaml");
        return;
    }
    read_manner(r);
    if (!str_is(method, "GET") && !api_write_options_check(r))
        return;
    dispatch(r);
}

/* Who asks for an audit id of his own gets it back. */
static void stamp(struct api_request *r)
{
    struct str wanted = http_exchange_header(r->exchange, "audit-id");
    time_t now = (time_t)time_real_s();
    struct tm tm;
    strftime(r->date, sizeof(r->date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    if (wanted.n && wanted.n < sizeof(r->audit_id))
        memcpy(r->audit_id, wanted.p, wanted.n);
    else
        rand_uuid(r->audit_id);
}

static void on_request(struct http_exchange *x, void *user)
{
    struct api_server *s = user;
    struct api_request *r = NEW(struct api_request);
    r->server = s;
    r->exchange = x;
    r->query = http_exchange_query(x);
    s->requests++;
    stamp(r);
    log_debug("request", kv_str("method", http_exchange_method(x)),
              kv_str("path", http_exchange_path(x)), kv_str("query", r->query));
    handle(r);
}

static void on_bad_request(int status, const char *why, struct buf *body, void *user)
{
    const char *reason = status == 413   ? "RequestEntityTooLarge"
                         : status == 408 ? "Timeout"
                         : status == 503 ? "ServiceUnavailable"
                                         : "BadRequest";
    (void)user;
    if (status == 413)
        why = "limit is 3145728 bytes: the request body is too large";
    api_status_body(body, status, reason, why);
}

/* ---- start and end ---- */

static int open_tls(struct api_server *s, struct err *reterr)
{
    const struct api_config *c = &s->config;
    struct tls_config server = {.cert_pem = buf_str(&c->tls_cert),
                                .key_pem = buf_str(&c->tls_key),
                                .ca_pem = buf_str(&c->client_ca)};
    struct tls_config kubelet = {.cert_pem = buf_str(&c->kubelet_cert),
                                 .key_pem = buf_str(&c->kubelet_key),
                                 .ca_pem = buf_str(&c->client_ca)};
    int r = tls_context_new_server(&server, &s->tls, reterr);
    return r < 0 ? r : tls_context_new_client(&kubelet, &s->kubelet_tls, reterr);
}

static int open_store(struct api_server *s, struct err *reterr)
{
    struct store_kind *kinds = xcalloc(api_kinds_count(), sizeof(*kinds));
    for (size_t i = 0; i < api_kinds_count(); i++) {
        kinds[i].name = api_kind_resource(api_kind_at(i));
        kinds[i].field_paths = api_kind_at(i)->field_paths;
        kinds[i].field_text = api_kind_field_text;
        while (kinds[i].n_fields < ARRAY_LEN(api_kind_at(i)->field_paths) &&
               api_kind_at(i)->field_paths[kinds[i].n_fields])
            kinds[i].n_fields++;
    }
    s->store_kinds = kinds;
    AUTO_CHARS char *path =
        s->config.data_dir ? xasprintf("%s/store.db", s->config.data_dir) : NULL;
    return store_open(path, kinds, api_kinds_count(), on_store_event, s, &s->store, reterr);
}

int api_server_start(struct loop *l, struct api_config *config, struct api_server **ret,
                     struct err *reterr)
{
    static const struct http_server_ops ops = {on_request, on_bad_request};
    struct api_server *s = NEW(struct api_server);
    s->loop = l;
    s->dispatch = dispatch;
    s->config = *config;
    *config = (struct api_config){0};
    api_watch_init(s);
    int r = open_tls(s, reterr);
    if (r == 0)
        r = open_store(s, reterr);
    if (r == 0)
        load_alloc(s);
    custom_garbage_start(s);
    if (r == 0)
        r = custom_registry_start(s, reterr);
    if (r == 0)
        r = api_bootstrap(s, reterr);
    if (r == 0) {
        struct http_server_config hc = {
            .tls = s->tls, .body_bytes_max = API_BODY_BYTES_MAX, .idle_timeout_ms = 180000};
        r = http_server_new(l, &s->config.bind_ip, s->config.port, &hc, &ops, s, &s->http, reterr);
    }
    if (r < 0) {
        api_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

uint16_t api_server_port(const struct api_server *s)
{
    return http_server_port(s->http);
}

void api_server_free(struct api_server *s)
{
    if (!s)
        return;
    http_server_free(s->http);
    api_bootstrap_done(s);
    api_rbac_done(s);
    api_webhooks_done(s);
    api_watch_done(s);
    custom_garbage_stop(s);
    custom_registry_stop(s);
    store_free(s->store);
    alloc_done(&s->alloc);
    free(s->store_kinds);
    tls_context_unref(s->tls);
    tls_context_unref(s->kubelet_tls);
    struct buf *bufs[] = {&s->config.tls_cert, &s->config.tls_key,      &s->config.client_ca,
                          &s->config.sa_key,   &s->config.kubelet_cert, &s->config.kubelet_key};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
        buf_done(bufs[i]);
    free(s->config.tokens);
    free(s);
}
