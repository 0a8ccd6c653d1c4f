/* What the main thread does for a cluster beside its requests: started before the first worker may
 * choose it, stopped when none can any more. */
#include "base/assert.h"
#include "proxy/outlier.h"

void cluster_start(struct cluster *c, struct loop *l)
{
    ASSERT(!c->main_loop);
    c->main_loop = l;
    if (c->outlier)
        c->outlier_run = outlier_new(l, c);
}

void cluster_stop(struct cluster *c)
{
    if (!c->main_loop)
        return;
    outlier_free(TAKE(c->outlier_run));
    loop_call_cancel(&c->replan);
    c->main_loop = NULL;
}
