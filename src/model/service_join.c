/* Entries live from the first object that names a Service until all are gone and the owner has
 * seen that. A slice belongs to its entry; the map of slices only finds it. Everything in an entry
 * is sorted, so that the order in which objects came cannot be seen. Pure: no clock, no socket, no
 * JSON; one thread. Memory grows with the objects and nothing else. */
#include "model/service_join.h"

struct service_join *service_join_new(void)
{
    struct service_join *j = NEW(struct service_join);
    j->services.borrows = j->slices.borrows = true;
    list_init(&j->dirty);
    return j;
}

static void entry_free(struct joined_service *s)
{
    while (s->object) {
        struct service_object *next = s->object->next;
        service_object_free(s->object);
        s->object = next;
    }
    VEC_FOREACH (slice, &s->slices)
        slice_object_free(*slice);
    vec_done(&s->slices);
    free(s);
}

void service_join_free(struct service_join *j)
{
    void *value;
    if (!j)
        return;
    for (size_t at = 0; map_next(&j->services, &at, NULL, &value);)
        entry_free(value);
    map_done(&j->services);
    map_done(&j->slices);
    intern_done(&j->topologies);
    free(j);
}

void service_join_mark(struct service_join *j, struct joined_service *s)
{
    if (list_is_linked(&s->dirty))
        return;
    list_add_tail(&j->dirty, &s->dirty);
    j->n_dirty++;
}

static struct joined_service *entry_get(struct service_join *j, const char *key)
{
    struct joined_service *s = map_find_cstr(&j->services, key);
    if (!s) {
        s = xcalloc(1, sizeof(*s) + strlen(key) + 1);
        strcpy(s->key, key);
        map_put_cstr(&j->services, s->key, s);
    }
    return s;
}

/* Where that of a cluster stands, or would. */
static struct service_object **object_at(struct joined_service *s, uint16_t cluster)
{
    struct service_object **at = &s->object;
    while (*at && (*at)->cluster < cluster)
        at = &(*at)->next;
    return at;
}

void service_join_add_service(struct service_join *j, struct service_object **object)
{
    ASSERT(*object);
    struct joined_service *s = entry_get(j, (*object)->key);
    struct service_object **at = object_at(s, (*object)->cluster), *before = *at;
    j->n_services += s->object == NULL;
    if (before && before->cluster == (*object)->cluster) {
        (*object)->next = before->next;
        service_object_free(before);
    } else {
        (*object)->next = before;
    }
    *at = TAKE(*object);
    service_join_mark(j, s);
}

void service_join_remove_service_of(struct service_join *j, struct str key, uint16_t cluster)
{
    struct joined_service *s = map_find(&j->services, key);
    struct service_object **at = s ? object_at(s, cluster) : NULL, *gone = at ? *at : NULL;
    if (!gone || gone->cluster != cluster)
        return;
    *at = gone->next;
    service_object_free(gone);
    ASSERT(j->n_services > 0);
    j->n_services -= s->object == NULL;
    service_join_mark(j, s);
}

void service_join_remove_service(struct service_join *j, struct str key)
{
    service_join_remove_service_of(j, key, 0);
}

/* Where a slice of this key stands or would stand among those of its Service. */
static size_t slice_index(const struct joined_service *s, const char *key)
{
    size_t low = 0, high = s->slices.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(s->slices.v[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void service_join_add_slice(struct service_join *j, struct slice_object **slice)
{
    ASSERT(*slice && (*slice)->topologies == &j->topologies);
    service_join_remove_slice(j, str_from((*slice)->key));
    struct joined_service *s = entry_get(j, (*slice)->service_key);
    size_t at = slice_index(s, (*slice)->key);
    if (!s->slices.v) { /* most have one */
        s->slices.v = xmalloc(sizeof(*s->slices.v));
        s->slices.cap = 1;
    }
    vec_push(&s->slices, NULL);
    memmove(&s->slices.v[at + 1], &s->slices.v[at], (s->slices.n - 1 - at) * sizeof(*s->slices.v));
    map_put_cstr(&j->slices, (*slice)->key, *slice);
    s->slices.v[at] = TAKE(*slice);
    service_join_mark(j, s);
}

void service_join_remove_slice(struct service_join *j, struct str key)
{
    struct slice_object *slice = map_remove(&j->slices, key);
    if (!slice)
        return;
    struct joined_service *s = map_find_cstr(&j->services, slice->service_key);
    size_t at = s ? slice_index(s, slice->key) : 0;
    ASSERT(s && at < s->slices.n && s->slices.v[at] == slice);
    vec_remove(&s->slices, at);
    slice_object_free(slice);
    service_join_mark(j, s);
}

struct joined_service *service_join_find(const struct service_join *j, const char *key)
{
    return map_find_cstr(&j->services, key);
}

bool service_join_next(const struct service_join *j, size_t *at, struct joined_service **ret)
{
    void *value;
    if (!map_next(&j->services, at, NULL, &value))
        return false;
    *ret = value;
    return true;
}

void service_join_mark_all(struct service_join *j)
{
    struct joined_service *s;
    for (size_t at = 0; service_join_next(j, &at, &s);)
        service_join_mark(j, s);
}

void service_join_mark_hinted(struct service_join *j)
{
    struct joined_service *s;
    for (size_t at = 0; service_join_next(j, &at, &s);)
        VEC_FOREACH (slice, &s->slices)
            if ((*slice)->hinted)
                service_join_mark(j, s);
}

struct joined_service *service_join_take_dirty(struct service_join *j)
{
    if (list_is_empty(&j->dirty))
        return NULL;
    struct joined_service *s = CONTAINER_OF(j->dirty.next, struct joined_service, dirty);
    list_remove(&s->dirty);
    ASSERT(j->n_dirty > 0);
    j->n_dirty--;
    return s;
}

void service_join_settle(struct service_join *j, struct joined_service *s)
{
    if (s->object || s->slices.n || list_is_linked(&s->dirty))
        return;
    ASSERT(!s->user && map_find_cstr(&j->services, s->key) == s);
    map_remove_cstr(&j->services, s->key);
    entry_free(s);
}

static bool slice_has_port(const struct slice_object *slice, const char *port)
{
    for (uint32_t i = 0; i < slice->n_ports; i++)
        if (streq(slice->ports[i].name, port) && slice->ports[i].port)
            return true;
    return false;
}

bool joined_service_has_endpoints(const struct joined_service *s, const char *port)
{
    VEC_FOREACH (slice, &s->slices) {
        if (!slice_has_port(*slice, port))
            continue;
        for (uint32_t i = 0; i < (*slice)->n_endpoints; i++) {
            const struct slice_endpoint *e = &(*slice)->endpoints[i];
            if (e->ready || (e->serving && e->terminating))
                return true;
        }
    }
    return false;
}

bool joined_service_has_ip(const struct joined_service *s, uint16_t cluster, const struct ip *ip)
{
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t i = 0; (*slice)->cluster == cluster && (*slice)->family == ip->family &&
                             i < (*slice)->n_endpoints;
             i++) {
            struct ip one = slice_object_ip(*slice, i);
            if (ip_eq(&one, ip))
                return true;
        }
    return false;
}
