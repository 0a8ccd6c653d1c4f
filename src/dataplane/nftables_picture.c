/* The picture of what is in the kernel, as far as writing and reading back share it: the value a
 * frontend has in the maps, and which classes of endpoint counts are used and there. No netlink. */
#include "dataplane/nftables_backend.h"

struct values nftables_values(const struct frontend_state *s)
{
    struct values r = {{0}};
    ASSERT(s->slots[SCOPE_CLUSTER].n <= DATAPLANE_ENDPOINTS_MAX &&
           s->slots[SCOPE_LOCAL].n <= DATAPLANE_ENDPOINTS_MAX);
    if (s->policy)
        r.v[SCOPE_CLUSTER] = (s->restricted ? VALUE_RESTRICTED : 0u) |
                             (s->group ? VALUE_AFFINITY : 0u) |
                             (uint32_t)s->policy << VALUE_POLICY_SHIFT | s->slots[SCOPE_CLUSTER].n;
    if (s->slots[SCOPE_LOCAL].n)
        r.v[SCOPE_LOCAL] =
            (s->group ? VALUE_AFFINITY : 0u) | VALUE_SCOPE_LOCAL | s->slots[SCOPE_LOCAL].n;
    return r;
}

struct class *nftables_class(struct nftables *n, unsigned family, uint32_t count)
{
    ASSERT(family < 2);
    uint32_t number = count & VALUE_COUNT_MASK & ~(uint32_t)VALUE_SCOPE_LOCAL;
    return &n->classes[family][count & VALUE_SCOPE_LOCAL ? SCOPE_LOCAL : SCOPE_CLUSTER]
                      [MIN(number, (uint32_t)DATAPLANE_ENDPOINTS_MAX)];
}

static void count_class(struct nftables *n, const struct class *c, int by)
{
    ASSERT(by > 0 || n->n_classes >= c->in_kernel);
    n->n_classes += c->in_kernel ? (uint32_t)by : 0u;
    n->n_idle += c->in_kernel && c->refs == 0 ? (uint32_t)by : 0u;
}

void nftables_class_note(struct nftables *n, struct class *c, bool in_kernel)
{
    count_class(n, c, -1);
    c->in_kernel = in_kernel;
    count_class(n, c, 1);
}

void nftables_class_use(struct nftables *n, const struct frontend_key *k, uint32_t count, int by)
{
    unsigned f = family_index(k->family);
    struct class *c = nftables_class(n, f, count);
    if (count == 0)
        return;
    ASSERT(by > 0 || c->refs > 0);
    count_class(n, c, -1);
    c->refs += (uint32_t)by;
    count_class(n, c, 1);
    if (by < 0 || c->in_kernel)
        return;
    nftables_class_note(n, c, true);
    vec_push(&n->classes_new[f], count);
}
