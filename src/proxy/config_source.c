/* Sources of resources. */
#include "proxy/config_source.h"
#include "proxy/duration.h"

#include <errno.h>

#include "base/mem.h"

enum { WARM_MS = 15 * 1000 };

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
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER__NOT_SET:
    default:
        return pb_path_fail(path, reterr, -EINVAL,
                            "only ads, self, path and path_config_source are implemented");
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
