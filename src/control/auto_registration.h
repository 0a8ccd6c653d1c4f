#pragma once
/* Machines that are no pods, by themselves: a proxy that says it is of a WorkloadGroup, and whose
 * token is of that group's service account and namespace, has a WorkloadEntry while it is connected
 * and REGISTRATION_GRACE_MS longer. Istio's names, annotations and times.
 *
 * Who has the stream writes; what others have left behind goes by the leader. An address that is a
 * pod's, or nobody's to have, is refused. REGISTRATION_ENTRIES_MAX entries of one service account;
 * eight writes at a time; what fails is tried again. */

#include "kube/client.h"
#include "model/workload.h"
#include "model/workload_registration.h"

enum { REGISTRATION_ENTRIES_MAX = 500, REGISTRATION_GRACE_MS = 10 * 1000 };

struct auto_registration;
struct registered; /* one that is connected */

struct auto_registration_options {
    const char *controller; /* our own pod */
    const char *namespace_; /* where control planes run */
    const struct workloads *pods;
};

/* All are borrowed. */
struct auto_registration *auto_registration_new(struct kube_client *c,
                                                const struct auto_registration_options *o);
void auto_registration_free(struct auto_registration *a); /* NULL is allowed; nobody is connected */
void auto_registration_set_leads(struct auto_registration *a, bool leads);

/* As the API server tells of them. */
void auto_registration_put_group(struct auto_registration *a, const json_t *group);
void auto_registration_remove_group(struct auto_registration *a, struct str key);
void auto_registration_put_entry(struct auto_registration *a, const json_t *entry);
void auto_registration_remove_entry(struct auto_registration *a, struct str key);

/* A stream of it begins; account: "system:serviceaccount:NAMESPACE:NAME". -EACCES: it may not;
 * -ENOENT: there is no such group; -EUSERS: there are too many. */
int auto_registration_connect(struct auto_registration *a, const struct registration *r,
                              const char *account, struct registered **ret, struct err *reterr)
    NODISCARD;
/* The stream ends. */
void auto_registration_leave(struct auto_registration *a, struct registered *e);
/* Its agent tells whether it is well; message: why not. */
void auto_registration_health(struct auto_registration *a, struct registered *e, bool healthy,
                              const char *message);
/* Is there a stream of one of that account at that address? */
bool auto_registration_has(const struct auto_registration *a, const char *account,
                           const struct ip *ip);

struct auto_registration_stats {
    size_t entries, connected;
    uint64_t created, deleted, refused, failed;
};
struct auto_registration_stats auto_registration_get_stats(const struct auto_registration *a);
