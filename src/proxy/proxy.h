#pragma once
/* The process: a store, and workers on what it puts in force, from start to drain. */

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>

#include "base/err.h"
#include "proxy/app_probes.h"
#include "proxy/health_report.h"
#include "proxy/last_good.h"

struct proxy;

struct proxy_options {
    struct app_probes_config probes; /* of a sidecar; port 0: none; taken by proxy_run */
    struct health_settings health;   /* of a machine; by those probes */
    struct last_good_options keep;   /* dir NULL: nothing is kept on disk */
    unsigned workers;
    uint64_t drain_ms;
    uint64_t linger_ms;         /* at SIGTERM, before: others may still come (worker_leave) */
    const char *xds_token_file; /* says who we are to the control plane; NULL: nobody */
    bool dns;                   /* answers the pod's DNS questions, by proxy_run */
    bool identity;              /* asks it for a certificate by that */
    const char *identity_root;  /* whom to trust beside what it says; NULL: nobody */
};

/* What is static is compiled; nothing listens yet. The bootstrap may go when this returns. */
int proxy_new(const Envoy__Config__Bootstrap__V3__Bootstrap *b, const struct proxy_options *o,
              struct proxy **ret, struct err *reterr) NODISCARD;
/* Runs until SIGTERM or SIGINT and the drain after it. */
int proxy_run(struct proxy *p, struct err *reterr) NODISCARD;
void proxy_free(struct proxy *p); /* NULL is allowed */
