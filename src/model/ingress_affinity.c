/* Affinity by cookie, balancing by a hash or by load: annotations into fields of a route. */
#include <ctype.h>

#include "model/ingress_readers.h"
#include "model/ingress_value.h"

#define NAME_DEFAULT "INGRESSCOOKIE"

enum { HASH_KEYS_MAX = 8 };

static bool is_one_of(const char *v, const char *yes, const char *no, bool *ret)
{
    if (!streq(v, yes) && !streq(v, no))
        return false;
    *ret = streq(v, yes);
    return true;
}

const char *read_affinity(struct ingress_policy *p, const char *v)
{
    if (!streq(v, "cookie"))
        return "it must be cookie";
    p->affinity.on = true;
    return NULL;
}

const char *read_affinity_mode(struct ingress_policy *p, const char *v)
{
    return is_one_of(v, "persistent", "balanced", &p->affinity.persistent)
               ? NULL
               : "it must be balanced or persistent";
}

const char *read_affinity_canary_behavior(struct ingress_policy *p, const char *v)
{
    return is_one_of(v, "legacy", "sticky", &p->affinity.cookie.canary_anew)
               ? NULL
               : "it must be sticky or legacy";
}

const char *read_session_cookie_name(struct ingress_policy *p, const char *v)
{
    return ingress_value_is_token(str_from(v)) ? ingress_value_keep(v, &p->affinity.cookie.name)
                                               : "it must be a cookie's name";
}

/* Fit to stand in a Set-Cookie. */
static bool is_cookie_path(const char *v)
{
    for (const char *c = v; *c; c++)
        if ((unsigned char)*c >= 0x7f || *c == '"')
            return false;
    return *v == '/' && ingress_value_is_visible(v) && !strpbrk(v, ";,?#");
}

const char *read_session_cookie_path(struct ingress_policy *p, const char *v)
{
    return is_cookie_path(v) ? ingress_value_keep(v, &p->affinity.cookie.path)
                             : "it must be a path that begins with /, without ; , ? and #";
}

const char *read_session_cookie_domain(struct ingress_policy *p, const char *v)
{
    for (const char *c = v; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-')
            return "it must be a domain";
    return *v ? ingress_value_keep(v, &p->affinity.cookie.domain) : "it must not be empty";
}

const char *read_session_cookie_secure(struct ingress_policy *p, const char *v)
{
    bool on = false;
    const char *why = ingress_value_bool(v, &on);
    if (!why)
        p->affinity.cookie.secure = on ? ROUTE_SECURE_ALWAYS : ROUTE_SECURE_NEVER;
    return why;
}

const char *read_session_cookie_samesite(struct ingress_policy *p, const char *v)
{
    static const char *const values[] = {"None", "Lax", "Strict"};
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (streq(v, values[i])) {
            p->affinity.cookie.same_site = values[i];
            return NULL;
        }
    return "it must be None, Lax or Strict";
}

const char *read_session_cookie_conditional_samesite_none(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->affinity.cookie.none_by_browser);
}

const char *read_session_cookie_max_age(struct ingress_policy *p, const char *v)
{
    return ingress_value_number(v, 0, INT32_MAX, &p->affinity.cookie.max_age_s);
}

const char *read_session_cookie_expires(struct ingress_policy *p, const char *v)
{
    return ingress_value_number(v, 0, INT32_MAX, &p->affinity.expires_s);
}

const char *read_session_cookie_change_on_failure(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->affinity.changes);
}

const char *read_load_balance(struct ingress_policy *p, const char *v)
{
    return is_one_of(v, "ewma", "round_robin", &p->affinity.by_load)
               ? NULL
               : "it must be round_robin or ewma";
}

/* ---- upstream-hash-by ---- */

static bool is_variable_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "http_x_user" to the field "x-user", "arg_id", "cookie_sid" to their names. */
static bool read_variable(struct str name, struct route_key *ret)
{
    static const struct {
        const char *name;
        enum route_key_kind kind;
    } whole[] = {{"request_uri", ROUTE_KEY_URI},     {"uri", ROUTE_KEY_PATH},
                 {"host", ROUTE_KEY_HOST},           {"http_host", ROUTE_KEY_HOST},
                 {"remote_addr", ROUTE_KEY_ADDRESS}, {"binary_remote_addr", ROUTE_KEY_ADDRESS}},
      begun[] = {
          {"arg_", ROUTE_KEY_QUERY}, {"cookie_", ROUTE_KEY_COOKIE}, {"http_", ROUTE_KEY_HEADER}};
    if (str_is(name, "remote_user")) { /* with the password: who has none is nobody */
        *ret = (struct route_key){ROUTE_KEY_HEADER, xstrdup("authorization")};
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        if (str_is(name, whole[i].name)) {
            *ret = (struct route_key){whole[i].kind, NULL};
            return true;
        }
    for (size_t i = 0; i < ARRAY_LEN(begun); i++) {
        struct str prefix = str_from(begun[i].name);
        if (!str_starts(name, prefix) || name.n == prefix.n)
            continue;
        *ret = (struct route_key){begun[i].kind, str_dup(str_sub(name, prefix.n, name.n))};
        for (char *c = ret->name; *c && ret->kind == ROUTE_KEY_HEADER; c++)
            *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
        return true;
    }
    return false;
}

/* "$a", "${a}"; text between them is the same for all requests. False: it is none of those. */
static bool next_variable(struct str *rest, struct str *ret)
{
    const char *dollar = memchr(rest->p, '$', rest->n);
    if (!dollar) {
        rest->n = 0;
        ret->p = NULL;
        return true;
    }
    *rest = str_sub(*rest, (size_t)(dollar - rest->p) + 1, rest->n);
    bool braces = rest->n && *rest->p == '{';
    if (braces)
        *rest = str_sub(*rest, 1, rest->n);
    size_t n = 0;
    while (n < rest->n && is_variable_char(rest->p[n]))
        n++;
    *ret = str_sub(*rest, 0, n);
    if (braces && (n == rest->n || rest->p[n] != '}'))
        return false;
    *rest = str_sub(*rest, n + braces, rest->n);
    return n > 0;
}

const char *ingress_read_keys(const char *v, struct route_key **ret, uint32_t *ret_n)
{
    static const char why[] =
        "it must be made of $request_uri, $uri, $host, $remote_addr, $remote_user, "
        "$arg_NAME, $cookie_NAME and $http_NAME, at most eight";
    struct route_key *keys = xcalloc(HASH_KEYS_MAX, sizeof(*keys));
    uint32_t n = 0;
    struct str rest = str_from(v), name;
    bool ok = ingress_value_is_visible(v) && !strpbrk(v, "\"'\\;");
    while (ok && rest.n) {
        ok = next_variable(&rest, &name);
        if (ok && name.p)
            ok = n < HASH_KEYS_MAX && read_variable(name, &keys[n]) && ++n;
    }
    if (!ok || !n) {
        route_keys_free(keys, n);
        return why;
    }
    route_keys_free(*ret, *ret_n);
    *ret = keys;
    *ret_n = n;
    return NULL;
}

const char *read_upstream_hash_by(struct ingress_policy *p, const char *v)
{
    return ingress_read_keys(v, &p->affinity.keys, &p->affinity.n_keys);
}

/* ---- the whole ---- */

void ingress_affinity_init(struct ingress_affinity *a)
{
    a->cookie.name = xstrdup(NAME_DEFAULT);
}

void ingress_affinity_done(struct ingress_affinity *a)
{
    route_keys_free(a->keys, a->n_keys);
    free(a->cookie.name);
    free(a->cookie.path);
    free(a->cookie.domain);
}

/* A change of the cookie at a failure means that it names an endpoint. Of Expires and Max-Age
 * browsers heed the latter. */
static void apply_cookie(const struct ingress_affinity *a, struct route *r)
{
    bool own = !a->cookie.path && r->path.kind != ROUTE_PATH_REGEX && is_cookie_path(r->path.text);
    r->affinity = a->cookie;
    r->affinity.name = xstrdup(a->cookie.name);
    r->affinity.path = xstrdup(a->cookie.path ? a->cookie.path : own ? r->path.text : "/");
    r->affinity.domain = a->cookie.domain ? xstrdup(a->cookie.domain) : NULL;
    r->affinity.endpoint = a->persistent || a->changes;
    if (!r->affinity.max_age_s)
        r->affinity.max_age_s = a->expires_s;
    if (!r->affinity.endpoint)
        r->upstream.balance = ROUTE_BALANCE_HASH;
}

void ingress_affinity_apply(const struct ingress_affinity *a, struct route *r)
{
    if (a->by_load)
        r->upstream.balance = ROUTE_BALANCE_LOAD;
    if (a->on) {
        apply_cookie(a, r);
        return;
    }
    if (!a->n_keys)
        return;
    r->upstream.balance = ROUTE_BALANCE_HASH;
    r->keys = xcalloc(a->n_keys, sizeof(*r->keys));
    for (; r->n_keys < a->n_keys; r->n_keys++) {
        const struct route_key *k = &a->keys[r->n_keys];
        r->keys[r->n_keys] = (struct route_key){k->kind, k->name ? xstrdup(k->name) : NULL};
    }
}
