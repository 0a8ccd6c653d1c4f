#pragma once
/* Kinds of Istio's that are taken and have no effect here: nobody is to believe that they have.
 * And WorkloadGroups, of which it is looked at what they say, and nothing else is kept. Pure. */

#include "model/istio_object.h"

bool unserved_kind(const char *kind, const char *version);

struct unserved_object {
    struct istio_object o; /* its findings; of a kind without effect at least that */
};

/* NULL: of no such kind, or it has no name. */
struct unserved_object *unserved_object_decode(const json_t *object, const char *kind,
                                               const char *version);
void unserved_object_free(struct unserved_object *u); /* NULL is allowed */
