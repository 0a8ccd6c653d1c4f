/* What becomes of a request on its way: mirrors, further tries, fields that are set, names of the
 * host; annotations into fields of a route. */
#include <ctype.h>

#include "model/ingress_auth.h"
#include "model/ingress_readers.h"
#include "model/ingress_value.h"

enum { TRIES_DEFAULT = 3, TRIES_MAX = 100, ALIASES_MAX = 256 };

/* ---- mirrors ---- */

/* "https://host:port" and "$request_uri", or nothing: a copy has the request's own path. */
const char *read_mirror_target(struct ingress_policy *p, const char *v)
{
    static const char why[] = "it must be http:// or https:// with a host, and $request_uri or "
                              "nothing behind it: copies have the request's path";
    struct str rest = str_from(v), port;
    bool tls = str_starts(rest, STR("https://"));
    uint64_t number = tls ? 443 : 80;
    if (!tls && !str_starts(rest, STR("http://")))
        return why;
    rest = str_sub(rest, tls ? 8 : 7, rest.n);
    if (str_ends(rest, STR("$request_uri")))
        rest.n -= strlen("$request_uri");
    else if (str_ends(rest, STR("${request_uri}")))
        rest.n -= strlen("${request_uri}");
    struct str host = str_cut(rest, ':', &port);
    AUTO_CHARS char *lower = str_dup(host);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (!str_is_dns1123_subdomain(str_from(lower)) ||
        (port.p && (str_to_u64(port, &number) < 0 || !number || number > 65535)))
        return why;
    free(p->steer.mirror.host);
    p->steer.mirror.host = TAKE(lower);
    p->steer.mirror.port = (uint16_t)number;
    p->steer.mirror.tls = tls;
    return NULL;
}

const char *read_mirror_host(struct ingress_policy *p, const char *v)
{
    return ingress_value_host(v, &p->steer.mirror.as_host);
}

const char *read_mirror_request_body(struct ingress_policy *p, const char *v)
{
    bool on = streq(v, "on");
    (void)p;
    if (!on && !streq(v, "off") && ingress_value_bool(v, &on))
        return "it must be on or off";
    return on ? NULL : "copies have the body of the request";
}

/* ---- further tries ---- */

static bool has_status(const struct route_retry *r, uint16_t status)
{
    for (uint32_t i = 0; i < r->n_statuses; i++)
        if (r->statuses[i] == status)
            return true;
    return false;
}

const char *read_proxy_next_upstream(struct ingress_policy *p, const char *v)
{
    static const struct {
        const char *word;
        uint32_t bit;
        uint16_t status;
    } words[] = {{"error", ROUTE_RETRY_ERROR, 0},
                 {"timeout", ROUTE_RETRY_TIMEOUT, 0},
                 {"invalid_header", ROUTE_RETRY_ERROR, 0},
                 {"non_idempotent", ROUTE_RETRY_ANY_METHOD, 0},
                 {"off", ROUTE_RETRY_OFF, 0},
                 {"http_403", 0, 403},
                 {"http_404", 0, 404},
                 {"http_429", 0, 429},
                 {"http_500", 0, 500},
                 {"http_502", 0, 502},
                 {"http_503", 0, 503},
                 {"http_504", 0, 504}};
    struct route_retry to = {.tries = p->steer.retry.tries, .within_s = p->steer.retry.within_s};
    struct str rest = str_from(v);
    bool any = false;
    while (rest.p) {
        struct str word = str_cut(rest, ' ', &rest);
        size_t i = 0;
        while (word.n && i < ARRAY_LEN(words) && !str_is(word, words[i].word))
            i++;
        if (!word.n)
            continue;
        if (i == ARRAY_LEN(words))
            return "it must be made of error, timeout, invalid_header, http_500, http_502, "
                   "http_503, http_504, http_403, http_404, http_429, non_idempotent, off";
        any = true;
        to.on |= words[i].bit;
        if (words[i].status && !has_status(&to, words[i].status))
            to.statuses[to.n_statuses++] = words[i].status;
    }
    if (!any)
        return "it must not be empty";
    p->steer.retry = to;
    return NULL;
}

const char *read_proxy_next_upstream_tries(struct ingress_policy *p, const char *v)
{
    const char *why = ingress_value_number(v, 0, TRIES_MAX, &p->steer.retry.tries);
    if (!why && !p->steer.retry.tries)
        p->steer.retry.tries = TRIES_MAX;
    return why;
}

const char *read_proxy_next_upstream_timeout(struct ingress_policy *p, const char *v)
{
    return ingress_value_number(v, 0, INGRESS_TIMEOUT_MAX_S, &p->steer.retry.within_s);
}

/* ---- fields and backends ---- */

const char *read_x_forwarded_prefix(struct ingress_policy *p, const char *v)
{
    return ingress_value_is_visible(v) && !strpbrk(v, "$\"'\\{};")
               ? ingress_value_keep(v, &p->steer.forwarded_prefix)
               : "it must be a value without blanks, quotes and variables";
}

const char *read_connection_proxy_header(struct ingress_policy *p, const char *v)
{
    (void)p;
    return streq(v, "keep-alive") ? NULL : "connections to endpoints are kept: only keep-alive";
}

const char *read_service_upstream(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->steer.to_service);
}

/* Paths keep their slash anyway. */
const char *read_preserve_trailing_slash(struct ingress_policy *p, const char *v)
{
    bool on;
    (void)p;
    return ingress_value_bool(v, &on);
}

/* ---- names of the host ---- */

const char *read_from_to_www_redirect(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->steer.www);
}

const char *read_ssl_passthrough(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->steer.passthrough);
}

static void aliases_done(struct ingress_steer *s)
{
    for (uint32_t i = 0; i < s->n_aliases; i++)
        free(s->aliases[i]);
    free(TAKE(s->aliases));
    s->n_aliases = 0;
}

const char *read_server_alias(struct ingress_policy *p, const char *v)
{
    struct ingress_steer to = {.aliases = xcalloc(ALIASES_MAX, sizeof(char *))};
    struct str rest = str_from(v);
    bool ok = true;
    while (rest.p && ok) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (!one.n && !rest.p && to.n_aliases)
            break; /* a last comma is nothing */
        char *name = str_dup(one);
        for (char *c = name; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        ok = to.n_aliases < ALIASES_MAX && !ingress_value_is_reserved(one) &&
             str_is_dns1123_subdomain(str_from(str_starts(one, STR("*.")) ? name + 2 : name));
        if (ok)
            to.aliases[to.n_aliases++] = name;
        else
            free(name);
    }
    if (!ok) {
        aliases_done(&to);
        return "it must be a list of host names, of which the first label may be an asterisk; "
               "expressions are not taken, nor names of " INGRESS_RESERVED_DOMAIN;
    }
    aliases_done(&p->steer);
    p->steer.aliases = to.aliases;
    p->steer.n_aliases = to.n_aliases;
    return NULL;
}

/* ---- custom-headers ---- */

const char *read_custom_headers(struct ingress_policy *p, const char *v)
{
    return ingress_value_keep(v, &p->steer.answer_map);
}

void ingress_steer_finish(struct ingress_policy *p, const struct ingress_object *i,
                          struct findings *f)
{
    AUTO_CHARS char *given = TAKE(p->steer.answer_map);
    p->steer.answer_map = given ? ingress_own_object(i, given) : NULL;
    if (given && !p->steer.answer_map)
        finding_add(f, FINDING_WARNING, "AnnotationInvalid", i->key,
                    "metadata.annotations[" INGRESS_NGINX_PREFIX "custom-headers]",
                    "give its name; one of another namespace cannot be used",
                    "it is no ConfigMap of this namespace: no fields are set");
}

/* ---- the whole ---- */

void ingress_steer_init(struct ingress_steer *s, bool nginx)
{
    s->retry.tries = TRIES_DEFAULT;
    s->retry.on = nginx ? ROUTE_RETRY_ERROR | ROUTE_RETRY_TIMEOUT : 0;
}

void ingress_steer_done(struct ingress_steer *s)
{
    aliases_done(s);
    free(s->mirror.host);
    free(s->mirror.as_host);
    free(s->forwarded_prefix);
    free(s->answer_map);
}

void ingress_steer_apply(const struct ingress_policy *p, struct route *r)
{
    const struct ingress_steer *s = &p->steer;
    r->retry = s->retry;
    r->upstream.to_service = s->to_service;
    if (s->mirror.host) {
        struct route_mirror *m = route_add_mirror(r);
        m->host = xstrdup(s->mirror.host);
        m->port = s->mirror.port;
        m->tls = s->mirror.tls;
        m->as_host = s->mirror.as_host ? xstrdup(s->mirror.as_host) : NULL;
    }
    if (s->forwarded_prefix && p->rewrite_target)
        route_set_field(&r->request_fields, "x-forwarded-prefix", s->forwarded_prefix);
}
