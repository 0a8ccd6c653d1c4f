/* Which answers are replaced by those of another Service, and who answers where a Service has no
 * endpoints. */
#include "model/ingress_readers.h"
#include "model/ingress_value.h"

/* "404, 503,": a last comma is nothing. */
const char *read_custom_http_errors(struct ingress_policy *p, const char *v)
{
    uint16_t codes[ROUTE_ERROR_CODES_MAX];
    uint32_t n = 0;
    struct str rest = str_from(v);
    uint64_t code;
    while (rest.p) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (!one.n && !rest.p && n)
            break;
        if (str_to_u64(one, &code) < 0 || code < 400 || code > 599 || n == ROUTE_ERROR_CODES_MAX)
            return "it must be a list of at most 64 statuses from 400 to 599";
        codes[n++] = (uint16_t)code;
    }
    memcpy(p->errors.codes, codes, n * sizeof(*codes));
    p->errors.n_codes = n;
    return NULL;
}

const char *read_default_backend(struct ingress_policy *p, const char *v)
{
    return str_is_dns1123_label(str_from(v)) ? ingress_value_keep(v, &p->errors.backend)
                                             : "it must be the name of a Service";
}

const char *read_disable_proxy_intercept_errors(struct ingress_policy *p, const char *v)
{
    return ingress_value_bool(v, &p->errors.off);
}

static bool has_code(const struct route_errors *e, uint16_t code)
{
    for (uint32_t i = 0; i < e->n_codes; i++)
        if (e->codes[i] == code)
            return true;
    return false;
}

void ingress_errors_apply(const struct ingress_errors *e, const char *backend, uint16_t port,
                          const struct ingress_backend *of, struct route *r)
{
    if (e->off || !e->n_codes || !backend)
        return;
    struct route_errors *to = r->errors = NEW(struct route_errors);
    for (uint32_t i = 0; i < e->n_codes; i++)
        if (!has_code(to, e->codes[i]))
            to->codes[to->n_codes++] = e->codes[i];
    to->to = (struct route_backend){.service = xstrdup(backend), .port = port, .weight = 1};
    to->of_service = xstrdup(of->service ? of->service : "");
    to->of_port = of->port_name ? xstrdup(of->port_name) : xasprintf("%u", of->port);
}
