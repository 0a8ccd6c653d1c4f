#pragma once
/* A machine that is no pod has no kubelet: its proxy asks the app whether it is well, as the
 * readinessProbe of Istio's PROXY_CONFIG says, and tells when that changes. It asks by its own port
 * of probes (app_probes.h), which asks the app. Main thread. */

#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"

#define HEALTH_REPORT_PATH "/app-health/workload/readyz"

struct health_settings {
    uint64_t delay_ms, period_ms, timeout_ms; /* period_ms 0: nobody is asked */
    unsigned up, down;                        /* so often in turn, before it is another answer */
};

/* PROXY_CONFIG, as JSON. *ret_probers: the probe as app_probe_table_parse() takes it, owned; NULL:
 * there is none, and nothing is set. -EINVAL: what is wrong. */
int health_settings_parse(struct str json, struct health_settings *ret, char **ret_probers,
                          struct err *reterr) NODISCARD;

struct health_report;

/* port: of probes, on loopback. message: why it is not well. */
struct health_report *
health_report_new(struct loop *l, const struct health_settings *s, uint16_t port,
                  void (*on_change)(bool healthy, const char *message, void *user), void *user);
void health_report_free(struct health_report *h); /* NULL is allowed */
