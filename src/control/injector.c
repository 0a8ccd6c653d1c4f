/* One loop. Calls to the API server, for trust and for the configuration, are under way one at a
 * time; what fails is tried again while somebody still needs it. */
#include "control/injector.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/map.h"
#include "codec/base64.h"
#include "model/inject_review.h"
#include "net/http_server.h"

#define CONFIGURATIONS "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/"

static const char *const configurations[] = {CONFIGURATIONS INJECTOR_CONFIGURATION,
                                             CONFIGURATIONS INJECTOR_EVERYWHERE};

enum {
    REVIEW_BYTES_MAX = 4 << 20,
    NAMESPACES_MAX = 10000,
    AGAIN_MS = 1000,
    CHECK_MS = 10 * 1000, /* of the configurations: somebody may apply one anew */
};

/* Of a namespace in which there is a pod of ours. */
struct trust {
    bool told;
};

struct injector {
    struct kube_client *client;
    const struct inject_options *options;
    const struct proxy_settings_table *settings; /* NULL: none */
    struct ip ip;
    uint16_t port;
    struct http_server *http; /* NULL: no certificate yet */
    struct buf root;
    struct map namespaces;  /* name -> struct trust */
    struct kube_call *call; /* of trust */
    char *telling;          /* the namespace that it is about */
    bool told_root;         /* it tells the newest root */
    struct kube_call *bundle_call;
    size_t bundle_of; /* which of the configurations it is about */
    bool bundle_told; /* in all that there are, once */
    struct loop_timer *again, *check;
    struct injector_stats stats;
};

/* ---- trust in namespaces ---- */

static void tell_next(struct injector *i);

static void told_one(struct injector *i, const struct kube_result *r)
{
    AUTO_CHARS char *ns = TAKE(i->telling);
    i->call = NULL;
    if (r->code == 0 && r->status == 404) {
        free(map_remove_cstr(&i->namespaces, ns)); /* it has gone */
    } else if (!kube_ok(r)) {
        log_warn("whom proxies trust could not be told: it is tried again", kv_s("namespace", ns),
                 kv_i("status", r->status), kv_s("error", r->message));
        loop_timer_start(i->again, AGAIN_MS);
        return;
    } else {
        ((struct trust *)map_find_cstr(&i->namespaces, ns))->told = i->told_root;
    }
    tell_next(i);
}

static void on_created(const struct kube_result *r, void *user)
{
    told_one(user, r);
}

static void create(struct injector *i)
{
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/configmaps", i->telling);
    AUTO_JSON json_t *o = json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s}}", "apiVersion", "v1", "kind",
                                    "ConfigMap", "metadata", "name", INJECT_TRUST, "namespace",
                                    i->telling, "data", "root-cert.pem", buf_cstr(&i->root));
    i->call = kube_call(i->client, "POST", path, NULL, o, on_created, i);
}

static void on_patched(const struct kube_result *r, void *user)
{
    struct injector *i = user;
    if (r->code == 0 && r->status == 404)
        create(i);
    else
        told_one(i, r);
}

static void tell_next(struct injector *i)
{
    struct str ns;
    void *state;
    i->told_root = true;
    for (size_t at = 0; !i->call && map_next(&i->namespaces, &at, &ns, &state);) {
        if (((const struct trust *)state)->told)
            continue;
        i->telling = str_dup(ns);
        AUTO_CHARS char *path =
            xasprintf("/api/v1/namespaces/%s/configmaps/" INJECT_TRUST, i->telling);
        AUTO_JSON json_t *patch =
            json_pack("{s:{s:s}}", "data", "root-cert.pem", buf_cstr(&i->root));
        i->call = kube_call(i->client, "PATCH", path, "application/merge-patch+json", patch,
                            on_patched, i);
    }
}

static void on_again(void *user)
{
    tell_next(user);
}

/* Its first pod, as far as we know: another replica may have told it already. */
static void need_trust(struct injector *i, const char *ns)
{
    if (str_empty(ns) || map_find_cstr(&i->namespaces, ns) || i->namespaces.used >= NAMESPACES_MAX)
        return;
    map_put_cstr(&i->namespaces, ns, NEW(struct trust));
    if (!i->call && !loop_timer_is_started(i->again))
        tell_next(i);
}

/* ---- the API server knows us by the root ---- */

static void on_configuration(const struct kube_result *r, void *user);

static void ask_for(struct injector *i, size_t configuration)
{
    i->bundle_of = configuration;
    i->bundle_call =
        kube_call(i->client, "GET", configurations[configuration], NULL, NULL, on_configuration, i);
}

static void bundle_is_right(struct injector *i)
{
    if (i->bundle_of + 1 < ARRAY_LEN(configurations)) {
        ask_for(i, i->bundle_of + 1);
        return;
    }
    i->bundle_told = true;
    loop_timer_start(i->check, CHECK_MS);
}

static void bundle_failed(struct injector *i, const struct kube_result *r)
{
    log_warn("the webhook's caBundle could not be set: it is tried again",
             kv_i("status", r->status), kv_s("error", r->message));
    loop_timer_start(i->check, AGAIN_MS);
}

static void on_bundle(const struct kube_result *r, void *user)
{
    struct injector *i = user;
    i->bundle_call = NULL;
    if (kube_ok(r))
        bundle_is_right(i);
    else
        bundle_failed(i, r);
}

static void on_configuration(const struct kube_result *r, void *user)
{
    struct injector *i = user;
    const json_t *webhooks = r->object ? json_object_get(r->object, "webhooks") : NULL;
    AUTO_JSON json_t *patch = json_array();
    AUTO_DONE(buf) struct buf bundle = {0};
    i->bundle_call = NULL;
    if (!kube_ok(r) && !(r->code == 0 && r->status == 404)) {
        bundle_failed(i, r);
        return;
    }
    base64_encode(buf_str(&i->root), &bundle);
    for (size_t n = 0; kube_ok(r) && n < json_array_size(webhooks); n++) {
        AUTO_CHARS char *path = xasprintf("/webhooks/%zu/clientConfig/caBundle", n);
        if (!streq(json_at_str(json_array_get(webhooks, n), "clientConfig.caBundle"),
                   buf_cstr(&bundle)))
            json_array_append_new(patch, json_pack("{s:s,s:s,s:s}", "op", "add", "path", path,
                                                   "value", buf_cstr(&bundle)));
    }
    if (json_array_size(patch))
        i->bundle_call = kube_call(i->client, "PATCH", configurations[i->bundle_of],
                                   "application/json-patch+json", patch, on_bundle, i);
    else
        bundle_is_right(i);
}

static void on_check(void *user)
{
    struct injector *i = user;
    if (!i->bundle_call)
        ask_for(i, 0);
}

/* ---- reviews ---- */

static void reply(struct http_exchange *x, int status, const char *type, struct str body)
{
    const struct http_header h[] = {{STR("Content-Type"), str_from(type)}};
    http_exchange_reply(x, status, h, ARRAY_LEN(h), body);
}

static void review(struct injector *i, struct http_exchange *x)
{
    AUTO_JSON json_t *in = NULL;
    AUTO_JSON json_t *out = NULL;
    AUTO_DONE(buf) struct buf text = {0};
    struct err err = {0};
    bool yes;
    if (json_parse(http_exchange_body(x), 0, NULL, &in, &err) < 0 ||
        inject_review(in, i->options, i->settings, &out, &yes, &err) < 0) {
        i->stats.unreadable++;
        reply(x, 400, "text/plain; charset=utf-8", str_from(err_text(&err)));
        return;
    }
    if (yes && !json_at_bool(in, "request.dryRun", false))
        need_trust(i, json_at_str(in, "request.namespace"));
    i->stats.injected += yes;
    i->stats.refused += json_is_false(json_at(out, "response.allowed"));
    i->stats.passed += !yes && json_is_true(json_at(out, "response.allowed"));
    json_write(&text, out);
    reply(x, 200, "application/json", buf_str(&text));
}

static void on_request(struct http_exchange *x, void *user)
{
    if (!str_is(http_exchange_path(x), "/inject"))
        reply(x, 404, "text/plain; charset=utf-8", STR("/inject"));
    else if (!str_is(http_exchange_method(x), "POST"))
        reply(x, 405, "text/plain; charset=utf-8", STR("POST an AdmissionReview"));
    else
        review(user, x);
}

/* ---- lifetime ---- */

void injector_set_trust(struct injector *i, struct tls_context *tls, struct str root)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    const struct http_server_config config = {.tls = tls, .body_bytes_max = REVIEW_BYTES_MAX};
    struct err err = {0};
    void *state;
    bool same = str_eq(buf_str(&i->root), root);
    buf_clear(&i->root);
    buf_add_str(&i->root, root);
    if (i->http)
        http_server_set_tls(i->http, tls);
    else if (http_server_new(kube_client_loop(i->client), &i->ip, i->port, &config, &ops, i,
                             &i->http, &err) < 0)
        log_error("the webhook cannot be served", kv_s("error", err_text(&err)));
    else
        log_info("the webhook is served", kv_i("port", http_server_port(i->http)));
    if (same)
        return;
    i->told_root = false; /* what is under way tells the old one */
    for (size_t at = 0; map_next(&i->namespaces, &at, NULL, &state);)
        ((struct trust *)state)->told = false;
    if (!i->call)
        tell_next(i);
    on_check(i);
}

struct injector *injector_new(struct kube_client *c, const struct ip *ip, uint16_t port,
                              const struct inject_options *o)
{
    struct injector *i = NEW(struct injector);
    i->client = c;
    i->options = o;
    i->ip = *ip;
    i->port = port;
    i->again = loop_timer_new(kube_client_loop(c), on_again, i);
    i->check = loop_timer_new(kube_client_loop(c), on_check, i);
    return i;
}

void injector_set_settings(struct injector *i, const struct proxy_settings_table *t)
{
    i->settings = t;
}

void injector_free(struct injector *i)
{
    void *state;
    if (!i)
        return;
    if (i->call)
        kube_call_cancel(i->call);
    if (i->bundle_call)
        kube_call_cancel(i->bundle_call);
    loop_timer_free(i->again);
    loop_timer_free(i->check);
    http_server_free(i->http);
    for (size_t at = 0; map_next(&i->namespaces, &at, NULL, &state);)
        free(state);
    map_done(&i->namespaces);
    buf_done(&i->root);
    free(i->telling);
    free(i);
}

bool injector_is_ready(const struct injector *i)
{
    return i->http && i->bundle_told;
}

uint16_t injector_port(const struct injector *i)
{
    return i->http ? http_server_port(i->http) : 0;
}

void injector_get_stats(const struct injector *i, struct injector_stats *ret)
{
    *ret = i->stats;
}
