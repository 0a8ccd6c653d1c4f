/* ServiceCIDRs by name, and what they are together. An object that is being deleted counts until it
 * is gone, as for kube-proxy: addresses of it may still be held. */
#include "agent/service_cidrs.h"

#include <stdlib.h>

enum { CIDRS_MAX = 1000 };

static int prefix_order(const void *a, const void *b)
{
    const struct prefix *x = a, *y = b;
    int r = ip_cmp(&x->ip, &y->ip);
    return r ? r : (int)x->len - (int)y->len;
}

void network_list_sort(struct network_list *l)
{
    size_t kept = 0;
    if (l->n)
        qsort(l->v, l->n, sizeof(*l->v), prefix_order);
    for (size_t i = 0; i < l->n; i++)
        if (i == 0 || prefix_order(&l->v[i], &l->v[kept - 1]) != 0)
            l->v[kept++] = l->v[i];
    l->n = kept;
}

bool network_list_eq(const struct network_list *a, const struct network_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (prefix_order(&a->v[i], &b->v[i]) != 0)
            return false;
    return true;
}

void network_list_add_json(struct network_list *l, const json_t *texts)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)texts, i, one)
    {
        struct prefix p;
        const char *text = json_string_value(one);
        if (!text || prefix_parse(str_from(text), &p) < 0 || l->n >= CIDRS_MAX)
            continue;
        p.ip = prefix_network(&p);
        vec_push(l, p);
    }
    network_list_sort(l);
}

static void list_free(struct network_list *l)
{
    if (l)
        vec_done(l);
    free(l);
}

void service_cidrs_set(struct service_cidrs *s, const json_t *object)
{
    const char *name = json_at_str(object, "metadata.name");
    if (!name)
        return;
    struct network_list *l = NEW(struct network_list);
    network_list_add_json(l, json_at(object, "spec.cidrs"));
    list_free(map_put_cstr(&s->by_name, name, l));
}

void service_cidrs_remove(struct service_cidrs *s, struct str name)
{
    list_free(map_remove(&s->by_name, name));
}

void service_cidrs_collect(const struct service_cidrs *s, struct network_list *ret)
{
    void *value;
    for (size_t at = 0; map_next(&s->by_name, &at, NULL, &value);) {
        const struct network_list *l = value;
        for (size_t i = 0; i < l->n && ret->n < CIDRS_MAX; i++)
            vec_push(ret, l->v[i]);
    }
    network_list_sort(ret);
}

void service_cidrs_done(struct service_cidrs *s)
{
    void *value;
    for (size_t at = 0; map_next(&s->by_name, &at, NULL, &value);)
        list_free(value);
    map_done(&s->by_name);
}
