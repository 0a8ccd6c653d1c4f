/* Policies of mirrors. */
#include "proxy/mirror_config.h"

#include <errno.h>

typedef Envoy__Config__Route__V3__RouteAction__RequestMirrorPolicy pb_policy;

static int compile_one(const pb_policy *m, struct arena *a, struct pb_path *path,
                       struct mirror_policy *ret, struct err *reterr)
{
    if (!*m->cluster == !*m->cluster_header)
        return pb_path_fail(path, reterr, -EINVAL, "needs one of cluster, cluster_header");
    ret->cluster = arena_str(a, str_from(m->cluster));
    ret->header = header_name_of(m->cluster_header, a);
    ret->fraction = fraction_of_runtime(m->runtime_fraction);
    ret->keeps_host = m->disable_shadow_host_suffix_append;
    if (*m->host_rewrite_literal) {
        ret->host = arena_str(a, str_from(m->host_rewrite_literal));
        ret->keeps_host = true;
        if (!ret->host.p)
            return -ENOMEM;
    }
    return ret->cluster.p && ret->header.text.p ? 0 : -ENOMEM;
}

int mirror_compile(pb_policy *const *m, size_t n, struct arena *a, struct pb_path *path,
                   struct mirror_policies *ret, struct err *reterr)
{
    size_t mark = pb_path_field(path, "request_mirror_policies");
    struct mirror_policy *v = arena_alloc(a, n * sizeof(*v));
    int r = n > MIRROR_POLICIES_MAX
                ? pb_path_fail(path, reterr, -EINVAL, "more than %d", MIRROR_POLICIES_MAX)
            : v ? 0
                : -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++) {
        size_t at = pb_path_index(path, i);
        r = compile_one(m[i], a, path, &v[i], reterr);
        pb_path_back(path, at);
    }
    pb_path_back(path, mark);
    if (r == 0)
        *ret = (struct mirror_policies){v, n};
    return r;
}
