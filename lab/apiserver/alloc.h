#pragma once
/* What Services hold: addresses and node ports, by who holds them. A mirror of the stored Services,
 * kept in step by the store's events; nothing of it is stored itself. */

#include "base/map.h"
#include "codec/json.h"

struct alloc {
    struct map owners; /* "10.96.0.7", "port/30080" -> uid (owned) */
};

void alloc_done(struct alloc *a);
/* A Service as it is now: everything it holds. */
void alloc_take(struct alloc *a, const json_t *service);
/* A Service as it was. */
void alloc_release(struct alloc *a, const json_t *service);
/* Does somebody else than uid (which may be NULL) hold it? */
bool alloc_address_taken(const struct alloc *a, const char *ip, const char *uid);
bool alloc_port_taken(const struct alloc *a, int64_t port, const char *uid);
