#pragma once
/* Everything there is to say about a set of objects before they serve anybody: what the control
 * plane tells by Events (the same functions say it), and what only a look at all of them shows.
 * Pure: the clock and what certificates hold are given. docs/analyze.md lists what can be said. */

#include "model/certificate.h"
#include "model/ingress_snapshot.h"

struct analysis_code {
    const char *code;     /* FL0101 */
    const char *id;       /* the finding's */
    const char *kind;     /* of the object that is named */
    const char *severity; /* in words, as far as it is fixed */
    const char *what;
};

/* NULL: no such row. */
const struct analysis_code *analysis_code_row(size_t n);
const struct analysis_code *analysis_code_find(const char *id);

struct analysis_input {
    const struct ingress_options *ingress;
    const json_t
        *objects; /* an array; v1 forms, each with its namespace; Pods and workloads, too */
    const struct certificate_facts *certificates; /* of the Secrets; n_certificates */
    size_t n_certificates;
    /* These kinds are all there is: what is missing is missing. Else nothing is said of absence. */
    bool knows_classes, knows_services, knows_endpoints, knows_pods, knows_secrets;
    bool knows_passwords; /* Secrets of type kubernetes.io/basic-auth */
    int64_t now_s;        /* Unix time */
};

/* Appends findings, by object. Objects of no namespace are named by their name alone. */
void analysis_run(const struct analysis_input *in, struct findings *ret);
