/* A source is waiting, or has one step under way: a name is looked up, then a document is asked for
 * at the first of its addresses that may be asked; a step that leads on begins another one. */
#include "control/key_sets.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/map.h"
#include "base/rand.h"
#include "codec/url.h"
#include "model/request_authentication.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "net/tls_jwks.h"

enum {
    REFRESH_MS = 20 * 60 * 1000,
    PAUSE_MS = 1000, /* behind a failure, doubled each time */
    PAUSE_MAX_MS = 5 * 60 * 1000,
    TIMEOUT_MIN_MS = 100,
    TIMEOUT_MAX_MS = 60 * 1000,
    HOPS_MAX = 3, /* redirects */
};

#define DISCOVERY "/.well-known/openid-configuration"
#define BY_ISSUER "issuer " /* what a source begins with that is discovered */

struct key_source {
    struct key_sets *all;
    char *name; /* a URL, or BY_ISSUER and the issuer */
    char *keys; /* NULL: none yet */
    bool used, told;
    bool discovering; /* the document under way says where the keys are */
    unsigned hops, failures;
    uint64_t timeout_ms;
    char *url; /* under way; NULL: nothing */
    struct url_parts parts;
    struct resolver_query *query;
    struct http_client *client;
    struct http_client *over; /* its call is; freed in another turn */
    struct http_call *call;
    struct loop_timer *timer; /* of the next step, or of an answer that does not come */
};

struct key_sets {
    struct loop *loop;
    struct key_sets_options o;
    struct resolver *resolver; /* NULL: not needed yet */
    struct tls_context *tls;   /* the same */
    bool settled;
    struct map sources; /* name -> struct key_source */
};

/* ---- whom we ask ---- */

static bool is_in(const struct ip *ip, const char *prefix)
{
    struct prefix p;
    return prefix_parse(str_from(prefix), &p) == 0 && prefix_contains(&p, ip);
}

/* The IPv4 address that a translator to IPv4 (RFC 6052) would ask; others unchanged. */
static struct ip untranslated(struct ip ip)
{
    struct ip v4 = {.family = AF_INET};
    if (!is_in(&ip, "64:ff9b::/96"))
        return ip;
    memcpy(v4.bytes, ip.bytes + 12, 4);
    return v4;
}

static bool may_be_asked(const struct key_sets *k, const struct ip *address)
{
    static const char *const never[] = {
        "0.0.0.0/8",       "169.254.0.0/16",     "224.0.0.0/4",
        "240.0.0.0/4",     "100.100.100.200/32", "fd00:ec2::/64",
        "fe80::/10",       "ff00::/8",           "::/128",
        "168.63.129.16/32"}; /* of clouds: Alibaba's, AWS's, Azure's */
    struct ip ip = untranslated(ip_unmapped(address));
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        if (is_in(&ip, never[i]))
            return false;
    return k->o.loopback || !ip_is_loopback(&ip);
}

/* ---- steps ---- */

static void fail(struct key_source *s, const char *why);
static void begin_step(struct key_source *s, char *url);

/* What is under way ends. */
static void drop(struct key_source *s)
{
    resolver_cancel(TAKE(s->query));
    if (s->call)
        http_call_cancel(TAKE(s->call));
    if (s->client && !s->over)
        s->over = TAKE(s->client);
    free(TAKE(s->url));
    loop_timer_stop(s->timer);
}

static void on_begin(void *user)
{
    struct key_source *s = user;
    http_client_free(TAKE(s->over));
    s->hops = 0;
    s->discovering = strncmp(s->name, BY_ISSUER, strlen(BY_ISSUER)) == 0;
    if (!s->discovering) {
        begin_step(s, xstrdup(s->name));
        return;
    }
    struct str issuer = str_from(s->name + strlen(BY_ISSUER));
    if (str_ends(issuer, STR("/")))
        issuer.n--;
    begin_step(s, xasprintf(STR_FMT DISCOVERY, STR_ARG(issuer)));
}

static void wait_for(struct key_source *s, uint64_t ms)
{
    drop(s);
    loop_timer_set(s->timer, on_begin, s);
    loop_timer_start(s->timer, ms - ms / 10 + rand_u64() % (ms / 5 + 1));
}

/* Without a query, in which a secret may stand. */
static char *shown(const struct key_source *s)
{
    struct str query;
    return str_dup(str_cut(str_from(s->name), '?', &query));
}

static void fail(struct key_source *s, const char *why)
{
    AUTO_CHARS char *name = shown(s);
    uint64_t pause = PAUSE_MS;
    for (unsigned i = 0; i < s->failures && pause < PAUSE_MAX_MS; i++)
        pause *= 2;
    s->failures++;
    log_warn(s->keys ? "a key set cannot be fetched: the last one stays"
                     : "a key set cannot be fetched: its tokens are refused",
             kv_s("source", name), kv_s("error", why));
    bool tell = !s->told;
    s->told = true;
    AUTO_CHARS char *text = xstrdup(why); /* which may be the call's */
    wait_for(s, MIN(pause, (uint64_t)PAUSE_MAX_MS));
    if (tell)
        s->all->o.ops->on_trouble(s->name, text, s->all->o.user);
}

static void take_keys(struct key_source *s, struct str body)
{
    struct tls_jwks *set;
    struct err err = {0};
    size_t n = 0;
    if (tls_jwks_new(body, &set, &err) == 0) {
        n = tls_jwks_keys(set);
        tls_jwks_free(set);
    }
    if (!n) {
        fail(s, err.code ? err_text(&err) : "no key in it can be used");
        return;
    }
    bool changed = !s->keys || !str_is(body, s->keys);
    if (changed) {
        free(s->keys);
        s->keys = str_dup(body);
    }
    s->failures = 0;
    s->told = false;
    struct key_sets *k = s->all;
    wait_for(s, REFRESH_MS);
    if (changed)
        k->o.ops->on_change(k->o.user);
}

/* Where the keys are. Who was asked over TLS does not lead to where there is none. */
static void take_discovery(struct key_source *s, struct str body)
{
    AUTO_JSON json_t *j = NULL;
    struct url_parts to;
    const char *url = json_parse(body, KEY_SET_BYTES_MAX, NULL, &j, NULL) == 0
                          ? json_key_str(j, "jwks_uri")
                          : NULL;
    if (str_empty(url) || url_split(str_from(url), &to) < 0)
        fail(s, "the issuer's configuration has no jwks_uri");
    else if (s->parts.tls && !to.tls)
        fail(s, "the issuer's jwks_uri is not over TLS");
    else {
        s->discovering = false;
        s->hops = 0;
        begin_step(s, xstrdup(url));
    }
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* With the same host alone: another one is not whom somebody has named. */
static void follow(struct key_source *s, struct str location)
{
    const struct url_parts *from = &s->parts;
    struct url_parts to;
    bool path = location.n && location.p[0] == '/' && !str_starts(location, STR("//"));
    AUTO_CHARS char *url =
        path ? xasprintf("%s://%s" STR_FMT "%s:%u" STR_FMT, from->tls ? "https" : "http",
                         memchr(from->host.p, ':', from->host.n) ? "[" : "", STR_ARG(from->host),
                         memchr(from->host.p, ':', from->host.n) ? "]" : "", from->port,
                         STR_ARG(location))
             : str_dup(location);
    if (++s->hops > HOPS_MAX)
        fail(s, "it redirects too often");
    else if (url_split(str_from(url), &to) < 0)
        fail(s, "it redirects to what is no URL");
    else if (to.tls != from->tls || to.port != from->port || !str_eq_nocase(to.host, from->host))
        fail(s, "it redirects to another host");
    else
        begin_step(s, TAKE(url));
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct key_source *s = user;
    char why[64];
    s->call = NULL;
    int status = http_call_status(call);
    struct str body = http_call_body(call);
    if (code < 0) {
        fail(s, text);
    } else if (is_redirect(status)) {
        AUTO_CHARS char *location = str_dup(http_call_header(call, "location"));
        follow(s, str_from(location));
    } else if (status != 200) {
        snprintf(why, sizeof(why), "it is answered with status %d", status);
        fail(s, why);
    } else if (s->discovering) {
        take_discovery(s, body);
    } else {
        take_keys(s, body);
    }
}

static struct tls_context *client_tls(struct key_sets *k)
{
    static const struct tls_config config = {.insecure = false}; /* the system's roots */
    struct err err = {0};
    if (!k->tls && tls_context_new_client(&config, &k->tls, &err) < 0)
        log_warn("no TLS for key sets", kv_s("error", err_text(&err)));
    return k->tls;
}

static void ask(struct key_source *s, const struct ip *ip)
{
    static const struct http_call_ops ops = {.on_done = on_done};
    AUTO_CHARS char *host = str_dup(s->parts.host),
                    *target = xasprintf("%s" STR_FMT,
                                        s->parts.target.n && s->parts.target.p[0] == '/' ? "" : "/",
                                        STR_ARG(s->parts.target));
    const struct http_client_config config = {
        .ip = *ip,
        .port = s->parts.port,
        .host = host,
        .tls = s->parts.tls ? client_tls(s->all) : NULL,
        .user_agent = "fairlead-control",
        .connect_timeout_ms = s->timeout_ms,
    };
    const struct http_header accept = {STR("accept"), STR("application/json")};
    const struct http_request request = {.method = "GET",
                                         .target = target,
                                         .headers = &accept,
                                         .n_headers = 1,
                                         .timeout_ms = s->timeout_ms,
                                         .body_bytes_max = KEY_SET_BYTES_MAX};
    if (s->parts.tls && !config.tls) {
        fail(s, "there is no TLS");
        return;
    }
    s->client = http_client_new(s->all->loop, &config);
    s->call = http_call_start(s->client, &request, &ops, s);
}

/* One after the other, from try to try. */
static void ask_one_of(struct key_source *s, const struct ip *ips, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct ip *ip = &ips[(i + s->failures) % n];
        if (may_be_asked(s->all, ip)) {
            ask(s, ip);
            return;
        }
    }
    fail(s, "its address is one that is not asked: link-local, loopback, or nobody's");
}

static void on_addresses(int code, const struct ip *ips, size_t n, const char *text, void *user)
{
    struct key_source *s = user;
    s->query = NULL;
    if (code < 0)
        fail(s, text);
    else
        ask_one_of(s, ips, n);
}

static void on_late(void *user)
{
    fail(user, "there is no answer in time");
}

static void on_step(void *user)
{
    struct key_source *s = user;
    struct key_sets *k = s->all;
    struct err err = {0};
    struct ip ip;
    http_client_free(TAKE(s->over));
    loop_timer_set(s->timer, on_late, s);
    loop_timer_start(s->timer, s->timeout_ms + 100);
    if (url_split(str_from(s->url), &s->parts) < 0) {
        fail(s, "it is no URL");
    } else if (ip_parse(s->parts.host, &ip) == 0) {
        ask_one_of(s, &ip, 1);
    } else if (!k->resolver && resolver_new(k->loop, &k->resolver, &err) < 0) {
        fail(s, err_text(&err));
    } else {
        AUTO_CHARS char *host = str_dup(s->parts.host);
        s->query = resolver_lookup(k->resolver, host, on_addresses, s);
    }
}

/* Takes the URL. In a turn of its own: the call that led here may not be over yet. */
static void begin_step(struct key_source *s, char *url)
{
    drop(s);
    s->url = url;
    loop_timer_set(s->timer, on_step, s);
    loop_timer_start(s->timer, 0);
}

/* ---- sources ---- */

char *key_sets_source(const json_t *rule)
{
    const char *uri = json_key_str(rule, "jwksUri"), *issuer = json_key_str(rule, "issuer");
    if (!str_empty(json_key_str(rule, "jwks")))
        return NULL;
    return !str_empty(uri) ? xstrdup(uri) : xasprintf(BY_ISSUER "%s", issuer ? issuer : "");
}

static struct key_source *find(const struct key_sets *k, const json_t *rule)
{
    AUTO_CHARS char *name = key_sets_source(rule);
    return name ? map_find_cstr(&k->sources, name) : NULL;
}

static void source_free(struct key_source *s)
{
    drop(s);
    http_client_free(s->over);
    loop_timer_free(s->timer);
    free(s->name);
    free(s->keys);
    free(s);
}

static uint64_t timeout_of(const json_t *rule)
{
    uint64_t ms = request_authentication_timeout_ms(rule, KEY_SET_TIMEOUT_MS);
    return MIN(MAX(ms, (uint64_t)TIMEOUT_MIN_MS), (uint64_t)TIMEOUT_MAX_MS);
}

void key_sets_begin(struct key_sets *k)
{
    void *s;
    for (size_t at = 0; map_next(&k->sources, &at, NULL, &s);)
        ((struct key_source *)s)->used = false;
}

void key_sets_use(struct key_sets *k, const json_t *rule)
{
    AUTO_CHARS char *name = key_sets_source(rule);
    struct key_source *s = name ? map_find_cstr(&k->sources, name) : NULL;
    if (s) {
        s->timeout_ms = s->used ? MAX(s->timeout_ms, timeout_of(rule)) : timeout_of(rule);
        s->used = true;
    }
    if (s || !name)
        return;
    if (k->sources.used >= KEY_SETS_MAX) {
        log_warn("too many key sets: one is not fetched, its tokens are refused",
                 kv_s("issuer", json_key_str(rule, "issuer")));
        return;
    }
    s = NEW(struct key_source);
    s->all = k;
    s->name = TAKE(name);
    s->used = true;
    s->timeout_ms = timeout_of(rule);
    s->timer = loop_timer_new(k->loop, on_begin, s);
    loop_timer_start(s->timer, 0);
    map_put_cstr(&k->sources, s->name, s);
}

void key_sets_end(struct key_sets *k)
{
    void *p;
    for (size_t at = 0; map_next(&k->sources, &at, NULL, &p);) {
        struct key_source *s = p;
        if (s->used)
            continue;
        map_remove_cstr(&k->sources, s->name);
        source_free(s);
    }
}

bool key_sets_settled(struct key_sets *k)
{
    void *s;
    for (size_t at = 0; !k->settled && map_next(&k->sources, &at, NULL, &s);)
        if (!((const struct key_source *)s)->keys && !((const struct key_source *)s)->failures)
            return false;
    k->settled = true;
    return true;
}

const char *key_sets_find(const struct key_sets *k, const json_t *rule)
{
    const struct key_source *s = k ? find(k, rule) : NULL;
    return s ? s->keys : NULL;
}

struct key_sets *key_sets_new(struct loop *l, const struct key_sets_options *o)
{
    struct key_sets *k = NEW(struct key_sets);
    k->loop = l;
    k->o = *o;
    return k;
}

void key_sets_free(struct key_sets *k)
{
    void *s;
    if (!k)
        return;
    for (size_t at = 0; map_next(&k->sources, &at, NULL, &s);)
        source_free(s);
    map_done(&k->sources);
    resolver_free(k->resolver);
    tls_context_unref(k->tls);
    free(k);
}
