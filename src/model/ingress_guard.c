/* What is taken is what ingress-nginx 1.15 was seen to take. */
#include "model/ingress_guard.h"

#include "base/vec.h"

enum {
    PREFIXES_MAX = 1000,
    LIMIT_MAX = 1000000,
    BURST_MAX = 1000,
    BURST = 5, /* of ingress-nginx, where nothing is said */
};

/* ---- addresses ---- */

static bool read_prefix(struct str s, struct prefix *ret)
{
    if (prefix_parse(s, ret) == 0) {
        ret->ip = prefix_network(ret);
        return true;
    }
    ret->len = (uint8_t)(str_contains(s, STR(":")) ? 128 : 32);
    return ip_parse(s, &ret->ip) == 0;
}

static bool is_blank(const char *value)
{
    return str_trim(str_from(value)).n == 0;
}

/* "10.0.0.0/8, 192.0.2.1"; empty: none. */
static const char *read_prefixes(const char *value, struct route_prefixes *ret)
{
    VEC(struct prefix) list = {0};
    struct str rest = str_from(value);
    bool ok = true;
    while (ok && rest.p && !is_blank(value)) {
        struct prefix p;
        ok = read_prefix(str_trim(str_cut(rest, ',', &rest)), &p) && list.n < PREFIXES_MAX;
        if (ok)
            vec_push(&list, p);
    }
    if (!ok) {
        vec_done(&list);
        return "it must be a list of at most 1000 addresses or prefixes, such as 10.0.0.0/8, "
               "with commas between them";
    }
    free(ret->v);
    *ret = (struct route_prefixes){list.v, (uint32_t)list.n};
    return NULL;
}

/* The newer name counts before the older one, in whichever order they come. */
const char *read_allow_source_range(struct ingress_policy *p, const char *value)
{
    p->has_allowlist = true;
    return read_prefixes(value, &p->guard->addresses.allow);
}

static const char *read_unless(bool newer, const char *value, struct route_prefixes *ret)
{
    struct route_prefixes ignored = {0};
    const char *why = read_prefixes(value, newer ? &ignored : ret);
    free(ignored.v);
    return why;
}

const char *read_whitelist_source_range(struct ingress_policy *p, const char *value)
{
    return read_unless(p->has_allowlist, value, &p->guard->addresses.allow);
}

const char *read_denylist_source_range(struct ingress_policy *p, const char *value)
{
    return read_prefixes(value, &p->guard->addresses.deny);
}

/* ---- sizes ---- */

/* A number of bytes, or of k, m or g; a blank may follow. */
static const char *read_size(const char *value, uint64_t *ret)
{
    struct str s = str_from(value);
    uint64_t n;
    unsigned shift = 0;
    while (s.n && s.p[s.n - 1] == ' ')
        s.n--;
    if (s.n && strchr("kKmMgG", s.p[s.n - 1])) {
        char unit = (char)(s.p[--s.n] | 32);
        shift = unit == 'k' ? 10 : unit == 'm' ? 20 : 30;
    }
    if (str_to_u64(s, &n) < 0 || n > (UINT64_MAX >> 1) >> shift)
        return "it must be a number of bytes, or one followed by k, m or g; 0 is no limit";
    *ret = n << shift;
    return NULL;
}

const char *read_proxy_body_size(struct ingress_policy *p, const char *value)
{
    return read_size(value, &p->guard->body_max_bytes);
}

/* ---- limits ---- */

/* A whole number; what is not above 0 is no limit. */
static const char *read_limit(const char *value, uint32_t *ret)
{
    int64_t n;
    if (str_to_i64(str_from(value), &n) < 0 || n > LIMIT_MAX)
        return "it must be a whole number up to 1000000; 0 is no limit";
    *ret = n > 0 ? (uint32_t)n : 0;
    return NULL;
}

const char *read_limit_connections(struct ingress_policy *p, const char *value)
{
    return read_limit(value, &p->guard->limits.concurrent);
}

const char *read_limit_rpm(struct ingress_policy *p, const char *value)
{
    return read_limit(value, &p->guard->limits.per_minute);
}

const char *read_limit_rps(struct ingress_policy *p, const char *value)
{
    return read_limit(value, &p->guard->limits.per_second);
}

const char *read_limit_burst_multiplier(struct ingress_policy *p, const char *value)
{
    uint64_t n;
    if (str_to_u64(str_from(value), &n) < 0 || n < 1 || n > BURST_MAX)
        return "it must be a whole number from 1 to 1000";
    p->guard->limits.burst = (uint32_t)n;
    return NULL;
}

const char *read_limit_allowlist(struct ingress_policy *p, const char *value)
{
    p->has_limit_allowlist = true;
    return read_prefixes(value, &p->guard->limits.exempt);
}

const char *read_limit_whitelist(struct ingress_policy *p, const char *value)
{
    return read_unless(p->has_limit_allowlist, value, &p->guard->limits.exempt);
}

void ingress_guard_finish(struct ingress_policy *p, const struct ingress_object *i)
{
    struct route_limits *l = &p->guard->limits;
    if (!l->burst)
        l->burst = BURST;
    if (l->concurrent || l->per_minute || l->per_second)
        l->key = xstrdup(i->key);
}
