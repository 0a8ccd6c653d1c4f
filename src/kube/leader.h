#pragma once
/* Leader election by a Lease (coordination.k8s.io/v1), with client-go's times and rules: the holder
 * renews it every 2 s; who sees it unrenewed for 15 s of his own clock takes it. Whoever cannot
 * renew for 10 s holds it no longer. */

#include "kube/client.h"

struct leader;

/* identity: unlike everybody else's. on_change: we are the leader now, or no longer. */
struct leader *leader_new(struct kube_client *c, const char *namespace_, const char *name,
                          const char *identity, void (*on_change)(bool leads, void *user),
                          void *user);
/* Gives it up as far as one request can (the next one need not wait). NULL is allowed. */
void leader_free(struct leader *l);
bool leader_leads(const struct leader *l);
