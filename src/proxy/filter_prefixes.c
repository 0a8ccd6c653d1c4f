#include "proxy/filter_prefixes.h"

#include <errno.h>

int filter_prefixes_compile(struct filter_compile *c, const char *field,
                            Envoy__Config__Core__V3__CidrRange *const *m, size_t n,
                            struct filter_prefixes *ret)
{
    ret->v = arena_alloc(c->a, n * sizeof(*ret->v));
    if (!ret->v)
        return -ENOMEM;
    for (; ret->n < n; ret->n++) {
        struct prefix *p = &ret->v[ret->n];
        uint32_t len = m[ret->n]->prefix_len ? m[ret->n]->prefix_len->value : 0;
        if (ip_parse(str_from(m[ret->n]->address_prefix), &p->ip) < 0 || len > ip_bytes(&p->ip) * 8)
            return pb_path_fail(c->path, c->err, -EINVAL, "%s[%zu]: no prefix", field, ret->n);
        p->len = (uint8_t)len;
        p->ip = prefix_network(p);
    }
    return 0;
}

bool filter_prefixes_have(const struct filter_prefixes *p, const struct ip *ip)
{
    for (size_t i = 0; i < p->n; i++)
        if (prefix_contains(&p->v[i], ip))
            return true;
    return false;
}
