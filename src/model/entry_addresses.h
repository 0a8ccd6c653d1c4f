#pragma once
/* Addresses for hosts of ServiceEntries that have none, of a network that is nobody's, so that a
 * sidecar's DNS has something to say of them and connections to them can be told apart. They are
 * written into status.addresses: every control plane takes them from there. Range, label and place
 * are Istio's. Pure. */

#include "model/service_entry.h"

enum { ENTRY_ADDRESSES_ALL = 65534 }; /* of 240.240.0.0/16 */

struct entry_addresses;

struct entry_addresses *entry_addresses_new(void);
void entry_addresses_free(struct entry_addresses *t); /* NULL is allowed */
/* It has come or changed; nothing of it is kept. */
void entry_addresses_put(struct entry_addresses *t, const struct service_entry *e);
void entry_addresses_remove(struct entry_addresses *t, struct str key);
/* status.addresses as it is to be, of the entry of that key; a new reference. Of two that have one
 * address the later one gets another. NULL: it is so, or there is nothing to be said. */
json_t *entry_addresses_want(struct entry_addresses *t, struct str key);
/* for (size_t at = 0; entry_addresses_next(t, &at, &key);) : all that are to have some; borrowed.
 */
bool entry_addresses_next(const struct entry_addresses *t, size_t *at, struct str *ret_key);
