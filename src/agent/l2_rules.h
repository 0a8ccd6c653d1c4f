#pragma once
/* Who answers for an address: pools, L2Advertisements and nodes as the API server tells them, and
 * the choice that every agent comes to alike. The rule, and the hash in it, are MetalLB's. Pure. */

#include "model/address_pool.h"

struct l2_rules;

struct l2_rules *l2_rules_new(void);
void l2_rules_free(struct l2_rules *r); /* NULL is allowed */
void l2_rules_put_pool(struct l2_rules *r, const json_t *j);
void l2_rules_remove_pool(struct l2_rules *r, struct str key);
/* What of it cannot be used: for a log line; NULL: all can. Such an advertisement announces
 * nothing. Borrowed until the next change. */
const char *l2_rules_put_advertisement(struct l2_rules *r, const json_t *j);
void l2_rules_remove_advertisement(struct l2_rules *r, struct str key);
/* Is it another one for the rules? */
bool l2_rules_put_node(struct l2_rules *r, const json_t *j);
void l2_rules_remove_node(struct l2_rules *r, struct str name);

/* A Service that has addresses. */
struct l2_question {
    const struct ip *ips;
    size_t n_ips;
    bool has_endpoints;       /* somewhere, ones that can serve */
    bool local;               /* externalTrafficPolicy Local: only nodes that have some */
    const char *const *nodes; /* those, with local */
    size_t n_nodes;
    bool (*is_alive)(const char *node, void *user);
    void *user;
};
/* The name of the node; NULL: nobody. */
const char *l2_rules_choose(const struct l2_rules *r, const struct l2_question *q);

/* By which interfaces of a node an address is announced. */
bool l2_rules_allow(const struct l2_rules *r, const struct ip *ip, const char *node,
                    const char *interface);

/* for (size_t at = 0; l2_rules_next_candidate(r, &at, &name, &ip);) : the nodes that may be chosen
 * for some address, and where their agents are (their first InternalIP; family 0: none). */
bool l2_rules_next_candidate(const struct l2_rules *r, size_t *at, const char **ret_name,
                             struct ip *ret_ip);
