#pragma once
/* DestinationRule (networking.istio.io): how a Service is called, and which of its endpoints have
 * names of their own (subsets). Immutable. */

#include "model/istio_object.h"
#include "model/traffic_policy.h"

struct destination_rule {
    struct istio_object o;
    char *host;               /* in full; may begin with an asterisk */
    const json_t *selector;   /* labels of the clients it is for; NULL: all; borrowed from spec */
    const char **credentials; /* names of Secrets, for TLS; borrowed from spec */
    size_t n_credentials;
    bool by_locality, by_labels; /* whom a client calls first hangs on where, or on who it is */
};

struct destination_rule *destination_rule_decode(const json_t *j); /* NULL: it has no name */
/* Is it by that Secret, or by its CA's? */
bool destination_rule_has_credential(const struct destination_rule *d, struct str secret);
#define DESTINATION_CA_SUFFIX "-cacert"                 /* of a Secret that has whom to trust */
void destination_rule_free(struct destination_rule *d); /* NULL is allowed */
DEFINE_AUTO(destination_rule);

/* What several rules for one host and client say together: the policy of the first that has one,
 * all subsets, of two of a name the first. */
struct destination_subset {
    const char *name;
    const json_t *labels, *policy; /* NULL: none */
};

struct destination {
    const json_t *policy; /* NULL: none */
    struct destination_subset *subsets;
    size_t n_subsets;
    bool selected; /* by a rule that selects clients, which has Secrets of their namespace */
};

void destination_add(struct destination *d, const struct destination_rule *rule);
void destination_done(struct destination *d); /* what it names is the rules' */
/* NULL: there is none. */
const struct destination_subset *destination_find(const struct destination *d, const char *name);
/* For a port: what is said of the port stands in place of what is said of all; what a subset says
 * (NULL: all endpoints) in place of the whole, part by part. */
void destination_policy(const struct destination *d, const struct destination_subset *s,
                        uint16_t port, struct traffic_policy *ret);
