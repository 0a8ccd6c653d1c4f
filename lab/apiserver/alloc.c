/* The index of what Services hold, so that an allocation is a look-up however many Services there
 * are.
 *
 * Owns one map from the text of an address or port/NUMBER to the uid of its Service. A number
 * belongs to one Service, whatever the protocol, health check ports included. */
#include "lab/apiserver/alloc.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/addr.h"

enum { KEY_BYTES = 64 };

void alloc_done(struct alloc *a)
{
    void *uid;
    for (size_t at = 0; map_next(&a->owners, &at, NULL, &uid);)
        free(uid);
    map_done(&a->owners);
}

static const char *port_key(int64_t port, char ret[KEY_BYTES])
{
    snprintf(ret, KEY_BYTES, "port/%" PRId64, port);
    return ret;
}

/* Addresses have many spellings (fd00::a, fd00::000A) and one key. */
static const char *address_key(const char *text, char ret[KEY_BYTES])
{
    struct ip ip;
    if (ip_parse(str_from(text), &ip) < 0)
        return text;
    return ip_format(&ip, ret);
}

static void each_holding(const json_t *service,
                         void (*fn)(struct alloc *a, const char *key, const char *uid),
                         struct alloc *a)
{
    const char *uid = json_at_str(service, "metadata.uid");
    int64_t health = json_at_int(service, "spec.healthCheckNodePort", 0);
    char key[KEY_BYTES];
    size_t i;
    json_t *v;
    if (!uid)
        return;
    json_array_foreach(json_at(service, "spec.clusterIPs"), i,
                       v) if (json_is_string(v) && !streq(json_string_value(v), "None"))
        fn(a, address_key(json_string_value(v), key), uid);
    json_array_foreach(json_at(service, "spec.ports"), i, v) if (json_at_int(v, "nodePort", 0))
        fn(a, port_key(json_at_int(v, "nodePort", 0), key), uid);
    if (health)
        fn(a, port_key(health, key), uid);
}

static void take(struct alloc *a, const char *key, const char *uid)
{
    free(map_put_cstr(&a->owners, key, xstrdup(uid)));
}

static void release(struct alloc *a, const char *key, const char *uid)
{
    if (streq(map_find_cstr(&a->owners, key), uid))
        free(map_remove_cstr(&a->owners, key));
}

void alloc_take(struct alloc *a, const json_t *service)
{
    each_holding(service, take, a);
}

void alloc_release(struct alloc *a, const json_t *service)
{
    each_holding(service, release, a);
}

bool alloc_address_taken(const struct alloc *a, const char *ip, const char *uid)
{
    char key[KEY_BYTES];
    const char *owner = map_find_cstr(&a->owners, address_key(ip, key));
    return owner && !streq(owner, uid);
}

bool alloc_port_taken(const struct alloc *a, int64_t port, const char *uid)
{
    char key[KEY_BYTES];
    const char *owner = map_find_cstr(&a->owners, port_key(port, key));
    return owner && !streq(owner, uid);
}
