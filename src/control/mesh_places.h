#pragma once
/* Listeners that several share: a port of HTTP, whatever Services have it (found by the host of a
 * request), and what is for ServiceEntries of bytes, which may have one address, or none, and are
 * found by the name that a client of TLS says. */

#include "base/vec.h"
#include "model/mesh_rules.h"
#include "xds/xds_set.h"

/* Where connections go to: the port of an address, or of any (family 0). */
struct mesh_place {
    struct ip ip;
    uint16_t port;
};

struct used_place {
    struct mesh_place place;
    unsigned http;     /* how many use it for HTTP */
    unsigned services; /* whose own address it is: entries do not have it, then */
    VEC(char *) keys;  /* of entries that use it for bytes */
};

enum mesh_use { MESH_USE_HTTP, MESH_USE_OWN, MESH_USE_SHARED };

/* Places by the names of their listeners. Adds a use; key: of a shared one. */
void mesh_places_use(struct map *places, const struct mesh_place *p, enum mesh_use use,
                     const char *key);
/* Takes one back; a place of which none is left is forgotten. */
void mesh_places_stop_using(struct map *places, const struct mesh_place *p, enum mesh_use use,
                            const char *key);
struct used_place *mesh_places_find(const struct map *places, const struct mesh_place *p);
void mesh_places_done(struct map *places);
/* "0.0.0.0_80", "240.0.0.1_443" */
const char *mesh_place_name(const struct mesh_place *p, char *ret); /* CLUSTER_NAME_MAX */
/* Is there a listener that is made here? */
bool mesh_place_is_shared(const struct used_place *u);

/* Its listener for clients who are given the same. */
struct mesh_told;
struct xds_entry *mesh_place_listener(const struct used_place *u, const struct service_join *join,
                                      const struct mesh_rules *rules,
                                      const struct mesh_client *client, bool registry_only,
                                      const struct mesh_told *told);
/* Is it another one for others? */
bool mesh_place_varies(const struct used_place *u, const struct mesh_rules *rules);
