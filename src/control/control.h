#pragma once
/* The control plane: what the API server tells becomes what proxies are given. One loop: watch,
 * model, translation, streams. Endpoints go first; hosts are rebuilt in slices of time, so that
 * many of them never hold an endpoint back. Until the first lists are complete nobody is served. */

#include "control/auto_registration.h"
#include "control/gateway.h"
#include "control/ingress_config.h"
#include "control/xds_service.h"
#include "kube/client.h"
#include "model/ingress_routes.h"

struct control;

struct control_options {
    bool allocates;             /* the leader writes addresses of hosts of ServiceEntries */
    const char *mesh_config;    /* namespace/name of the ConfigMap that has Istio's */
    bool loopback_keys;         /* key sets may be fetched from loopback */
    bool registry_only;         /* of sidecars: what is for no Service goes nowhere */
    json_t *gateway_labels;     /* {"istio": "ingressgateway"}: Gateways select them by these */
    const char *trust_domain;   /* of identities */
    const char *cluster_id;     /* what our own cluster is called in the mesh */
    bool joins_clusters;        /* others are looked for */
    const char *root_namespace; /* what is said there of peers holds for the whole mesh */
    struct ingress_options ingress;
    struct gateway_options gateway;
    struct ingress_config_options config;
    const char *const *gateway_accounts; /* "namespace/name" of gateways'; ends in NULL */
    const char *host;                    /* of Events: where we run; NULL */
};

struct control_stats {
    bool synced;
    size_t services, hosts, pending;
    uint64_t host_rebuilds, pushes;
    uint64_t watch_failures;                  /* lists and watches that have failed, each try */
    uint64_t last_latency_us, latency_max_us; /* from the first event of a push to the push */
};

/* Options are borrowed. */
int control_new(struct kube_client *c, const struct control_options *o, struct control **ret,
                struct err *reterr) NODISCARD;
void control_free(struct control *c); /* NULL is allowed; after its xds_service */
/* For xds_service_ops; user: the control. What gateways have goes to their service accounts, what
 * sidecars have to accounts of their namespace. */
struct xds_set *control_on_node(const Envoy__Config__Core__V3__Node *node,
                                const struct xds_caller *caller, void **ret_part, void *user,
                                struct err *reterr);
void control_on_end(void *part, void *user);
/* The agent of a machine tells whether it is well. */
void control_on_health(void *part, bool healthy, const char *message, void *user);
/* Of streams over TLS: the private keys of Secrets go to accounts that may list Secrets of their
 * namespace (control/secret_rights.h), and only of that one; what an Ingress names goes to gateways
 * as it is. */
void control_on_account(const char *account, bool begins, void *user);
enum xds_may control_may_have(const char *account, struct str secret, void *user);
const struct auto_registration *control_registration(const struct control *c);
/* It has been refused keys. */
bool control_keys_refused(const struct control *c, const char *account);
/* Which pod a sidecar or gateway is that says it is node_id, and what that is a part of:
 * "NAMESPACE/NAME", a name; owned. -EACCES: it is not, by its account; -EAGAIN: pods are not known
 * yet. */
int control_find_pod(struct control *c, const char *account, const char *node_id, char **ret_pod,
                     char **ret_workload, struct err *reterr) NODISCARD;
/* ProxyConfigs, watched from now on; of the control's life. */
const struct proxy_settings_table *control_want_settings(struct control *c);
/* Of the replicas this one writes status, or not any more. */
void control_set_leads(struct control *c, bool leads);
/* Whom to tell of changes. */
void control_set_service(struct control *c, struct xds_service *s);
/* Who is told of each Ingress as it comes (object) and goes (NULL), before it is served. To be set
 * before the loop runs. NULL: nobody. */
typedef void control_observer(const json_t *object, struct str key, void *user);
void control_set_observer(struct control *c, control_observer *fn, void *user);
/* Is this Ingress (namespace/name) ours? */
bool control_serves(const struct control *c, struct str ingress);
void control_get_stats(const struct control *c, struct control_stats *ret);
struct gateway *control_gateway(const struct control *c);
const struct service_join *control_join(const struct control *c);
const struct ingress_routes *control_routes(const struct control *c);
/* Other clusters of the mesh, as cluster_watch_describe(). */
json_t *control_describe_clusters(const struct control *c);
/* for (size_t at = 0; control_next_host(c, &at, &h);) : what is served; in no order, borrowed. */
bool control_next_host(const struct control *c, size_t *at, const struct route_host **ret);
/* The same of certificates whose last form cannot be used: what is wrong with each. */
bool control_next_bad_certificate(const struct control *c, size_t *at, const struct findings **ret);
