#pragma once
/* RequestAuthentications (security.istio.io/v1): whose tokens count at a workload, and where they
 * stand. Pure. One that cannot be read is told; its last good form holds, and without one every
 * token is refused there. */

#include "model/selected_objects.h"

enum { REQUEST_AUTHENTICATION_RULES_MAX = 16, REQUEST_AUTHENTICATION_KEYS_BYTES_MAX = 256 * 1024 };

struct request_authentication {
    struct istio_object o;
    const json_t *labels;
    bool nobodys;
    bool broken;
    const json_t *rules; /* of the object, checked: jwtRules; NULL: none */
};

/* NULL: no object. */
struct request_authentication *request_authentication_decode(const json_t *j);
void request_authentication_free(struct request_authentication *r); /* NULL is allowed */

/* How long a key set of that rule (jwtRules[i]) is waited for. */
uint64_t request_authentication_timeout_ms(const json_t *rule, uint64_t otherwise);

/* struct request_authentication of workloads. */
struct selected_objects *request_authentications_new(const char *root_namespace);
struct request_authentication_list {
    VEC(const struct request_authentication *) v;
};
/* All that hold, of whomever. */
void request_authentications_each(const struct selected_objects *t,
                                  struct request_authentication_list *ret);
void request_authentications_find(const struct selected_objects *t, struct str ns,
                                  const struct workloads *pods, const struct workload *pod,
                                  struct request_authentication_list *ret);
