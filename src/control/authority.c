/* The CA of the cluster's certificates, and our own below it. Asks for the Secret; makes it where
 * it is not; issues a certificate for itself; tells the roots. Again at half of the certificate's
 * life, and when one of the Secrets changes.
 *
 * Owns one call at a time, a timer and two watches. Of the CA's key it keeps nothing. */
#include "control/authority.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "codec/base64.h"
#include "control/named_objects.h"

enum {
    ROOT_DAYS = 3650,
    LEAF_DAYS = 1,
    RENEW_MS = 12 * 3600 * 1000,
    CHANGE_MS = 100, /* behind a change: who exchanges a Secret may write it twice */
    PAUSE_MS = 500,  /* behind a failure, doubled each time */
    PAUSE_MAX_MS = 30 * 1000,
};

struct authority {
    struct kube_client *client;
    char *namespace_, *service;
    void (*on_issue)(const struct authority_issue *i, void *user);
    void *user;
    struct kube_call *call;
    struct loop_timer *timer;
    uint64_t pause_ms;
    struct named_objects *watched;
    const struct secret_form *form; /* of the Secret that is asked for */
    struct buf roots;               /* as they are told */
};

/* How a Secret is written. */
struct secret_form {
    const char *name;
    const char *chain[2], *key, *roots[2]; /* chain: both; roots: the first that is there */
};
static const struct secret_form plugged = {AUTHORITY_PLUGGED,
                                           {"ca-cert.pem", "cert-chain.pem"},
                                           "ca-key.pem",
                                           {"root-cert.pem", NULL}},
                                own = {AUTHORITY_SECRET,
                                       {"tls.crt", NULL},
                                       "tls.key",
                                       {"ca.crt", "tls.crt"}};

static void ask(void *user);

static void fail(struct authority *a, const char *what, const char *why)
{
    log_warn("no certificate for the streams of proxies: it is tried again", kv_s("step", what),
             kv_s("error", why));
    loop_timer_start(a->timer, a->pause_ms);
    a->pause_ms = MIN(a->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
}

static void fail_call(struct authority *a, const char *what, const struct kube_result *r)
{
    char text[200];
    snprintf(text, sizeof(text), "status %d: %s", r->status, r->message);
    fail(a, what, r->code < 0 ? r->message : text);
}

/* Nothing of it stays behind. */
static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->size);
}

/* ---- the root is told ---- */

static json_t *config_map(struct authority *a)
{
    return json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
                     "metadata", "name", AUTHORITY_CONFIG_MAP, "namespace", a->namespace_, "data",
                     "root-cert.pem", buf_cstr(&a->roots));
}

static void on_created(const struct kube_result *r, void *user)
{
    struct authority *a = user;
    a->call = NULL;
    if (!kube_ok(r) && r->status != 409)
        fail_call(a, "ConfigMap " AUTHORITY_CONFIG_MAP, r);
    else
        loop_timer_start(a->timer, RENEW_MS);
}

static void on_told(const struct kube_result *r, void *user)
{
    struct authority *a = user;
    a->call = NULL;
    if (r->code == 0 && r->status == 404) {
        AUTO_JSON json_t *o = config_map(a);
        AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/configmaps", a->namespace_);
        a->call = kube_call(a->client, "POST", path, NULL, o, on_created, a);
    } else {
        on_created(r, a);
    }
}

static void tell(struct authority *a)
{
    AUTO_JSON json_t *patch = json_pack("{s:{s:s}}", "data", "root-cert.pem", buf_cstr(&a->roots));
    AUTO_CHARS char *path =
        xasprintf("/api/v1/namespaces/%s/configmaps/" AUTHORITY_CONFIG_MAP, a->namespace_);
    a->call =
        kube_call(a->client, "PATCH", path, "application/merge-patch+json", patch, on_told, a);
}

/* ---- our own certificate ---- */

static int make_contexts(struct authority *a, const struct ca_material *ca,
                         struct authority_issue *ret, struct err *reterr)
{
    static const struct str h2 = STR("h2"), http1 = STR("http/1.1");
    AUTO_CHARS char *in = xasprintf("%s.%s", a->service, a->namespace_);
    AUTO_CHARS char *svc = xasprintf("%s.svc", in);
    AUTO_CHARS char *whole = xasprintf("%s.cluster.local", svc);
    const char *names[] = {whole, svc, in, a->service};
    AUTO_DONE(buf) struct buf chain = {0};
    AUTO_DONE(buf) struct buf key = {0};
    const struct tls_cert_request request = {.common_name = "fairlead-control",
                                             .dns_names = names,
                                             .n_dns_names = ARRAY_LEN(names),
                                             .server = true,
                                             .days = LEAF_DAYS};
    int r = tls_cert_issue(&request, ca->chain, ca->key, &chain, &key, reterr);
    buf_add_str(&chain, ca->chain); /* which may be no root, but below one */
    struct tls_config config = {
        .cert_pem = buf_str(&chain), .key_pem = buf_str(&key), .alpn = &h2, .n_alpn = 1};
    if (r == 0)
        r = tls_context_new_server(&config, &ret->streams, reterr);
    config.alpn = &http1;
    if (r == 0)
        r = tls_context_new_server(&config, &ret->web, reterr);
    wipe(&key);
    return r;
}

/* secret: the object. Appended. */
static int decode(const json_t *secret, const char *member, struct buf *ret)
{
    const char *text = member ? json_key_str(json_object_get(secret, "data"), member) : NULL;
    return text ? base64_decode(str_from(text), ret) : -EINVAL;
}

static int read_secret(const struct secret_form *f, const json_t *secret, struct buf *ret_chain,
                       struct buf *ret_key, struct buf *ret_roots, struct err *reterr)
{
    AUTO_DONE(buf) struct buf more = {0};
    if (decode(secret, f->chain[0], ret_chain) < 0 || decode(secret, f->key, ret_key) < 0)
        return err_set(reterr, -EINVAL, "data", "needs %s and %s, in base64", f->chain[0], f->key);
    if (f->chain[1] && decode(secret, f->chain[1], &more) == 0) {
        buf_add_char(ret_chain, '\n');
        buf_add_str(ret_chain, buf_str(&more));
    }
    if (decode(secret, f->roots[0], ret_roots) == 0 && ret_roots->n)
        return 0;
    buf_clear(ret_roots);
    if (decode(secret, f->roots[1], ret_roots) < 0)
        return err_set(reterr, -EINVAL, "data", "needs %s, in base64", f->roots[0]);
    return 0;
}

/* Nothing is made of a CA that cannot sign: what was good before goes on. */
static int check(const struct ca_material *m, struct err *reterr)
{
    struct ca *ca;
    int r = ca_new(m, "check", &ca, reterr);
    if (r == 0)
        ca_free(ca);
    return r;
}

static void use_secret(struct authority *a, const json_t *secret)
{
    AUTO_DONE(buf) struct buf key = {0};
    AUTO_DONE(buf) struct buf chain = {0};
    AUTO_DONE(buf) struct buf roots = {0};
    struct authority_issue issue = {.streams = NULL};
    struct err err = {0};
    int r = read_secret(a->form, secret, &chain, &key, &roots, &err);
    issue.ca = (struct ca_material){buf_str(&chain), buf_str(&key), buf_str(&roots)};
    if (r == 0)
        r = check(&issue.ca, &err);
    if (r == 0)
        r = make_contexts(a, &issue.ca, &issue, &err);
    if (r == 0) {
        buf_clear(&a->roots);
        buf_add_str(&a->roots, buf_str(&roots));
        a->on_issue(&issue, a->user);
    }
    wipe(&key);
    tls_context_unref(issue.streams);
    tls_context_unref(issue.web);
    if (r < 0) {
        AUTO_CHARS char *what = xasprintf("Secret %s", a->form->name);
        fail(a, what, err_text(&err));
        return;
    }
    a->pause_ms = PAUSE_MS;
    tell(a);
}

/* ---- the root ---- */

static void on_made(const struct kube_result *r, void *user)
{
    struct authority *a = user;
    a->call = NULL;
    if (r->code == 0 && r->status == 409) /* another replica was first */
        ask(a);
    else if (!kube_ok(r) || !r->object)
        fail_call(a, "Secret " AUTHORITY_SECRET, r);
    else
        use_secret(a, r->object);
}

static json_t *base64_text(const struct buf *b)
{
    AUTO_DONE(buf) struct buf text = {0};
    base64_encode(buf_str(b), &text);
    return json_string(buf_cstr(&text));
}

static void make_root(struct authority *a)
{
    const struct tls_cert_request request = {
        .common_name = "Fairlead root", .is_ca = true, .days = ROOT_DAYS};
    AUTO_DONE(buf) struct buf chain = {0};
    AUTO_DONE(buf) struct buf key = {0};
    struct err err = {0};
    if (tls_cert_issue(&request, STR(""), STR(""), &chain, &key, &err) < 0) {
        fail(a, "a root", err_text(&err));
        return;
    }
    AUTO_JSON json_t *o = json_pack("{s:s,s:s,s:s,s:{s:s,s:s},s:{s:o,s:o}}", "apiVersion", "v1",
                                    "kind", "Secret", "type", "kubernetes.io/tls", "metadata",
                                    "name", AUTHORITY_SECRET, "namespace", a->namespace_, "data",
                                    "tls.crt", base64_text(&chain), "tls.key", base64_text(&key));
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/secrets", a->namespace_);
    wipe(&key);
    a->call = kube_call(a->client, "POST", path, NULL, o, on_made, a);
}

static void read_form(struct authority *a, const struct secret_form *f);

static void on_read(const struct kube_result *r, void *user)
{
    struct authority *a = user;
    a->call = NULL;
    if (r->code == 0 && r->status == 404 && a->form == &plugged) {
        read_form(a, &own);
    } else if (r->code == 0 && r->status == 404) {
        make_root(a);
    } else if (!kube_ok(r) || !r->object) {
        AUTO_CHARS char *what = xasprintf("Secret %s", a->form->name);
        fail_call(a, what, r);
    } else {
        use_secret(a, r->object);
    }
}

static void read_form(struct authority *a, const struct secret_form *f)
{
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/secrets/%s", a->namespace_, f->name);
    a->form = f;
    a->call = kube_call(a->client, "GET", path, NULL, NULL, on_read, a);
}

static void ask(void *user)
{
    struct authority *a = user;
    if (a->call) /* a change in the midst of it: behind it */
        loop_timer_start(a->timer, CHANGE_MS);
    else
        read_form(a, &plugged);
}

/* ---- changes ---- */

static void on_object(enum named_kind kind, const char *key, json_t *object, void *user)
{
    struct authority *a = user;
    (void)kind;
    (void)key;
    (void)object;
    loop_timer_start(a->timer, CHANGE_MS);
}

static void on_synced(void *user)
{
    (void)user;
}

static void watch(struct authority *a)
{
    static const struct named_objects_ops ops = {on_object, on_synced};
    const struct secret_form *forms[] = {&plugged, &own};
    a->watched = named_objects_new(a->client, &ops, a);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        AUTO_CHARS char *key = xasprintf("%s/%s", a->namespace_, forms[i]->name);
        named_objects_use(a->watched, NAMED_SECRET, key);
    }
}

struct authority *authority_new(struct kube_client *c, const struct authority_options *o,
                                void (*on_issue)(const struct authority_issue *i, void *user),
                                void *user)
{
    struct authority *a = NEW(struct authority);
    a->client = c;
    a->namespace_ = xstrdup(o->namespace_);
    a->service = xstrdup(o->service);
    a->on_issue = on_issue;
    a->user = user;
    a->pause_ms = PAUSE_MS;
    a->timer = loop_timer_new(kube_client_loop(c), ask, a);
    watch(a); /* which tells of both, there or not */
    return a;
}

void authority_free(struct authority *a)
{
    if (!a)
        return;
    if (a->call)
        kube_call_cancel(a->call);
    loop_timer_free(a->timer);
    named_objects_free(a->watched);
    buf_done(&a->roots);
    free(a->namespace_);
    free(a->service);
    free(a);
}
