#pragma once
/* What Istio's objects have in common: who they are, who sees them, how they name hosts. */

#include "codec/json.h"
#include "model/finding.h"
#include "model/object_reader.h"
#include "model/workload.h"

struct istio_object {
    char *key; /* namespace/name */
    char *ns, *name, *uid;
    int64_t created_s; /* since the epoch; 0: not said */
    json_t *spec;      /* its own reference */
    bool for_all;      /* exportTo: every namespace sees it; else: */
    char **seen_by;
    size_t n_seen_by;
    struct findings findings;
};

/* False: no object (no name). A reader stands at spec then. */
bool istio_object_decode(const json_t *j, struct istio_object *ret);
void istio_object_done(struct istio_object *o);
void istio_object_read_export(struct istio_object *o, struct object_reader *r);
/* ns "": of nobody in particular. */
bool istio_object_is_seen(const struct istio_object *o, struct str ns);
/* The older one counts, of two that are as old the one whose name comes first. */
int istio_object_compare(const struct istio_object *a, const struct istio_object *b);

/* A name without a dot is one of the object's namespace. Owned, in lower case. */
char *istio_host(const char *host, const char *ns);
/* "web.ns.svc.cluster.local" as "ns/web", owned; NULL: it is no Service's. */
char *istio_host_service(const char *host);
/* Does a host of an object (which may begin with an asterisk) cover that name? */
bool istio_host_covers(const char *host, const char *name);
/* May it stand among hosts: a DNS name, an address, or a DNS name with an asterisk in front? */
bool istio_host_is_valid(const char *host);

/* Who calls. */
struct mesh_client {
    struct str ns;                /* "": anybody */
    const struct workload *pod;   /* NULL: any of the namespace */
    const struct workloads *pods; /* that it is of */
    struct str locality;          /* .p NULL: anywhere */
};
/* Has it all of those labels ({"app": "x"}; NULL or empty: none)? */
bool mesh_client_has_labels(const struct mesh_client *c, const json_t *wanted);
