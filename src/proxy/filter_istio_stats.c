/* Istio's metrics: the filter stands in the chain to say that requests are counted; whoever knows
 * of their ends counts them (mesh_stats.c). */
#include <errno.h>
#include <stats/config.pb-c.h>

#include "proxy/filter_table.h"
#include "proxy/mesh_edits.h"

typedef Stats__PluginConfig pb_stats;

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_stats *m = (const pb_stats *)message;
    struct filter_watch *w = *ret = arena_alloc(c->a, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->counts = true;
    w->no_host = m->disable_host_header_fallback;
    w->edits = mesh_edits_get(m);
    return 0;
}

const struct filter_type filter_istio_stats = {
    .name = "istio.stats",
    .message = &stats__plugin_config__descriptor,
    .compile = compile,
    .watches = true,
};
