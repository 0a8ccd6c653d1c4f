#pragma once
/* Writes status.addresses of ServiceEntries whose hosts have no address (model/entry_addresses.h).
 * Only the leader among the replicas does, once all of them are known. */

#include "kube/client.h"
#include "model/entry_addresses.h"

struct entry_status;

struct entry_status *entry_status_new(struct kube_client *c);
void entry_status_free(struct entry_status *s); /* NULL is allowed */
void entry_status_put(struct entry_status *s, const struct service_entry *e);
void entry_status_remove(struct entry_status *s, struct str key);
/* May it write? Until it is told: no. */
void entry_status_set_leads(struct entry_status *s, bool leads);
void entry_status_set_synced(struct entry_status *s);
