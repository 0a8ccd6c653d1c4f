/* What is taken is what ingress-nginx 1.15 was seen to take. */
#include "model/ingress_guard.h"

#include "base/vec.h"

enum { PREFIXES_MAX = 1000 };

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

const char *read_whitelist_source_range(struct ingress_policy *p, const char *value)
{
    struct route_prefixes ignored = {0};
    const char *why =
        read_prefixes(value, p->has_allowlist ? &ignored : &p->guard->addresses.allow);
    free(ignored.v);
    return why;
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
