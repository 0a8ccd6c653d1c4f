/* How long answers of an auth server are remembered, and by what. */
#include <ctype.h>

#include "model/ingress_readers.h"

enum { REMEMBERED_MAX_S = 24 * 3600 };

const char *read_auth_cache_key(struct ingress_policy *p, const char *value)
{
    struct route_auth_request *r = &p->guard->request;
    return ingress_read_keys(value, &r->keys, &r->n_keys);
}

/* "1h30m", "45" (seconds). False: none, or too long. */
static bool read_time(struct str s, uint32_t *ret)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1},         {"s", 1000},        {"m", 60 * 1000}, {"h", 3600 * 1000},
                 {"d", 86400000ul}, {"w", 604800000ul}, {"", 1000}};
    uint64_t all = 0;
    bool any = s.n > 0;
    while (s.n) {
        uint64_t n;
        size_t digits = 0, end, u = 0;
        while (digits < s.n && isdigit((unsigned char)s.p[digits]))
            digits++;
        for (end = digits; end < s.n && isalpha((unsigned char)s.p[end]);)
            end++;
        while (u < ARRAY_LEN(units) && !str_is(str_sub(s, digits, end), units[u].unit))
            u++;
        if (u == ARRAY_LEN(units) || str_to_u64(str_sub(s, 0, digits), &n) < 0 ||
            n > REMEMBERED_MAX_S * 1000ul)
            return false;
        all += n * units[u].ms;
        if (all > REMEMBERED_MAX_S * 1000ul)
            return false;
        s = str_sub(s, end, s.n);
    }
    *ret = (uint32_t)(all / 1000);
    return any;
}

static bool add_status(struct str word, struct route_auth_request *r, uint32_t from)
{
    uint64_t status;
    if (str_to_u64(word, &status) < 0 || status < 200 || status > 599 ||
        r->n_remembered == ROUTE_REMEMBERED_MAX)
        return false;
    for (uint32_t i = 0; i < from; i++) /* the first time that is said for it counts */
        if (r->remembered[i].status == status)
            return true;
    r->remembered[r->n_remembered++] = (struct route_remembered){(uint16_t)status, 0};
    return true;
}

/* "200 202 5m"; a time alone is of 200, 301 and 302, as in nginx. */
static bool read_times(struct str s, struct route_auth_request *r)
{
    const uint32_t from = r->n_remembered;
    uint32_t seconds = 0;
    bool any = false;
    for (;;) {
        struct str word = str_cut(s, ' ', &s);
        bool last = !s.p || !str_trim(s).n;
        if (last) {
            if (!any)
                any = add_status(STR("200"), r, from);
            if (!read_time(word, &seconds))
                return false;
            break;
        }
        if (word.n && !add_status(word, r, from))
            return false;
        any = any || word.n;
    }
    for (uint32_t i = from; i < r->n_remembered; i++)
        r->remembered[i].seconds = seconds;
    return any;
}

const char *read_auth_cache_duration(struct ingress_policy *p, const char *value)
{
    struct route_auth_request *r = &p->guard->request, read = {0};
    struct str rest = str_from(value);
    while (rest.p) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (one.n && !read_times(one, &read))
            return "it must be a list of statuses and times, such as 200 202 401 5m, with commas "
                   "between them; at most a day, at most 16 statuses";
    }
    memcpy(r->remembered, read.remembered, sizeof(r->remembered));
    r->n_remembered = read.n_remembered;
    return NULL;
}

void ingress_auth_cache_finish(struct ingress_policy *p)
{
    struct route_auth_request *r = &p->guard->request;
    if (r->n_keys && !r->n_remembered)
        (void)read_auth_cache_duration(p, "200 202 401 5m");
}
