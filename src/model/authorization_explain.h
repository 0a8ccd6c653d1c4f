#pragma once
/* What AuthorizationPolicies say of one call, and why: the order and the meanings are Istio's.
 * Pure. */

#include "base/addr.h"
#include "model/authorization_policy.h"
#include "model/explain.h"

/* Who calls, and what for. */
struct authorization_call {
    const char
        *principal; /* "cluster.local/ns/shop/sa/web"; NULL: in plain text, it says nothing */
    struct ip from; /* family 0: not known */
    bool http;      /* else bytes: nothing is known of what is asked */
    const struct explain_request *q;
    uint16_t port; /* at which the workload is called */
};

enum authorization_result {
    AUTHORIZATION_ALLOWED,
    AUTHORIZATION_FORBIDDEN,
    AUTHORIZATION_OPEN, /* it hangs on what is not known here: tokens, who is asked, metadata */
};

/* steps: an array to which each policy is added that has a word in it: {object, action, matches
 * ("yes", "no", "maybe"), field (of the rule that does), why}. by: which one decided; "" : none
 * had to. Owned. */
enum authorization_result authorization_explain(const struct authorization_list *list,
                                                const struct authorization_call *call,
                                                json_t *steps, char **ret_by);
