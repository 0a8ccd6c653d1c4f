/* The table of frontends a backend has put in place, and the plan from one list of endpoints to the
 * next. What stays keeps its index, so one endpoint more or less changes one or two indices
 * whatever the count. No kernel, no threads; the table owns its states. */
#include "dataplane/frontend_table.h"

#include <stdio.h>

static struct str key_str(const struct frontend_key *k)
{
    return str_of(k, sizeof(*k));
}

static void state_free(struct frontend_state *s)
{
    for (int i = 0; i < _SCOPE_MAX; i++)
        free(s->slots[i].v);
    free(s->sources);
    free(s);
}

void frontend_table_done(struct frontend_table *t)
{
    void *value;
    for (size_t at = 0; map_next(&t->map, &at, NULL, &value);)
        state_free(value);
    map_done(&t->map);
}

struct frontend_state *frontend_table_find(const struct frontend_table *t,
                                           const struct frontend_key *k)
{
    return map_find(&t->map, key_str(k));
}

struct frontend_state *frontend_table_get(struct frontend_table *t, const struct frontend_key *k)
{
    ASSERT((k->family == AF_INET || k->family == AF_INET6) && k->zero == 0);
    struct frontend_state *s = frontend_table_find(t, k);
    if (s)
        return s;
    s = NEW(struct frontend_state);
    s->key = *k;
    t->map.borrows = true;
    map_put(&t->map, key_str(&s->key), s);
    return s;
}

void frontend_table_remove(struct frontend_table *t, const struct frontend_key *k)
{
    struct frontend_state *s = map_remove(&t->map, key_str(k));
    if (s)
        state_free(s);
}

bool frontend_table_next(const struct frontend_table *t, size_t *at, struct frontend_state **ret)
{
    void *value;
    if (!map_next(&t->map, at, NULL, &value))
        return false;
    *ret = value;
    return true;
}

bool endpoint_eq(const struct dataplane_endpoint *a, const struct dataplane_endpoint *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static int endpoint_cmp(const void *pa, const void *pb)
{
    const struct dataplane_endpoint *a = pa, *b = pb;
    int r = memcmp(a->ip, b->ip, sizeof(a->ip));
    return r ? r : (a->port > b->port) - (a->port < b->port);
}

static void slots_reserve(struct endpoint_slots *s, uint32_t n)
{
    if (n <= s->size)
        return;
    /* Most Services have one endpoint and keep it: grow exactly at first. */
    uint32_t size = s->size ? MAX(n, s->size * 2) : n;
    s->v = xrealloc(s->v, size * sizeof(*s->v));
    memset(s->v + s->size, 0, (size - s->size) * sizeof(*s->v));
    s->size = size;
}

void endpoint_slots_put(struct endpoint_slots *s, uint32_t index,
                        const struct dataplane_endpoint *e)
{
    ASSERT(index < DATAPLANE_ENDPOINTS_MAX);
    slots_reserve(s, index + 1);
    s->v[index] = *e;
    s->n = MAX(s->n, index + 1);
}

bool endpoint_slots_have(const struct endpoint_slots *s, const struct dataplane_endpoint *e)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (endpoint_eq(&s->v[i], e))
            return true;
    return false;
}

/* What is wanted and not there yet, in sorted order; what is there and not wanted is marked in
 * gone[]. */
static uint32_t plan_added(const struct endpoint_slots *s, struct dataplane_endpoint *want,
                           uint32_t n, bool *gone, struct dataplane_endpoint *added)
{
    uint32_t n_added = 0;
    bool *kept = xcalloc(n + 1, sizeof(bool));
    qsort(want, n, sizeof(*want), endpoint_cmp);
    for (uint32_t i = 0; i < s->n; i++) {
        struct dataplane_endpoint *hit = bsearch(&s->v[i], want, n, sizeof(*want), endpoint_cmp);
        gone[i] = !hit || kept[hit - want];
        if (hit)
            kept[hit - want] = true;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!kept[i] && (i == 0 || !endpoint_eq(&want[i], &want[i - 1])))
            added[n_added++] = want[i];
    free(kept);
    return n_added;
}

/* Fills the holes: new endpoints first, then the last ones move down. Returns the new count. */
static uint32_t plan_fill(struct endpoint_slots *s, bool *gone,
                          const struct dataplane_endpoint *added, uint32_t n_added,
                          endpoint_index_fn *on_index, void *user)
{
    uint32_t used = 0, end = s->n;
    for (uint32_t i = 0; i < end; i++) {
        struct dataplane_endpoint old = s->v[i];
        if (!gone[i])
            continue;
        if (used < n_added) {
            s->v[i] = added[used++];
            on_index(i, &old, &s->v[i], user);
            continue;
        }
        while (end > i + 1 && gone[end - 1]) {
            end--;
            on_index(end, &s->v[end], NULL, user);
        }
        end--;
        if (end == i) {
            on_index(i, &old, NULL, user);
            break;
        }
        on_index(end, &s->v[end], NULL, user);
        s->v[i] = s->v[end];
        on_index(i, &old, &s->v[i], user);
    }
    s->n = end;
    for (; used < n_added; used++) {
        endpoint_slots_put(s, s->n, &added[used]);
        on_index(s->n - 1, NULL, &s->v[s->n - 1], user);
    }
    ASSERT(used == n_added && s->n <= s->size);
    return s->n;
}

void endpoint_slots_change(struct endpoint_slots *s, const struct dataplane_endpoint *want,
                           uint32_t n, endpoint_index_fn *on_index, void *user)
{
    ASSERT(n <= DATAPLANE_ENDPOINTS_MAX && (want || n == 0));
    struct dataplane_endpoint *sorted = xcalloc(n + 1, sizeof(*sorted)),
                              *added = xcalloc(n + 1, sizeof(*added));
    bool *gone = xcalloc(s->n + 1, sizeof(bool));
    if (n)
        memcpy(sorted, want, n * sizeof(*want));
    uint32_t n_added = plan_added(s, sorted, n, gone, added);
    plan_fill(s, gone, added, n_added, on_index, user);
    free(sorted);
    free(added);
    free(gone);
}

/* ---- sources ---- */

static bool prefixes_have(const struct prefix *v, size_t n, const struct prefix *p)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].len == p->len && ip_eq(&v[i].ip, &p->ip))
            return true;
    return false;
}

void frontend_state_change_sources(struct frontend_state *s, bool restricted,
                                   const struct prefix *want, size_t n,
                                   void (*on_source)(bool add, const struct prefix *p, void *user),
                                   void *user)
{
    ASSERT(want || n == 0);
    COUNT_IF(n > DATAPLANE_SOURCES_MAX, "more source ranges than are put in place");
    n = restricted ? MIN(n, (size_t)DATAPLANE_SOURCES_MAX) : 0;
    for (uint32_t i = 0; i < s->n_sources; i++)
        if (!prefixes_have(want, n, &s->sources[i]))
            on_source(false, &s->sources[i], user);
    for (size_t i = 0; i < n; i++)
        if (!prefixes_have(s->sources, s->n_sources, &want[i]))
            on_source(true, &want[i], user);
    struct prefix *copy = n ? xcalloc(n, sizeof(*copy)) : NULL;
    if (n)
        memcpy(copy, want, n * sizeof(*copy));
    free(s->sources);
    s->sources = copy;
    s->n_sources = (uint32_t)n;
    s->restricted = restricted;
}

/* ---- dump ---- */

static int line_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void state_lines(const struct frontend_state *s, enum endpoint_scope scope, char ***lines,
                        size_t *n)
{
    char ip[IP_TEXT_BYTES], ep[IP_TEXT_BYTES], of[IP_TEXT_BYTES];
    struct ip a = {.family = s->key.family}, e = a, g = a;
    const struct endpoint_slots *slots = &s->slots[scope];
    memcpy(a.bytes, s->key.ip, 16);
    memcpy(g.bytes, s->affinity_key.ip, 16);
    AUTO_CHARS char *sticky =
        s->affinity_s ? xasprintf(" affinity %us of %s %u/%u", s->affinity_s, ip_format(&g, of),
                                  s->affinity_key.proto, s->affinity_key.port)
                      : xstrdup("");
    AUTO_CHARS char *head = xasprintf(
        "%u %s %u/%u policy %u%s%s", s->key.family, s->key.node_port ? "node" : ip_format(&a, ip),
        s->key.proto, s->key.port, s->policy, sticky, scope == SCOPE_LOCAL ? " local" : "");
    *lines = xrealloc(*lines, (*n + slots->n + 1) * sizeof(char *));
    if (slots->n == 0)
        (*lines)[(*n)++] = xasprintf("%s: none", head);
    for (uint32_t i = 0; i < slots->n; i++) {
        memcpy(e.bytes, slots->v[i].ip, 16);
        (*lines)[(*n)++] = xasprintf("%s: %s %u", head, ip_format(&e, ep), slots->v[i].port);
    }
}

static void source_lines(const struct frontend_state *s, char ***lines, size_t *n)
{
    char text[PREFIX_TEXT_BYTES], ip[IP_TEXT_BYTES];
    struct ip a = {.family = s->key.family};
    if (!s->restricted)
        return;
    memcpy(a.bytes, s->key.ip, 16);
    *lines = xrealloc(*lines, (*n + s->n_sources + 1) * sizeof(char *));
    if (s->n_sources == 0)
        (*lines)[(*n)++] = xasprintf("%u %s %u/%u from nowhere", s->key.family, ip_format(&a, ip),
                                     s->key.proto, s->key.port);
    for (uint32_t i = 0; i < s->n_sources; i++)
        (*lines)[(*n)++] =
            xasprintf("%u %s %u/%u from %s", s->key.family, ip_format(&a, ip), s->key.proto,
                      s->key.port, prefix_format(&s->sources[i], text));
}

void frontend_table_dump(const struct frontend_table *t, struct buf *out)
{
    struct frontend_state *s;
    char **lines = NULL;
    size_t n = 0;
    for (size_t at = 0; frontend_table_next(t, &at, &s);) {
        source_lines(s, &lines, &n);
        for (int i = 0; i < (dataplane_policy_is_local(s->policy) ? _SCOPE_MAX : 1); i++)
            state_lines(s, (enum endpoint_scope)i, &lines, &n);
    }
    if (n)
        qsort(lines, n, sizeof(*lines), line_cmp);
    for (size_t i = 0; i < n; i++) {
        buf_add_cstr(out, lines[i]);
        buf_add_char(out, '\n');
        free(lines[i]);
    }
    free(lines);
}
