#pragma once
/* What Secrets and ConfigMaps say that annotations name: users with the hashes of their passwords,
 * certificates, fields to be sent along. Decoded once, kept by whose namespace/name they have.
 */

#include "base/map.h"
#include "codec/json.h"

/* Users of a Secret as lines of htpasswd, usable ones alone; empty: none. */
struct auth_secret {
    char *file; /* of its key "auth" */
    char *map;  /* of its keys */
    char *ca;   /* certificates (PEM); empty: none that can be used */
    char *crl;  /* of theirs; empty: none */
    char *cert; /* a chain (PEM) and its key; both empty: none that can be used */
    char *key;
    bool broken; /* there is a CA, or a certificate, that cannot be used */
};

/* Fields of a ConfigMap. */
struct auth_fields {
    struct auth_field {
        char *name, *value;
    } * v;
    size_t n;
};

struct auth_objects {
    struct map secrets;     /* key -> struct auth_secret */
    struct map config_maps; /* key -> struct auth_fields */
};

void auth_objects_done(struct auth_objects *all);
/* secret NULL: it has gone. What cannot be used of it goes to `wrong`, without what stands there;
 * empty: everything can. */
void auth_objects_put_secret(struct auth_objects *all, const char *key, const json_t *secret,
                             struct buf *wrong);
void auth_objects_put_config_map(struct auth_objects *all, const char *key,
                                 const json_t *config_map, struct buf *wrong);
/* NULL: there is none, or nobody in it. Borrowed. */
const char *auth_objects_users(const struct auth_objects *all, const char *key, bool map);
/* NULL: there is none. Borrowed. */
const struct auth_secret *auth_objects_ca(const struct auth_objects *all, const char *key);
/* For endpoints over TLS: a certificate that is shown, a CA, or both. NULL: it has neither, or
 * something that cannot be used; with `verify` also where there is no CA. Borrowed. */
const struct auth_secret *auth_objects_backend(const struct auth_objects *all, const char *key,
                                               bool verify);
const struct auth_fields *auth_objects_fields(const struct auth_objects *all, const char *key);
