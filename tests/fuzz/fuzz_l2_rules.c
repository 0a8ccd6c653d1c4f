/* fuzz-layer: agent
 * Pools, L2Advertisements and Nodes: whatever stands there, who is chosen is a node that is there,
 * and an advertisement that is wrong says so. */
#include <stdlib.h>

#include "agent/l2_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The table is made of small things that end the program for want of memory. */
void fuzz_without_faults(void);
void fuzz_without_faults(void)
{
}

static bool is_alive(const char *node, void *user)
{
    (void)user;
    return *node != 'd';
}

/* A list of objects: those with spec.addresses are pools, others with a spec advertisements, others
 * nodes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *list = NULL;
    json_t *j;
    size_t i;
    const struct ip ip = {.family = AF_INET, .bytes = {192, 0, 2, 1}};
    if (json_parse(str_of(data, size), 0, NULL, &list, NULL) < 0)
        return 0;
    struct l2_rules *r = l2_rules_new();
    json_array_foreach(list, i, j)
    {
        if (json_at(j, "spec.addresses"))
            l2_rules_put_pool(r, j);
        else if (json_at(j, "spec"))
            (void)l2_rules_put_advertisement(r, j);
        else
            (void)l2_rules_put_node(r, j);
    }
    const struct l2_question q = {
        .ips = &ip, .n_ips = 1, .has_endpoints = true, .is_alive = is_alive};
    const char *name = l2_rules_choose(r, &q), *other;
    struct ip at_node;
    bool found = !name;
    for (size_t at = 0; l2_rules_next_candidate(r, &at, &other, &at_node);)
        found = found || streq(name, other);
    if (!found || (name && *name == 'd'))
        abort();
    (void)l2_rules_allow(r, &ip, name ? name : "n", "eth0");
    l2_rules_free(r);
    return 0;
}
