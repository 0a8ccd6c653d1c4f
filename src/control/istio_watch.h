#pragma once
/* Istio's kinds, watched from the day that the first sidecar asks. Each may not be defined in this
 * cluster: then there are none of it, until there are. What comes is decoded by the model and put
 * among the mesh's rules and policies. Policies that are there but may not be read are no empty
 * list: then nobody is served. */

#include "control/auto_registration.h"
#include "control/entry_status.h"
#include "control/object_status.h"
#include "kube/client.h"
#include "model/authorization_policy.h"
#include "model/gateway_routes.h"
#include "model/proxy_settings.h"
#include "model/request_authentication.h"
#include "model/sidecar_scope.h"
#include "model/telemetry_policy.h"
#include "model/unserved_object.h"

struct istio_watch;

/* Where what comes is put. */
struct istio_tables {
    struct mesh_rules *rules;
    struct gateway_routes *gateways;
    struct selected_objects *authorizations, *tokens;
    struct service_entries *entries;
    struct entry_status *addresses; /* of their hosts */
    struct selected_objects *sidecars;
    struct selected_objects *telemetries;
    const struct mesh_config *const *config; /* whose providers they name */
    struct proxy_settings_table *settings;   /* of proxies that are put beside pods */
    struct object_status *status;            /* what is told of them there */
    struct unserved_object **unserved;       /* the watch's own */
    struct auto_registration *registration;  /* of machines, by their groups */
};

/* What an object of a kind is about. */
enum istio_effect {
    ISTIO_ROUTES,
    ISTIO_GUARDS, /* without it somebody would be let in */
    ISTIO_SCOPES, /* what is known to whom */
    ISTIO_TELLS,  /* what is told of requests, and nothing else */
    ISTIO_NOTHING,
};

/* One line of the table in istio_watch.c. */
struct istio_kind {
    const char *name;    /* VirtualService */
    const char *version; /* networking.istio.io/v1 */
    const char *path;    /* of the list */
    /* Its key and what is wrong with it by itself, borrowed until the next change; NULL: none. */
    const struct istio_object *(*put)(const struct istio_tables *to, const json_t *object);
    void (*remove)(const struct istio_tables *from, struct str key);
    enum istio_effect effect;
};

const struct istio_kind *istio_kind_find(const char *name); /* which there must be */

struct istio_watch_ops {
    void (*on_change)(void *user); /* of routes; also: all lists are complete */
    /* The same of the others; of two in that namespace. */
    void (*on_guard)(struct str ns, void *user);
    void (*on_scope)(struct str ns, void *user);
    void (*on_telemetry)(void *user);
    void (*on_finding)(const struct istio_kind *kind, const struct finding *f, const char *uid,
                       void *user);
};

/* The tables must outlive it. */
struct istio_watch *istio_watch_new(struct kube_client *c, const struct istio_tables *tables,
                                    const struct istio_watch_ops *ops, void *user);
void istio_watch_free(struct istio_watch *w); /* NULL is allowed */
/* From now on. True: all that there are are known. */
bool istio_watch_want(struct istio_watch *w);
