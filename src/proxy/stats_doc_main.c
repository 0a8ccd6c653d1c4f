/* Prints docs/stats.md from stats.def; --check FILE compares instead. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "proxy/stats.h"

static const char head[] =
    "# Statistics\n"
    "Written by `stats_doc` from the table `src/proxy/stats.def`; a test compares. Do not edit: "
    "change the table and run `build/tests/stats_doc > docs/stats.md`.\n\n"
    "The admin interface shows them: `/stats` (plain; `?format=json`, `?format=prometheus`), "
    "`/stats/prometheus`. `?usedonly` leaves out what is 0, `?filter=REGEX` what does not match in "
    "a part of its plain name, `?type=Counters|Gauges|Histograms` the others. POST "
    "`/reset_counters` lets counters, not gauges and histograms, begin again.\n\n"
    "Names are Envoy's. Prometheus' are `envoy_` and the part of the name that is the same "
    "everywhere, with `_` for what is no letter or digit; what differs is a label: "
    "`cluster.NAME.upstream_rq_503` is "
    "`envoy_cluster_upstream_rq{envoy_response_code=\"503\",envoy_cluster_name=\"NAME\"}`, "
    "`http.PREFIX.downstream_rq_2xx` is "
    "`envoy_http_downstream_rq_xx{envoy_response_code_class=\"2\","
    "envoy_http_conn_manager_prefix=\"PREFIX\"}`. **The label is the whole name, with its dots** "
    "(Envoy's own rules end it at the first one).\n\n"
    "A cluster, listener or prefix keeps its statistics when its configuration changes, and loses "
    "them when it goes. Times are whole milliseconds; quantiles of the plain form are estimated "
    "from the buckets "
    "(0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 "
    "3600000).\n";

static const char *const titles[_STATS_KINDS] = {
    [STATS_SERVER] = "The program",
    [STATS_LISTENER] = "listener.ADDRESS. (or its `stat_prefix`)",
    [STATS_LISTENER_HTTP] = "listener.ADDRESS.http.STAT_PREFIX.",
    [STATS_HTTP] = "http.STAT_PREFIX.",
    [STATS_TCP] = "tcp.STAT_PREFIX.",
    [STATS_RATE_LIMIT] = "STAT_PREFIX.http_local_rate_limit.",
    [STATS_CLUSTER] = "cluster.NAME. (or its `alt_stat_name`)",
};
static const char *const types[] = {[STATS_COUNTER] = "counter",
                                    [STATS_GAUGE] = "gauge",
                                    [STATS_VALUE] = "gauge",
                                    [STATS_TIMES] = "histogram",
                                    [STATS_CODES] = "counter"};

static void print_all(struct buf *b)
{
    buf_add_cstr(b, head);
    for (unsigned k = 0; k < _STATS_KINDS; k++) {
        size_t n;
        const struct stats_row *rows = stats_rows((enum stats_kind)k, &n);
        buf_addf(b, "\n## %s\n| name | type | of | what |\n|---|---|---|---|\n", titles[k]);
        for (size_t i = 0; i < n; i++)
            buf_addf(b, "| " STR_FMT "%s | %s | %s | %s |\n", STR_ARG(rows[i].name),
                     rows[i].type == STATS_CODES ? "CODE" : "", types[rows[i].type], rows[i].unit,
                     rows[i].text);
    }
}

static bool is_same(const char *path, struct str text)
{
    char part[4096];
    size_t at = 0;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, part, sizeof(part))) > 0) {
        if (at + (size_t)n > text.n || memcmp(part, text.p + at, (size_t)n) != 0)
            break;
        at += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    return at == text.n;
}

int main(int argc, char **argv)
{
    AUTO_DONE(buf) struct buf b = {0};
    print_all(&b);
    if (argc == 3 && streq(argv[1], "--check")) {
        if (is_same(argv[2], buf_str(&b)))
            return 0;
        fprintf(stderr, "%s is not what the table says: run %s > %s\n", argv[2], argv[0], argv[2]);
        return 1;
    }
    return fwrite(b.p, 1, b.n, stdout) == b.n ? 0 : 1;
}
