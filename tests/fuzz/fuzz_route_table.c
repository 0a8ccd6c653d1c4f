/* fuzz-layer: proxy
 * Two route tables as a management server sends them, one behind the other; the first two bytes say
 * where the second begins. What the second makes of the first's hosts is what it is by itself. */
#include <errno.h>
#include <stdlib.h>

#include "proxy/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_table(struct str bytes, const struct route_table *before, struct route_table **ret,
                      struct err *reterr)
{
    AUTO_DONE(xds_report) struct xds_report report = {0};
    return route_table_read(bytes, before, ret, &report, reterr);
}

static void same_host(const struct route_host *a, const struct route_host *b)
{
    if (!str_eq(a->name, b->name) || a->n_routes != b->n_routes || a->n_domains != b->n_domains)
        abort();
    for (size_t i = 0; i < a->n_routes; i++)
        if (a->routes[i].kind != b->routes[i].kind ||
            !str_eq(a->routes[i].name, b->routes[i].name) ||
            a->routes[i].keeps_fields != b->routes[i].keeps_fields)
            abort();
}

static void same_table(const struct route_table *a, const struct route_table *b)
{
    if (a->n_hosts != b->n_hosts || a->clusters.used != b->clusters.used)
        abort();
    for (size_t i = 0; i < a->n_hosts; i++) {
        same_host(a->hosts[i], b->hosts[i]);
        for (size_t k = 0; k < a->hosts[i]->n_domains; k++) {
            struct str domain = a->hosts[i]->domains[k];
            if (!route_table_host(a, domain) != !route_table_host(b, domain))
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct route_table *before = NULL, *after = NULL, *alone = NULL;
    struct err first = {0}, second = {0};
    if (size < 2)
        return 0;
    struct str rest = str_of(data + 2, size - 2);
    size_t n = MIN((size_t)data[0] << 8 | data[1], rest.n);
    IGNORE_RESULT(read_table(str_sub(rest, 0, n), NULL, &before, &first));
    int r = read_table(str_sub(rest, n, rest.n), before, &after, &first);
    int by_itself = read_table(str_sub(rest, n, rest.n), NULL, &alone, &second);
    if (r == 0 && by_itself == 0)
        same_table(after, alone);
    else if (r != by_itself && r != -ENOMEM && by_itself != -ENOMEM)
        abort();
    route_table_unref(before);
    route_table_unref(after);
    route_table_unref(alone);
    return 0;
}
