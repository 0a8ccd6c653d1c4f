/* fuzz-layer: proxy
 * The table of probes in a sidecar's environment: what is taken has a port, a way to be asked, and
 * nothing in it that would end a line of a request. */
#include <stdlib.h>

#include "proxy/app_probes.h"
#include "proxy/health_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *text)
{
    for (const char *c = text; c && *c; c++)
        if (*c == '\r' || *c == '\n')
            abort();
}

/* What a machine's proxy is to ask is a table of its own, if its numbers can be. */
static void check_settings(struct str json)
{
    struct health_settings s = {0};
    struct app_probe_table t;
    struct err err = {0};
    char *probers;
    if (health_settings_parse(json, &s, &probers, &err) < 0) {
        if (!*err_text(&err) || probers)
            abort();
        return;
    }
    if (probers && (!s.period_ms || !s.timeout_ms || !s.up || !s.down))
        abort();
    if (probers && app_probe_table_parse(str_from(probers), &t, &err) == 0)
        app_probe_table_done(&t);
    free(probers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct app_probe_table t;
    struct app_metrics_target metrics = {0};
    struct err err = {0};
    if (app_metrics_parse(str_of((const char *)data, size), &metrics, NULL) == 0)
        check_line(metrics.path);
    app_metrics_target_done(&metrics);
    check_settings(str_of((const char *)data, size));
    if (app_probe_table_parse(str_of((const char *)data, size), &t, &err) < 0) {
        if (!*err_text(&err))
            abort();
        return 0;
    }
    for (size_t i = 0; i < t.n; i++) {
        const struct app_probe *p = &t.v[i];
        if (!p->port || !p->timeout_ms || !p->path || (p->kind == APP_PROBE_HTTP) != !!p->target)
            abort();
        check_line(p->target);
        check_line(p->host);
        for (size_t h = 0; h < p->n_headers; h++)
            check_line(p->headers[h]);
    }
    app_probe_table_done(&t);
    return 0;
}
