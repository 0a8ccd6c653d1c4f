/* The pages of statistics. Plain and JSON go set by set, first the numbers and then the histograms;
 * Prometheus wants all series of a name together, and goes row by row. */
#include "proxy/stats_page.h"

#include <stdio.h>

#include "base/assert.h"
#include "codec/json.h"
#include "proxy/mesh_stats.h"

enum { STEPS = 4096 }; /* statistics looked at in one call */

static const char *const text_intro[_STATS_KINDS] = {[STATS_SERVER] = "",
                                                     [STATS_LISTENER] = "listener.",
                                                     [STATS_LISTENER_HTTP] = "listener.",
                                                     [STATS_HTTP] = "http.",
                                                     [STATS_TCP] = "tcp.",
                                                     [STATS_RATE_LIMIT] = "",
                                                     [STATS_CLUSTER] = "cluster."};
static const char *const family_intro[_STATS_KINDS] = {[STATS_SERVER] = "",
                                                       [STATS_LISTENER] = "listener_",
                                                       [STATS_LISTENER_HTTP] = "listener_http_",
                                                       [STATS_HTTP] = "http_",
                                                       [STATS_TCP] = "tcp_",
                                                       [STATS_RATE_LIMIT] =
                                                           "http_local_rate_limit_",
                                                       [STATS_CLUSTER] = "cluster_"};
static const char *const name_label[_STATS_KINDS] = {
    [STATS_LISTENER] = "envoy_listener_address",
    [STATS_LISTENER_HTTP] = "envoy_listener_address",
    [STATS_HTTP] = "envoy_http_conn_manager_prefix",
    [STATS_TCP] = "envoy_tcp_prefix",
    [STATS_RATE_LIMIT] = "envoy_local_http_ratelimit_prefix",
    [STATS_CLUSTER] = "envoy_cluster_name"};

struct stats_page {
    struct stats_page_options options;
    struct stats_values values;
    struct stats_sets sets;
    struct mesh_page *mesh; /* Prometheus */
    /* Where it stands. */
    bool begun;
    bool histograms; /* the second pass, of plain and JSON */
    unsigned kind;   /* Prometheus */
    size_t row;
    size_t set;
    bool comma;       /* something stands before, in JSON */
    char family[160]; /* Prometheus: what the last # TYPE said */
    struct buf name;  /* scratch */
};

struct stats_page *stats_page_new(const struct stats_page_options *o, struct proxy_config *c,
                                  const struct stats_program *program)
{
    struct stats_page *p = NEW(struct stats_page);
    p->options = *o;
    stats_values_init(&p->values, c, program);
    stats_list(&p->sets);
    if (o->format == STATS_PROMETHEUS)
        p->mesh = mesh_page_new();
    return p;
}

void stats_page_free(struct stats_page *p)
{
    if (!p)
        return;
    stats_list_done(&p->sets);
    mesh_page_free(p->mesh);
    stats_values_done(&p->values);
    regex_free(p->options.filter);
    buf_done(&p->name);
    free(p);
}

/* ---- values ---- */

static uint64_t number(const struct stats_page *p, const struct stats_set *s,
                       const struct stats_row *row)
{
    return row->type == STATS_VALUE ? stats_value(&p->values, s, row->at) : stats_sum(s, row->at);
}

struct histogram {
    uint64_t upto[STATS_BOUNDS + 1]; /* cumulative */
    uint64_t sum_ms;
};

static uint64_t read_histogram(const struct stats_set *s, unsigned at, struct histogram *h)
{
    uint64_t n = 0;
    for (unsigned i = 0; i <= STATS_BOUNDS; i++)
        h->upto[i] = n += stats_sum(s, at + i);
    h->sum_ms = stats_sum(s, at + STATS_BOUNDS + 1);
    return n;
}

/* Within its bucket as if they lay evenly in it. */
static double quantile(const struct histogram *h, double q)
{
    double wanted = q * (double)h->upto[STATS_BOUNDS];
    for (unsigned i = 0; i < STATS_BOUNDS; i++) {
        uint64_t before = i ? h->upto[i - 1] : 0;
        if (h->upto[i] == before || (double)h->upto[i] < wanted)
            continue;
        double from = i ? stats_bounds_tenths[i - 1] / 10.0 : 0;
        double part = (wanted - (double)before) / (double)(h->upto[i] - before);
        return from + (stats_bounds_tenths[i] / 10.0 - from) * MAX(part, 0.0);
    }
    return stats_bounds_tenths[STATS_BOUNDS - 1] / 10.0;
}

static const double quantiles[] = {0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100};

/* ---- names ---- */

static void write_name(struct stats_page *p, const struct stats_set *s, const struct stats_row *row,
                       unsigned code)
{
    struct buf *b = &p->name;
    buf_clear(b);
    buf_add_cstr(b, text_intro[s->kind]);
    if (s->kind != STATS_SERVER) {
        buf_add_cstr(b, s->name);
        buf_add_char(b, '.');
    }
    if (s->kind == STATS_LISTENER_HTTP)
        buf_addf(b, "http.%s.", s->name2);
    if (s->kind == STATS_RATE_LIMIT)
        buf_add_cstr(b, "http_local_rate_limit.");
    buf_add_str(b, row->name);
    if (code)
        buf_addf(b, "%u", code);
}

static bool is_wanted(struct stats_page *p, const struct stats_set *s, const struct stats_row *row,
                      unsigned code)
{
    if (p->options.format != STATS_PROMETHEUS || p->options.filter)
        write_name(p, s, row, code);
    return !p->options.filter || regex_matches_all(p->options.filter, buf_str(&p->name));
}

/* ---- plain and JSON ---- */

static void separate(struct stats_page *p, struct buf *to)
{
    if (p->comma)
        buf_add_char(to, ',');
    p->comma = true;
}

static void put_number(struct stats_page *p, const struct stats_set *s, const struct stats_row *row,
                       unsigned code, uint64_t n, struct buf *to)
{
    if ((p->options.used_only && !n) || !is_wanted(p, s, row, code))
        return;
    if (p->options.format == STATS_TEXT) {
        buf_add_str(to, buf_str(&p->name));
        buf_addf(to, ": %llu\n", (unsigned long long)n);
        return;
    }
    separate(p, to);
    buf_add_cstr(to, "{\"name\":");
    json_write_string(to, buf_str(&p->name));
    buf_addf(to, ",\"value\":%llu}", (unsigned long long)n);
}

static void put_histogram(struct stats_page *p, const struct stats_set *s,
                          const struct stats_row *row, struct buf *to)
{
    struct histogram h;
    uint64_t n = read_histogram(s, row->at, &h);
    bool json = p->options.format == STATS_JSON;
    if ((p->options.used_only && !n) || !is_wanted(p, s, row, 0))
        return;
    if (json) {
        separate(p, to);
        buf_add_cstr(to, "{\"name\":");
        json_write_string(to, buf_str(&p->name));
        buf_add_cstr(to, ",\"values\":[");
    } else {
        buf_add_str(to, buf_str(&p->name));
        buf_add_cstr(to, n ? ":" : ": No recorded values");
    }
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        double value = n ? quantile(&h, quantiles[i] / 100) : 0;
        if (json && n)
            buf_addf(to, "%s{\"interval\":null,\"cumulative\":%.6g}", i ? "," : "", value);
        else if (json)
            buf_addf(to, "%s{\"interval\":null,\"cumulative\":null}", i ? "," : "");
        else if (n)
            buf_addf(to, " P%g(nan,%.6g)", quantiles[i], value);
    }
    buf_add_cstr(to, json ? "]}" : "\n");
}

static bool has_type(const struct stats_page *p, const struct stats_row *row)
{
    return !p->options.types || (p->options.types & 1u << row->type);
}

static void put_codes(struct stats_page *p, const struct stats_set *s, const struct stats_row *row,
                      void (*put)(struct stats_page *p, const struct stats_set *s,
                                  const struct stats_row *row, unsigned code, uint64_t n,
                                  struct buf *to),
                      struct buf *to)
{
    unsigned classes = stats_code_classes(s, row->at);
    for (unsigned code = STATS_CODES_FROM; classes && code < STATS_CODES_TO; code++) {
        if (!(classes & 1u << (code / STATS_PAGE - 1))) {
            code += STATS_PAGE - 1;
            continue;
        }
        uint64_t n = stats_sum_code(s, row->at, code);
        if (n)
            put(p, s, row, code, n, to);
    }
}

static void put_set(struct stats_page *p, const struct stats_set *s, struct buf *to)
{
    size_t n;
    const struct stats_row *rows = stats_rows((enum stats_kind)s->kind, &n);
    for (size_t i = 0; i < n; i++) {
        const struct stats_row *row = &rows[i];
        if (!has_type(p, row) || p->histograms != (row->type == STATS_TIMES))
            continue;
        if (row->type == STATS_TIMES)
            put_histogram(p, s, row, to);
        else if (row->type == STATS_CODES)
            put_codes(p, s, row, put_number, to);
        else
            put_number(p, s, row, 0, number(p, s, row), to);
    }
}

static void begin_histograms(struct stats_page *p, struct buf *to)
{
    p->histograms = true;
    p->set = 0;
    if (p->options.format != STATS_JSON)
        return;
    separate(p, to);
    p->comma = false;
    buf_add_cstr(to, "{\"histograms\":{\"supported_quantiles\":[");
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        buf_addf(to, "%s%g", i ? "," : "", quantiles[i]);
    buf_add_cstr(to, "],\"computed_quantiles\":[");
}

static bool next_by_set(struct stats_page *p, size_t bytes, struct buf *to)
{
    bool json = p->options.format == STATS_JSON;
    if (!p->begun && json)
        buf_add_cstr(to, "{\"stats\":[");
    p->begun = true;
    for (size_t steps = 0; steps < STEPS && to->n < bytes; steps += 100) {
        if (p->set < p->sets.n) {
            put_set(p, p->sets.v[p->set++], to);
        } else if (!p->histograms) {
            begin_histograms(p, to);
        } else {
            buf_add_cstr(to, json ? "]}}]}\n" : "");
            return false;
        }
    }
    return true;
}

/* ---- Prometheus ---- */

static void add_label_value(struct buf *to, const char *value)
{
    for (const char *c = value; *c; c++) {
        if (*c == '\\' || *c == '"')
            buf_add_char(to, '\\');
        if (*c == '\n')
            buf_add_cstr(to, "\\n");
        else
            buf_add_char(to, *c);
    }
}

/* Without the braces' end, so that more can follow. What is told of a set's own stands last. */
static void add_labels(struct buf *to, const struct stats_set *s)
{
    if (s->kind == STATS_LISTENER_HTTP) {
        buf_add_cstr(to, "envoy_http_conn_manager_prefix=\"");
        add_label_value(to, s->name2);
        buf_add_cstr(to, "\",");
    }
    if (!name_label[s->kind])
        return;
    buf_addf(to, "%s=\"", name_label[s->kind]);
    add_label_value(to, s->name);
    buf_add_char(to, '"');
}

/* 2 of downstream_rq_2xx; 0: it tells of no class. */
static char class_of(struct str name)
{
    const char *end = name.p + name.n;
    return name.n > 4 && end[-4] == '_' && end[-2] == 'x' && end[-1] == 'x' ? end[-3] : 0;
}

/* Into p->family; what it is and its type, once. */
static void begin_family(struct stats_page *p, const struct stats_row *row, struct buf *to)
{
    static const char *const words[] = {[STATS_COUNTER] = "counter",
                                        [STATS_GAUGE] = "gauge",
                                        [STATS_VALUE] = "gauge",
                                        [STATS_TIMES] = "histogram",
                                        [STATS_CODES] = "counter"};
    char before[sizeof(p->family)];
    struct str name = row->name;
    memcpy(before, p->family, sizeof(before));
    int n = snprintf(p->family, sizeof(p->family), "envoy_%s" STR_FMT, family_intro[p->kind],
                     STR_ARG(name));
    ASSERT(n > 0 && (size_t)n < sizeof(p->family));
    if (class_of(name))
        memcpy(p->family + n - 3, "xx", 3);
    if (row->type == STATS_CODES)
        p->family[n - 1] = 0;
    for (char *c = p->family; *c; c++)
        if (*c == '.')
            *c = '_';
    if (strcmp(before, p->family) != 0)
        buf_addf(to, "# HELP %s %s\n# TYPE %s %s\n", p->family, row->text, p->family,
                 words[row->type]);
}

static void put_series(struct stats_page *p, const struct stats_set *s, const struct stats_row *row,
                       unsigned code, uint64_t n, struct buf *to)
{
    char class = class_of(row->name);
    if ((p->options.used_only && !n) || !is_wanted(p, s, row, code))
        return;
    begin_family(p, row, to);
    buf_add_cstr(to, p->family);
    buf_add_char(to, '{');
    if (code)
        buf_addf(to, "envoy_response_code=\"%u\",", code);
    else if (class)
        buf_addf(to, "envoy_response_code_class=\"%c\",", class);
    add_labels(to, s);
    buf_addf(to, "} %llu\n", (unsigned long long)n);
}

static void put_buckets(struct stats_page *p, const struct stats_set *s,
                        const struct stats_row *row, struct buf *to)
{
    struct histogram h;
    uint64_t n = read_histogram(s, row->at, &h);
    if ((p->options.used_only && !n) || !is_wanted(p, s, row, 0))
        return;
    begin_family(p, row, to);
    for (unsigned i = 0; i <= STATS_BOUNDS; i++) {
        buf_addf(to, "%s_bucket{", p->family);
        add_labels(to, s);
        if (i < STATS_BOUNDS)
            buf_addf(to, ",le=\"%.10g\"} ", stats_bounds_tenths[i] / 10.0);
        else
            buf_add_cstr(to, ",le=\"+Inf\"} ");
        buf_addf(to, "%llu\n", (unsigned long long)h.upto[i]);
    }
    buf_addf(to, "%s_sum{", p->family);
    add_labels(to, s);
    buf_addf(to, "} %llu\n%s_count{", (unsigned long long)h.sum_ms, p->family);
    add_labels(to, s);
    buf_addf(to, "} %llu\n", (unsigned long long)n);
}

static void put_row(struct stats_page *p, const struct stats_set *s, const struct stats_row *row,
                    struct buf *to)
{
    if (row->type == STATS_TIMES)
        put_buckets(p, s, row, to);
    else if (row->type == STATS_CODES)
        put_codes(p, s, row, put_series, to);
    else
        put_series(p, s, row, 0, number(p, s, row), to);
}

static bool next_by_row(struct stats_page *p, size_t bytes, struct buf *to)
{
    for (size_t steps = 0; steps < STEPS && to->n < bytes; steps++) {
        size_t n;
        if (p->kind == _STATS_KINDS)
            return !p->options.filter && !p->options.types && mesh_page_next(p->mesh, bytes, to);
        const struct stats_row *rows = stats_rows((enum stats_kind)p->kind, &n);
        while (p->set < p->sets.n && p->sets.v[p->set]->kind < p->kind)
            p->set++;
        bool here = p->set < p->sets.n && p->sets.v[p->set]->kind == p->kind;
        if (here && p->row < n && has_type(p, &rows[p->row])) {
            put_row(p, p->sets.v[p->set++], &rows[p->row], to);
            continue;
        }
        p->set = 0; /* the next row of the kind; or the next kind */
        if (++p->row >= n) {
            p->row = 0;
            p->kind++;
        }
    }
    return true;
}

bool stats_page_next(struct stats_page *p, size_t bytes, struct buf *to)
{
    return p->options.format == STATS_PROMETHEUS ? next_by_row(p, bytes, to)
                                                 : next_by_set(p, bytes, to);
}
