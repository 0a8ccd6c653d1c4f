/* From a Cluster of type ORIGINAL_DST to what it says of that. */
#include "proxy/original_dst_config.h"

#include <errno.h>

#include "base/mem.h"
#include "base/str.h"
#include "proxy/duration.h"

typedef Envoy__Config__Cluster__V3__Cluster pb_cluster;

enum { CLEANUP_MS = 5000 };

int original_dst_compile(const pb_cluster *m, struct pb_path *path,
                         struct original_dst_config **ret, struct err *reterr)
{
    const Envoy__Config__Cluster__V3__Cluster__OriginalDstLbConfig *c =
        m->lb_config_case == ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_ORIGINAL_DST_LB_CONFIG
            ? m->original_dst_lb_config
            : NULL;
    if (m->lb_policy != ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__CLUSTER_PROVIDED)
        return pb_path_fail(path, reterr, -EINVAL,
                            "lb_policy: a cluster of type ORIGINAL_DST needs CLUSTER_PROVIDED");
    if (m->load_assignment || m->n_health_checks)
        return pb_path_fail(path, reterr, -EINVAL,
                            "a cluster of type ORIGINAL_DST has no load_assignment and no "
                            "health_checks");
    struct original_dst_config *o = NEW(struct original_dst_config);
    o->cleanup_ms = interval_ms(m->cleanup_interval, CLEANUP_MS);
    if (c && c->use_http_header)
        o->header =
            xstrdup(*c->http_header_name ? c->http_header_name : "x-envoy-original-dst-host");
    for (char *p = o->header; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    if (c && c->upstream_port_override)
        o->port = (uint16_t)c->upstream_port_override->value;
    *ret = o;
    return 0;
}

void original_dst_config_free(struct original_dst_config *c)
{
    if (!c)
        return;
    free(c->header);
    free(c);
}
