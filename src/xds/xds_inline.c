/* On the wire: the table's fields as they are, but for `vhds`, and a field of virtual_hosts for
 * each host. */
#include "xds/xds_inline.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/pb.h"

enum {
    TABLE_HOSTS = 2, /* RouteConfiguration.virtual_hosts */
    TABLE_VHDS = 9,
    HOST_DOMAINS = 2, /* VirtualHost */
};

/* A mark; what is in the set. */
static char seen;

static bool has_domain(struct str host, const struct map *domains, bool want)
{
    struct pb_field f;
    while (pb_next(&host, &f) > 0)
        if (f.number == HOST_DOMAINS && f.wire == PB_BYTES &&
            (map_find(domains, f.bytes) != NULL) == want)
            return true;
    return false;
}

static void add_field(struct buf *to, const struct pb_field *f)
{
    if (f->wire == PB_BYTES)
        pb_add_bytes(to, (unsigned)f->number, f->bytes);
    else if (f->wire == PB_VARINT)
        pb_add_uint(to, (unsigned)f->number, f->value);
}

/* Without the domains that are taken. */
static void add_host(struct buf *to, struct str host, struct map *domains)
{
    struct pb_field f;
    if (!has_domain(host, domains, false))
        return; /* none is left */
    size_t at = pb_begin(to, TABLE_HOSTS);
    while (pb_next(&host, &f) > 0) {
        bool domain = f.number == HOST_DOMAINS && f.wire == PB_BYTES;
        if (domain && map_find(domains, f.bytes))
            continue;
        if (domain)
            map_put(domains, f.bytes, &seen);
        add_field(to, &f);
    }
    pb_end(to, at);
}

static int by_name(const void *a, const void *b)
{
    const struct xds_entry *x = *(struct xds_entry *const *)a, *y = *(struct xds_entry *const *)b;
    int d = memcmp(x->name.p, y->name.p, MIN(x->name.n, y->name.n));
    return d ? d : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

static void add_hosts_of(const struct xds_set *set, struct str table, struct buf *to,
                         struct map *domains)
{
    VEC(struct xds_entry *) hosts = {0};
    struct xds_entry *e;
    for (struct xds_iter i = {0}; xds_set_next(set, XDS_HOST, &i, &e);)
        if (str_eq(xds_host_table(e->name), table))
            vec_push(&hosts, e);
    if (hosts.n)
        qsort(hosts.v, hosts.n, sizeof(*hosts.v), by_name);
    VEC_FOREACH (h, &hosts)
        add_host(to, (*h)->message, domains);
    vec_done(&hosts);
}

struct xds_entry *xds_inline_hosts(const struct xds_set *set, struct xds_entry *table)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct map domains = {0};
    struct str rest = table->message;
    struct pb_field f;
    bool by_themselves = false;
    while (pb_next(&rest, &f) > 0) {
        if (f.number == TABLE_VHDS)
            by_themselves = true;
        else if (f.number == TABLE_HOSTS && f.wire == PB_BYTES)
            add_host(&b, f.bytes, &domains);
        else
            add_field(&b, &f);
    }
    if (by_themselves)
        add_hosts_of(set, table->name, &b, &domains);
    map_done(&domains);
    ASSERT(!b.failed);
    return by_themselves ? xds_entry_new(XDS_ROUTE, table->name, buf_str(&b), STR(""))
                         : xds_entry_ref(table);
}
