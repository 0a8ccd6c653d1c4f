#pragma once
/* The parts of the analysis. */

#include "model/analysis.h"

struct analysis {
    const struct analysis_input *in;
    const struct ingress_snapshot *snapshot;
    struct findings *out;
};

/* Is it one of these? */
static inline bool analysis_is(const json_t *object, const char *kind)
{
    return streq(json_key_str(object, "kind"), kind);
}

void analysis_classes(const struct analysis *a);
void analysis_routes(const struct analysis *a);
void analysis_certificates(const struct analysis *a);
void analysis_services(const struct analysis *a);
void analysis_mesh(const struct analysis *a);
void analysis_settings(const struct analysis *a);
void analysis_addresses(const struct analysis *a);
