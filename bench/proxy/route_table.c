/* A route table read from the wire: whole, and with one host that is new among those of the table
 * before. Prints milliseconds. Usage: bench-route-table [HOSTS] */
#include <stdio.h>

#include "base/time.h"
#include "codec/pb.h"
#include "proxy/route.h"

enum { TIMES = 60 };

/* As control writes them, in short: a name, a domain, a prefix, a cluster, tries. */
static void add_host(struct buf *b, unsigned i, unsigned cluster)
{
    char text[64];
    size_t host = pb_begin(b, 2), route, part, retry;
    snprintf(text, sizeof(text), "i%u.example", i);
    pb_add_text(b, 1, text);
    pb_add_text(b, 2, text);
    route = pb_begin(b, 3);
    part = pb_begin(b, 1);
    pb_add_text(b, 1, "/");
    pb_end(b, part);
    part = pb_begin(b, 2);
    snprintf(text, sizeof(text), "outbound|80||s%u.default.svc.cluster.local", cluster);
    pb_add_text(b, 1, text);
    retry = pb_begin(b, 9);
    pb_add_text(b, 1, "connect-failure,refused-stream,reset-before-request");
    pb_end(b, retry);
    pb_end(b, part);
    pb_end(b, route);
    pb_end(b, host);
}

static struct route_table *read_table(struct str bytes, const struct route_table *before,
                                      double *ret_ms)
{
    AUTO_DONE(xds_report) struct xds_report report = {0};
    struct route_table *t = NULL;
    struct err err = {0};
    uint64_t begin = time_mono_us();
    if (route_table_read(bytes, before, &t, &report, &err) < 0)
        fprintf(stderr, "bench-route-table: %s\n", err_text(&err));
    *ret_ms = (double)(time_mono_us() - begin) / 1000;
    return t;
}

int main(int argc, char **argv)
{
    unsigned hosts = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 3000;
    struct route_table *before = NULL;
    double sum = 0, best = 0;
    for (unsigned k = 0; k <= TIMES; k++) {
        AUTO_DONE(buf) struct buf b = {0};
        double ms;
        pb_add_text(&b, 1, "t");
        for (unsigned i = 0; i < hosts; i++)
            add_host(&b, i, i == hosts / 2 ? k : i);
        struct route_table *t = read_table(buf_str(&b), before, &ms);
        if (!t)
            return 1;
        route_table_unref(before);
        before = t;
        if (!k) {
            printf("%u hosts, %zu bytes: whole %.2f ms\n", hosts, b.n, ms);
            continue;
        }
        sum += ms;
        best = best > 0 && best < ms ? best : ms;
    }
    route_table_unref(before);
    printf("one is new: mean %.2f ms, best %.2f ms\n", sum / TIMES, best);
    return 0;
}
