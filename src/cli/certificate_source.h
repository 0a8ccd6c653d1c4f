#pragma once
/* What the Secrets among objects hold as certificates. Keys are only asked whether they fit:
 * nothing of them is kept. */

#include "codec/json.h"
#include "model/certificate.h"

struct certificate_source {
    struct certificate_facts *v;
    size_t n, cap;
};

/* objects: an array. Of Secrets of type kubernetes.io/tls, and of those that have its keys. Their
 * data is taken out of the objects. */
void certificate_source_read(struct certificate_source *s, json_t *objects);
void certificate_source_done(struct certificate_source *s);
