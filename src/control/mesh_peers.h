#pragma once
/* Who is behind an address, for the TLS of the mesh: which pods take it, who they may say that they
 * are, and what PeerAuthentications ask of those who call them. */

#include "control/translate_mesh.h"
#include "model/mesh_config.h"
#include "model/service_join.h"

struct mesh_peers {
    const struct workloads *pods;
    const struct peer_authentications *authentications;
    const struct selected_objects *authorizations, *tokens;
    const char *trust_domain;
    const struct selected_objects *sidecars;    /* what is known to whom; NULL: all to all */
    const struct selected_objects *telemetries; /* NULL: nobody says what is told */
    const struct mesh_config *const *config;    /* Istio's, as it is now */
    const struct key_sets *keys;                /* of issuers of tokens; NULL: none are fetched */
    const struct auth_objects *objects;         /* Secrets that DestinationRules name */
    const struct clusters *clusters;            /* of the mesh; NULL: our own alone */
};

/* Gathers who a Service's endpoints are; zeroed. */
struct mesh_found {
    const struct mesh_peers *peers;
    struct str ns;    /* the Service's */
    bool external;    /* nobody of it is of the mesh */
    bool named;       /* by a ServiceEntry: who they are is said there */
    bool own_cluster; /* others are not looked at: nobody who asks could reach them */
    VEC(char *) uris; /* sorted behind mesh_found_identities() */
};
/* Endpoints of pods of the Service's namespace with some labels; their name is that of the subset's
 * cluster, "outbound|80|v1|web.ns.svc.cluster.local". */
struct mesh_subset {
    const char *name;
    const json_t *labels;
};
/* The endpoints of a port, or of a subset of them; adds who they are. */
struct xds_entry *mesh_found_endpoints(struct mesh_found *f, const char *service, uint16_t port,
                                       const struct mesh_subset *subset,
                                       const struct joined_service *s,
                                       const struct translate_localities *by);
/* The same for who passes the TLS of the mesh on: by the name that clients say ("outbound_.80_…"),
 * those alone that take it and are of our own network. */
struct xds_entry *mesh_found_passage(struct mesh_found *f, const char *name, const char *service,
                                     uint16_t port, const struct mesh_subset *subset,
                                     const struct joined_service *s);
struct mesh_identities mesh_found_identities(struct mesh_found *f);
void mesh_found_done(struct mesh_found *f);

/* Whose an address is, for who is called from there (istio.workload.Address); NULL: nobody's, or a
 * node's. */
struct xds_entry *mesh_peers_address(const struct mesh_peers *p, const struct ip *ip);

/* What holds for the pod of that address in that namespace. */
void mesh_peers_policy(const struct mesh_peers *p, struct str ns, const struct ip *ip,
                       struct mtls_policy *ret);
/* Who may call it. join, entries (NULL: none): who is asked about requests is found there. False:
 * the pod is not known, and so not what is said of it. */
struct service_entries;
bool mesh_peers_access(const struct mesh_peers *p, const struct service_join *join,
                       const struct service_entries *entries, struct str ns, const struct ip *ip,
                       struct mesh_access *ret);
