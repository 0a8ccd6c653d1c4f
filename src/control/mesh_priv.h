#pragma once
/* The mesh from within: its layers (mesh_layers.c), where workloads are served (mesh_members.c),
 * and what becomes of changes (mesh.c). */

#include "base/list.h"
#include "base/vec.h"
#include "control/mesh.h"
#include "control/mesh_inbound.h"
#include "control/mesh_listeners.h"
#include "control/mesh_scope.h"
#include "control/mesh_telemetry.h"
#include "control/mesh_view.h"
#include "control/translate_mesh.h"

struct mesh_service {
    struct mesh_uses uses;
    VEC(struct mesh_workload *) members; /* that it is served by */
    uint64_t looks;                      /* a hash of what it says of itself */
    unsigned varies;                     /* MESH_VARIES_BY_... */
    struct findings findings;            /* of rules, because of others */
};

struct mesh_namespace {
    struct xds_set *set;         /* NULL: nobody of it has asked */
    struct mesh_telemetry *told; /* NULL: as the mesh's */
    struct mesh_zones zones;
    unsigned workloads;
    unsigned readers;    /* of them, those that know all that it does */
    struct map services; /* keys of Services of it */
    struct map put;      /* key of any Service -> struct put_resources, in the set */
};

struct mesh_workload {
    struct list_node node;
    struct mesh_namespace *ns;
    struct mesh_scope *scope; /* NULL: it knows what its namespace does */
    char *ns_name;
    struct mesh_zone *zone;
    char *locality; /* its zone's */
    struct ip ip;
    unsigned families;              /* of all its addresses, MESH_V4, MESH_V6 */
    struct mesh_workload *twin;     /* another stream of the same address; NULL: none */
    struct map services;            /* key -> struct mesh_membership */
    struct mesh_inbound_list ports; /* that its resources are made of, sorted */
    enum mtls_mode mode;            /* of other ports */
    struct mesh_access access;      /* who may call it */
    struct mesh_telemetry *told;    /* NULL: as its namespace's */
    bool known;                     /* its pod has been, so that its labels count */
    struct xds_set *set;
    struct put_resources own;
    struct map put; /* as its namespace's */
};

struct mesh {
    struct service_join *join;
    struct mesh_peers peers;
    struct mesh_rules *rules;
    mesh_observer *observer;
    void *observer_user;
    struct xds_set *base; /* what has nothing to do with Services; NULL: nobody has asked yet */
    struct xds_set *set;  /* the same */
    struct mesh_telemetry *told; /* NULL: as listeners are made */
    struct map put;              /* key of a Service -> struct put_resources, in the set */
    size_t n_varying;            /* Services that some rule says different things of */
    bool making;                 /* all at once: nobody has to be told of another's ports */
    struct map services;         /* key -> struct mesh_service */
    struct map namespaces;       /* name -> struct mesh_namespace */
    struct mesh_listeners listeners;
    struct list_node scopes; /* struct mesh_scope */
    struct list_node workloads;
    struct map by_ip; /* struct ip -> struct mesh_workload, further ones by twin */
    size_t n_workloads;
    unsigned round;
};

/* What is to be looked at again. */
struct mesh_change {
    unsigned before, now; /* MESH_VARIES_BY_... */
    bool endpoints_only;
    struct findings *findings; /* NULL: nobody is told */
};

/* ---- layers: that of all, of namespaces or of scopes, of places in these, of workloads ---- */

/* NULL: what listeners of a namespace or of a workload tell is as the layer below has it. */
const struct mesh_told *mesh_told_of(const struct mesh_telemetry *t, enum telemetry_side side);
const struct mesh_told *mesh_told_in(const struct mesh *m, const struct mesh_namespace *ns,
                                     enum telemetry_side side);
/* What is for no Service. own NULL: as the layer below has it. */
void mesh_put_outbound(struct xds_set *set, const struct mesh_listeners *of,
                       const struct mesh_telemetry *own);
/* The same of a workload, which may have addresses of both families. */
void mesh_put_outbound_to(const struct mesh *m, struct mesh_workload *w);
/* A port that addresses share, in the layer of a namespace or of a workload. */
void mesh_put_place_of(struct mesh *m, struct str name, struct mesh_namespace *ns,
                       const struct mesh_place *p);
void mesh_put_place_to(struct mesh *m, struct mesh_workload *w, const struct mesh_place *p);
/* What its own lie over. */
const struct mesh_listeners *mesh_listeners_of(const struct mesh *m, const struct mesh_workload *w);
/* For mesh_listeners.on_put; user: the mesh. */
void mesh_place_was_put(const struct mesh_place *p, void *user);
void mesh_scope_place_was_put(const struct mesh_place *p, void *user);

/* Is there a Service of that key? Of an entry the host's others may be. */
bool mesh_service_is_there(const struct joined_service *s, const char *key);
struct mesh_view mesh_view_of_all(const struct mesh *m);
struct mesh_view mesh_view_of_namespace(const struct mesh *m, struct str name,
                                        const struct mesh_namespace *ns, const char *key,
                                        const struct mesh_change *c);
struct mesh_scope_change mesh_change_of_scope(const struct mesh_view *all,
                                              const struct joined_service *s, const char *key,
                                              const struct mesh_change *c);
void mesh_exchange_all(struct mesh *m, const struct joined_service *s, const char *key,
                       const struct mesh_change *c);
void mesh_exchange_namespace(struct mesh *m, struct str name, struct mesh_namespace *ns,
                             const struct joined_service *s, const char *key,
                             const struct mesh_change *c);
void mesh_exchange_workload(struct mesh *m, struct mesh_workload *w, const struct joined_service *s,
                            const char *key, const struct mesh_change *c);
/* Layers above that of all: of its namespace, and where it is something else, of the others. */
void mesh_exchange_layers(struct mesh *m, const struct joined_service *s, const char *key,
                          const struct mesh_change *c);

/* ---- where workloads are served ---- */

struct str mesh_ip_key(const struct ip *ip);
/* Who may call it; true: that is something else. */
bool mesh_find_access(const struct mesh *m, struct mesh_workload *w);
/* Which addresses it has, as its pod says. True: of other families than before. */
bool mesh_find_families(const struct mesh *m, struct mesh_workload *w);
/* What it takes in; anew: whether its ports are others or not. */
void mesh_build_inbound(struct mesh *m, struct mesh_workload *w, bool anew);
/* only: NULL: whoever has the address. */
void mesh_find_members(struct mesh *m, struct mesh_namespace *ns, struct mesh_service *of,
                       const struct joined_service *s, struct mesh_workload *only);
/* now: NULL: the Service has gone. */
void mesh_settle_members(struct mesh *m, const char *key, struct mesh_service *before,
                         struct mesh_service *now);
/* What it is a member of already, and no more. */
void mesh_find_services(struct mesh *m, struct mesh_workload *w);
void mesh_leave_services(struct mesh *m, struct mesh_workload *w);
