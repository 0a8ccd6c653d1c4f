#pragma once
/* Listeners and route tables by port and address, of what is put into one set: who uses which, and
 * what is put and taken out as uses come and go. */

#include "control/mesh_places.h"

/* A pod of a headless Service, of bytes: where what is for no Service goes nowhere. */
struct mesh_headless {
    struct ip ip;
    uint16_t port;
};

struct mesh_place_use {
    struct mesh_place place;
    enum mesh_use use;
};

/* What a Service uses. */
struct mesh_uses {
    VEC(struct mesh_place_use) places;
    VEC(struct mesh_headless) headless;
};
void mesh_uses_done(struct mesh_uses *u);

struct mesh_listeners {
    struct xds_set *set;
    const struct service_join *join;
    const struct mesh_rules *rules;
    struct mesh_client client; /* whom what is put is for */
    bool registry_only;
    const struct mesh_told *told; /* what they tell; NULL: as they are made */
    void (*on_put)(const struct mesh_place *p, void *user); /* NULL: nobody is told */
    void *user;
    struct map places;   /* name of a listener -> struct used_place: its own */
    struct map headless; /* the same -> how many Services have it, as a pointer */
};
void mesh_listeners_done(struct mesh_listeners *l); /* what is in the set stays */

/* A set that lies over theirs, for fewer. */
struct mesh_layer {
    struct xds_set *set;
    struct map *put; /* what it has put, by name */
    struct mesh_client client;
    const struct mesh_told *told;
    bool tells;        /* something else than what lies under it */
    bool of_namespace; /* what that is given alone is put there */
};
/* A place as the layer shows it, if it is another one there. */
void mesh_listeners_put_over(const struct mesh_listeners *l, const struct mesh_layer *over,
                             const struct mesh_place *p);

/* They tell something else from now on: all are put again. */
void mesh_listeners_tell(struct mesh_listeners *l, const struct mesh_told *told);
/* Uses of a Service as it is now, into *now (zeroed). */
void mesh_listeners_use(struct mesh_listeners *l, struct mesh_uses *now,
                        const struct joined_service *s);
/* Those that it had are given back (NULL: none), and what is another one because of either is put.
 * endpoints_only: nothing is, but for endpoints that have listeners of their own. */
void mesh_listeners_exchange(struct mesh_listeners *l, const struct mesh_uses *before,
                             const struct mesh_uses *now, const char *key, bool endpoints_only);
