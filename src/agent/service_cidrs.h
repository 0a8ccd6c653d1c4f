#pragma once
/* The networks that Services' addresses come from, by the objects of the kind ServiceCIDR. Pure. */

#include "base/addr.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/json.h"

struct network_list {
    struct prefix *v;
    size_t n;
    size_t cap;
};
bool network_list_eq(const struct network_list *a, const struct network_list *b);
/* The prefixes of a JSON list of strings, sorted, none twice; what is none is left out. */
void network_list_add_json(struct network_list *l, const json_t *texts);
void network_list_sort(struct network_list *l);

struct service_cidrs {
    struct map by_name; /* -> struct network_list */
};
void service_cidrs_set(struct service_cidrs *s, const json_t *object);
void service_cidrs_remove(struct service_cidrs *s, struct str name);
/* All of them together. */
void service_cidrs_collect(const struct service_cidrs *s, struct network_list *ret);
void service_cidrs_done(struct service_cidrs *s);
