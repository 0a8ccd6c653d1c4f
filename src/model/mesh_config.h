#pragma once
/* Istio's mesh config: the key `mesh` of a ConfigMap, YAML. Of it what this project heeds: whom
 * traces and access logs go to, who may be asked about requests, and defaults of the three. Pure.
 * What is wrong is told by field; it leaves its default, and a provider that is wrong is not there.
 */

#include "codec/json.h"
#include "model/finding.h"
#include "model/locality.h"

enum { MESH_CONFIG_BYTES_MAX = 1024 * 1024, MESH_CONFIG_PROVIDERS_MAX = 1000 };

/* One of extensionProviders; a row in mesh_config.c says how each is checked. */
enum mesh_provider_kind {
    MESH_PROVIDER_OTHER, /* known by name, not served: whoever names it is told */
    MESH_PROVIDER_ZIPKIN,
    MESH_PROVIDER_OPENTELEMETRY,
    MESH_PROVIDER_FILE_LOG,
    MESH_PROVIDER_PROMETHEUS,
    MESH_PROVIDER_EXT_AUTHZ_HTTP,
    MESH_PROVIDER_EXT_AUTHZ_GRPC,
};

/* It may be asked about requests. */
static inline bool mesh_provider_authorizes(enum mesh_provider_kind k)
{
    return k == MESH_PROVIDER_EXT_AUTHZ_HTTP || k == MESH_PROVIDER_EXT_AUTHZ_GRPC;
}

struct mesh_provider {
    const char *name;
    enum mesh_provider_kind kind;
    const char *kind_name; /* as the file has it: "zipkin" */
    const json_t *spec;    /* what stands there, checked; of the config */
    char *host;            /* "ns/zipkin.ns.svc.cluster.local" split: the host; NULL: it has none */
    char *ns;              /* whose host of several it is; NULL: whichever */
    uint16_t port;
};

enum mesh_log_encoding { MESH_LOG_TEXT, MESH_LOG_JSON };

struct mesh_config {
    json_t *whole;
    struct mesh_provider *providers;
    size_t n_providers;
    /* Names of providers, arrays of texts; NULL: none. */
    const json_t *default_tracing, *default_metrics, *default_logging;
    bool tracing; /* enableTracing */
    /* defaultConfig.tracing */
    double sampling;           /* percent */
    unsigned max_path_tag;     /* 0: not said */
    const json_t *custom_tags; /* NULL: none */
    char *zipkin_host;         /* of its zipkin.address; NULL: the control plane itself */
    uint16_t zipkin_port;
    /* accessLogFile, accessLogFormat, accessLogEncoding */
    const char *log_file;   /* NULL: none */
    const char *log_format; /* of text; NULL: Istio's own */
    json_t *log_labels;     /* of JSON; NULL: Istio's own */
    enum mesh_log_encoding log_encoding;
    struct locality_setting locality; /* of rules that say nothing of it */
    const json_t *service_settings;   /* array, checked; NULL: none */
    struct findings findings;
};

/* object: the ConfigMap; NULL: there is none, all is as by default. key: namespace/name. Never
 * NULL. */
struct mesh_config *mesh_config_new(const char *key, const json_t *object);
void mesh_config_free(struct mesh_config *c); /* NULL is allowed */
/* In any case of letters; NULL: nobody has that name. `prometheus` and `envoy` (standard output)
 * are there by themselves. */
const struct mesh_provider *mesh_config_find(const struct mesh_config *c, const char *name);
/* Of a host each cluster has its own (serviceSettings, clusterLocal): of several that cover it the
 * longest counts. */
bool mesh_config_is_cluster_local(const struct mesh_config *c, const char *host);
