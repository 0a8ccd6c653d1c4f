/* What the main thread does for a cluster beside its requests: started before the first worker may
 * choose it, stopped when none can any more. */
#include "base/assert.h"
#include "base/log.h"
#include "proxy/dns.h"
#include "proxy/health.h"
#include "proxy/outlier.h"

void cluster_start(struct cluster *c, struct loop *l)
{
    ASSERT(!c->main_loop);
    c->main_loop = l;
    if (c->lb.warm_ms) {
        c->warm = loop_timer_new(l, cluster_replan, c);
        cluster_replan_soon(c);
    }
    if (c->outlier)
        c->outlier_run = outlier_new(l, c);
    if (c->health) {
        c->health_run = health_new(l, c);
        cluster_put_endpoints(c, c->plan->set); /* they are not healthy before they are asked */
    }
    if (c->dns && dns_new(l, c, &c->dns_run) < 0)
        log_error("no resolver: a cluster stays without endpoints", kv_s("cluster", c->name));
}

void cluster_stop(struct cluster *c)
{
    if (!c->main_loop)
        return;
    c->on_ready = NULL;
    dns_free(TAKE(c->dns_run));
    health_free(TAKE(c->health_run));
    outlier_free(TAKE(c->outlier_run));
    loop_call_cancel(&c->replan);
    loop_timer_free(TAKE(c->warm));
    c->main_loop = NULL;
}
