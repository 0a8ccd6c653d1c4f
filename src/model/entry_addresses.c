/* Which address a host gets its name says, by a hash; if that is somebody's, the next one is tried:
 * a table that is made anew mostly comes out as it was. */
#include "model/entry_addresses.h"

#include "base/hash.h"

struct item {
    char *key;
    struct item_host {
        char *name;
        struct ip has; /* in the object; family 0: nothing */
        struct ip is;  /* its own */
    } * hosts;
    size_t n;
};

struct entry_addresses {
    struct map items; /* key -> struct item */
    struct map taken; /* bytes of an address -> struct item */
};

static struct str bytes_of(const struct ip *ip)
{
    return str_of(ip->bytes, 4);
}

static bool is_of_range(const struct ip *ip)
{
    return ip->family == AF_INET && ip->bytes[0] == 240 && ip->bytes[1] == 240;
}

static struct ip nth(uint32_t n)
{
    return (struct ip){AF_INET, {240, 240, (uint8_t)(n >> 8), (uint8_t)n}};
}

/* False: it is somebody else's. */
static bool take(struct entry_addresses *t, struct item *i, struct item_host *h,
                 const struct ip *ip)
{
    if (!ip->family || !is_of_range(ip) || map_find(&t->taken, bytes_of(ip)))
        return false;
    map_put(&t->taken, bytes_of(ip), i);
    h->is = *ip;
    return true;
}

static void give_back(struct entry_addresses *t, struct item *i)
{
    for (size_t k = 0; k < i->n; k++)
        if (i->hosts[k].is.family) {
            map_remove(&t->taken, bytes_of(&i->hosts[k].is));
            i->hosts[k].is.family = 0;
        }
}

static void item_free(struct entry_addresses *t, struct item *i)
{
    if (!i)
        return;
    give_back(t, i);
    for (size_t k = 0; k < i->n; k++)
        free(i->hosts[k].name);
    free(i->hosts);
    free(i->key);
    free(i);
}

void entry_addresses_put(struct entry_addresses *t, const struct service_entry *e)
{
    struct item *before = map_remove_cstr(&t->items, e->o.key);
    if (!e->allocates) {
        item_free(t, before);
        return;
    }
    struct item *i = NEW(struct item);
    i->key = xstrdup(e->o.key);
    i->hosts = xcalloc(e->n_hosts, sizeof(*i->hosts));
    i->n = e->n_hosts;
    for (size_t k = 0; k < i->n; k++)
        i->hosts[k] = (struct item_host){.name = xstrdup(e->hosts[k]), .has = e->allocated[k]};
    /* What it was given is its own until the object says so, too. */
    for (size_t b = 0; before && b < before->n; b++)
        for (size_t k = 0; k < i->n; k++)
            if (before->hosts[b].is.family && streq(before->hosts[b].name, i->hosts[k].name) &&
                (!i->hosts[k].has.family || ip_eq(&i->hosts[k].has, &before->hosts[b].is))) {
                i->hosts[k].is = before->hosts[b].is;
                before->hosts[b].is.family = 0;
                map_put(&t->taken, bytes_of(&i->hosts[k].is), i);
            }
    item_free(t, before);
    for (size_t k = 0; k < i->n; k++)
        if (!i->hosts[k].is.family)
            (void)take(t, i, &i->hosts[k], &i->hosts[k].has); /* else entry_addresses_want() */
    map_put_cstr(&t->items, i->key, i);
}

void entry_addresses_remove(struct entry_addresses *t, struct str key)
{
    item_free(t, map_remove(&t->items, key));
}

static void choose(struct entry_addresses *t, struct item *i, struct item_host *h)
{
    AUTO_CHARS char *name = xasprintf("%s/%s", i->key, h->name);
    uint32_t first = (uint32_t)(hash_bytes_seed(name, strlen(name), 0) % ENTRY_ADDRESSES_ALL);
    for (uint32_t k = 0; k < ENTRY_ADDRESSES_ALL; k++) {
        struct ip ip = nth(1 + (first + k) % ENTRY_ADDRESSES_ALL);
        if (take(t, i, h, &ip))
            return;
    }
}

json_t *entry_addresses_want(struct entry_addresses *t, struct str key)
{
    struct item *i = map_find(&t->items, key);
    char text[IP_TEXT_BYTES];
    bool differs = false;
    for (size_t k = 0; i && k < i->n; k++) {
        struct item_host *h = &i->hosts[k];
        if (!h->is.family)
            choose(t, i, h);
        differs = differs || !ip_eq(&h->is, &h->has);
    }
    if (!differs)
        return NULL;
    json_t *list = json_array();
    for (size_t k = 0; k < i->n; k++)
        if (i->hosts[k].is.family)
            json_array_append_new(list, json_pack("{s:s,s:s}", "host", i->hosts[k].name, "value",
                                                  ip_format(&i->hosts[k].is, text)));
    return list;
}

bool entry_addresses_next(const struct entry_addresses *t, size_t *at, struct str *ret_key)
{
    return map_next(&t->items, at, ret_key, NULL);
}

struct entry_addresses *entry_addresses_new(void)
{
    return NEW(struct entry_addresses);
}

void entry_addresses_free(struct entry_addresses *t)
{
    void *i;
    if (!t)
        return;
    for (size_t at = 0; map_next(&t->items, &at, NULL, &i);)
        item_free(t, i);
    map_done(&t->items);
    map_done(&t->taken);
    free(t);
}
