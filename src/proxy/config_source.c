/* Sources of resources. */
#include "proxy/config_source.h"
#include "proxy/duration.h"

#include <errno.h>

#include "base/mem.h"

enum { WARM_MS = 15 * 1000 };

static bool is_identity(const Envoy__Config__Core__V3__ApiConfigSource *m)
{
    return m->n_grpc_services == 1 && m->grpc_services[0]->envoy_grpc &&
           m->grpc_services[0]->target_specifier_case ==
               ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC &&
           streq(m->grpc_services[0]->envoy_grpc->cluster_name, CONFIG_SOURCE_IDENTITY);
}

int config_source_compile(const Envoy__Config__Core__V3__ConfigSource *m, struct pb_path *path,
                          struct config_source *ret, struct err *reterr)
{
    struct config_source s = {.warm_ms = duration_ms(m->initial_fetch_timeout, WARM_MS)};
    switch ((unsigned)m->config_source_specifier_case) {
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS:
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_SELF:
        break;
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_PATH:
        s.path = xstrdup(m->path);
        break;
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_PATH_CONFIG_SOURCE:
        s.path = xstrdup(m->path_config_source->path);
        break;
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_API_CONFIG_SOURCE:
        if (!is_identity(m->api_config_source))
            return pb_path_fail(path, reterr, -EINVAL,
                                "api_config_source: only of " CONFIG_SOURCE_IDENTITY
                                " by gRPC, which stands for this proxy's identity");
        s.of_identity = true;
        break;
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER__NOT_SET:
    default:
        return pb_path_fail(path, reterr, -EINVAL,
                            "only ads, self, path, path_config_source and the identity's "
                            "api_config_source are implemented");
    }
    if (s.path && !*s.path) {
        config_source_done(&s);
        return pb_path_fail(path, reterr, -EINVAL, "path must not be empty");
    }
    *ret = s;
    return 0;
}

void config_source_copy(struct config_source *to, const struct config_source *from)
{
    *to = *from;
    if (from->path)
        to->path = xstrdup(from->path);
}

void config_source_done(struct config_source *s)
{
    free(TAKE(s->path));
}
