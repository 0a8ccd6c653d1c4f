#pragma once
/* What a proxy has (its /config_dump, Envoy's form) as the tables that istioctl prints. Reads any
 * JSON: what is not as expected is left out. */

#include "cli/cli_output.h"

enum proxy_config_type {
    PROXY_CLUSTERS,
    PROXY_LISTENERS,
    PROXY_ROUTES,
    PROXY_ENDPOINTS,
    PROXY_SECRETS,
    PROXY_CONFIG_TYPES,
};

/* What is asked for; NULL or 0: anything. */
struct proxy_config_filter {
    const char *name; /* of a route table, a virtual host, a secret */
    const char *fqdn; /* of a cluster's Service */
    const char *subset, *direction, *type;
    const char *address; /* of a listener, an endpoint */
    const char *cluster; /* of endpoints */
    const char *status;  /* of endpoints */
    int64_t port;
};

/* dump: of /config_dump?include_eds; of endpoints /clusters?format=json will do, too, and tells
 * their health. The items that pass, as they are in the dump; owned. */
json_t *proxy_config_items(const json_t *dump, enum proxy_config_type type,
                           const struct proxy_config_filter *f);
/* The same as a table on stdout. */
void proxy_config_print(enum proxy_config_type type, const json_t *items);
/* Private keys, passwords and keys of tickets are replaced by "[redacted]", wherever they stand:
 * also of a dump of another proxy's making. */
void proxy_config_hide_keys(json_t *j);
/* type: "cds", "lds", "eds", "rds", "sds". [{name, version}] of what came from a control plane;
 * owned. */
json_t *proxy_config_versions(const json_t *dump, const char *type);
