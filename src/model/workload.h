#pragma once
/* Pods as what stands behind an address: whose it is, its labels, what it is a part of. What rules
 * select by labels, and what certificates and metrics name, is found here. Pods that are one
 * another's copies share all but their names and addresses. */

#include "base/addr.h"
#include "base/intern.h"
#include "codec/json.h"

enum { WORKLOAD_IPS_MAX = 2 }; /* one of a family */

/* Whoever holds one of these looks at it in this turn of the loop, and no later. */
struct workload {
    struct workload *twins[WORKLOAD_IPS_MAX]; /* further ones of the same address */
    struct ip ips[WORKLOAD_IPS_MAX];
    uint8_t n_ips;
    bool host_network; /* its addresses are its node's */
    bool ending;
    bool entry;                      /* no pod: an endpoint that somebody has written down */
    uint32_t weight;                 /* against others behind the same name; 0: as any */
    uint32_t labels, account, owner; /* interned */
    uint32_t node, place;            /* the same; place: what it says of itself */
    char key[];                      /* namespace/name */
};

/* Something that matters has changed of it: told of what it was, and of what it is. */
typedef void workload_fn(const struct workload *w, void *user);

struct workloads {
    struct map by_key; /* struct workload */
    struct map by_ip;  /* the first one; further ones by twins */
    struct map nodes;  /* name -> where it is, "region/zone/subzone" */
    struct intern texts;
    workload_fn *on_change;
    void *user;
};

struct workloads *workloads_new(workload_fn *on_change, void *user);
void workloads_free(struct workloads *w); /* NULL is allowed; nothing is told */
/* A pod as the API server tells of it. Without a name: nothing happens. */
void workloads_put(struct workloads *w, const json_t *pod);
void workloads_remove(struct workloads *w, struct str key);
/* A Node; where pods are is told by that, and of those on it when it changes. */
void workloads_put_node(struct workloads *w, const json_t *node);
void workloads_remove_node(struct workloads *w, struct str name);

/* NULL: not known. */
const struct workload *workloads_find(const struct workloads *w, struct str key);
/* One of that namespace, ns .p NULL: of any. Of several one whose own the address is before one
 * that has its node's, and one that goes on before one that ends. Pods on their node's network
 * share its address: which of them is meant, an address does not say. */
const struct workload *workloads_find_ip(const struct workloads *w, struct str ns,
                                         const struct ip *ip);
bool workload_has_ip(const struct workload *p, const struct ip *ip);

struct str workload_namespace(const struct workload *p);
/* "region/zone/subzone": its label istio-locality, else what its node says; "": not known. */
struct str workload_locality(const struct workloads *w, const struct workload *p);
struct str workload_node(const struct workloads *w, const struct workload *p); /* "": none */
/* Borrowed from the table. */
struct str workload_account(const struct workloads *w, const struct workload *p);
/* The Deployment, StatefulSet, CronJob... it is a part of; else its own name. */
struct str workload_owner(const struct workloads *w, const struct workload *p);
/* Istio's words for what it is: a canonical service and its revision, from labels. Borrowed. */
struct str workload_canonical_name(const struct workloads *w, const struct workload *p);
struct str workload_canonical_revision(const struct workloads *w, const struct workload *p);
/* for (size_t at = 0; workloads_next(w, &at, &p);) */
bool workloads_next(const struct workloads *w, size_t *at, const struct workload **ret);
/* NULL: it has no such label. NUL-terminated. */
const char *workload_label(const struct workloads *w, const struct workload *p, const char *key);
/* Has all of these (a JSON object of strings; NULL or empty: any pod does). */
bool workload_has_labels(const struct workloads *w, const struct workload *p, const json_t *labels);

/* What a pod is a part of, as its controller's name says it: of a ReplicaSet its Deployment, of a
 * Job that a CronJob has made that one. NULL: of nothing. The caller's. */
char *workload_owner_of(const json_t *pod);
