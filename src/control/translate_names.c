/* What resources are called. */
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "model/service_key.h"

enum { CONNECT_TIMEOUT_S = 5 }; /* as ingress-nginx */

const char *translate_mesh_service_host(const char *service, char ret[CLUSTER_NAME_MAX])
{
    AUTO_CHARS char *host = service_key_host(service);
    snprintf(ret, CLUSTER_NAME_MAX, "%s", host);
    return ret;
}

struct str translate_mesh_service_name(const char *service)
{
    struct str name, host;
    str_cut(str_from(service), '/', &name);
    if (service_key_is_entry(service))
        str_cut(name, '/', &host);
    return service_key_is_entry(service) ? host : name;
}

uint32_t translate_connect_timeout_s(const struct route_upstream *up)
{
    return up && up->connect_timeout_s ? up->connect_timeout_s : CONNECT_TIMEOUT_S;
}

bool translate_is_usual(const struct route_upstream *up)
{
    return !up || (up->protocol == ROUTE_HTTP1 && !up->tls && up->balance == ROUTE_BALANCE_TURN &&
                   !up->to_service && translate_connect_timeout_s(up) == CONNECT_TIMEOUT_S);
}

/* The same in every process. */
static uint64_t hash_of(const struct route_backend_tls *t)
{
    AUTO_DONE(buf) struct buf text = {0};
    route_backend_tls_format(t, &text);
    return hash_bytes_seed(text.p, text.n, 0);
}

const char *translate_cluster_name(const char *service, uint16_t port,
                                   const struct route_upstream *up, char ret[CLUSTER_NAME_MAX])
{
    AUTO_CHARS char *host = service_key_host(service);
    static const char *const balances[] = {"", "-load", "-ring"};
    char way[64] = "", with[20] = "";
    if (up && up->with)
        snprintf(with, sizeof(with), "-%016" PRIx64, hash_of(up->with));
    if (!translate_is_usual(up))
        snprintf(way, sizeof(way), "%s%s%s%s%s-%us", up->protocol == ROUTE_HTTP2 ? "http2" : "http",
                 up->tls ? "-tls" : "", with, balances[up->balance],
                 up->to_service ? "-service" : "", translate_connect_timeout_s(up));
    snprintf(ret, CLUSTER_NAME_MAX, "outbound|%u|%s|%s", port, way, host);
    return ret;
}

const char *translate_backend_name(const struct route_backend *to, const struct route_upstream *up,
                                   char ret[CLUSTER_NAME_MAX])
{
    char host[CLUSTER_NAME_MAX];
    if (to->host || to->subset)
        snprintf(ret, CLUSTER_NAME_MAX, "outbound|%u|%s|%s", to->port, to->subset ?: "",
                 to->host ?: translate_mesh_service_host(to->service, host));
    else
        translate_cluster_name(to->service, to->port, up, ret);
    return ret;
}

const char *translate_mesh_sni(const char *service, uint16_t port, const char *subset,
                               char ret[CLUSTER_NAME_MAX])
{
    char host[CLUSTER_NAME_MAX];
    snprintf(ret, CLUSTER_NAME_MAX, "outbound_.%u_.%s_.%s", port, subset ? subset : "",
             translate_mesh_service_host(service, host));
    return ret;
}

const char *translate_endpoints_name(const char *service, uint16_t port, bool to_service,
                                     char ret[CLUSTER_NAME_MAX])
{
    const struct route_upstream up = {.to_service = to_service};
    return translate_cluster_name(service, port, to_service ? &up : NULL, ret);
}

const char *translate_host_cluster_name(const char *host, uint16_t port, bool tls,
                                        char ret[CLUSTER_NAME_MAX])
{
    snprintf(ret, CLUSTER_NAME_MAX, "outbound|%u|%s|%s", port, tls ? "http-tls" : "", host);
    return ret;
}
