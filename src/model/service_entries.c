/* By name, and by host. What an entry adds is remembered by it, so that it can be taken out. */
#include "model/service_entries.h"

#include "base/vec.h"
#include "model/service_selectors.h"
#include "model/workload_registration.h"

struct added {
    struct service_entry *entry;
    VEC(char *) slices;    /* keys, in the join */
    VEC(char *) workloads; /* keys, in the table */
};

struct host {
    VEC(const struct service_entry *) v;
    unsigned generation; /* of the table, when it last changed */
};

struct service_entries {
    struct service_join *join;
    struct workloads *pods;
    struct map entries;   /* key -> struct added */
    struct map hosts;     /* name -> struct host */
    struct map workloads; /* key of a WorkloadEntry -> struct workload_entry */
    struct map dirty;     /* keys of entries that select something else now */
    struct service_selectors *services;
    unsigned generation;
};

/* ---- hosts ---- */

static void host_add(struct service_entries *t, const struct service_entry *e, const char *name)
{
    struct host *h = map_find_cstr(&t->hosts, name);
    if (!h) {
        h = NEW(struct host);
        map_put_cstr(&t->hosts, name, h);
    }
    vec_push(&h->v, e);
    h->generation = ++t->generation;
}

static void host_remove(struct service_entries *t, const struct service_entry *e, const char *name)
{
    struct host *h = map_find_cstr(&t->hosts, name);
    for (size_t i = 0; i < h->v.n; i++)
        if (h->v.v[i] == e) {
            vec_remove(&h->v, i);
            break;
        }
    h->generation = ++t->generation;
    if (h->v.n)
        return;
    map_remove_cstr(&t->hosts, name);
    vec_done(&h->v);
    free(h);
}

/* Whose of several it is may be somebody else's now. */
static void mark_host(struct service_entries *t, const char *name)
{
    char *key;
    for (size_t at = 0; (key = service_entries_next(t, name, &at));) {
        struct joined_service *s = service_join_find(t->join, key);
        if (s)
            service_join_mark(t->join, s);
        free(key);
    }
}

void service_entries_put_service(struct service_entries *t, const json_t *service)
{
    service_selectors_put(t->services, service);
}

void service_entries_remove_service(struct service_entries *t, struct str key)
{
    service_selectors_remove(t->services, key);
}

void service_entries_service_changed(struct service_entries *t, const char *key)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    AUTO_CHARS char *text = xasprintf(STR_FMT "." STR_FMT, STR_ARG(name), STR_ARG(ns));
    struct host *h = map_find_cstr(&t->hosts, text);
    if (!h)
        return;
    h->generation = ++t->generation;
    mark_host(t, text);
}

/* ---- what an entry adds ---- */

static bool is_selected(const struct service_entries *t, const struct service_entry *e,
                        const struct workload *w)
{
    return str_is(workload_namespace(w), e->o.ns) && !w->ending && w->n_ips &&
           workload_has_labels(t->pods, w, e->selector);
}

/* What is said of it as a WorkloadEntry; NULL: it is a pod. */
static const json_t *spec_of(const struct service_entries *t, const struct workload *w)
{
    const char *name = strstr(w->key, "/.we/");
    if (!name)
        return NULL;
    AUTO_CHARS char *key = xasprintf(STR_FMT "/%s", STR_ARG(workload_namespace(w)), name + 5);
    const struct workload_entry *e = map_find_cstr(&t->workloads, key);
    return e ? e->o.spec : NULL;
}

static void add_endpoints(const struct service_entries *t, struct entry_slices *s)
{
    const struct service_entry *e = s->entry;
    const struct workload *w;
    for (size_t i = 0; i < e->n_endpoints && e->resolution == ENTRY_STATIC; i++)
        entry_slices_add(s, &e->endpoints[i].ip, e->endpoints[i].spec);
    for (size_t at = 0; e->selector && workloads_next(t->pods, &at, &w);)
        if (is_selected(t, e, w) && !strstr(w->key, "/.se/"))
            entry_slices_add(s, &w->ips[0], spec_of(t, w));
}

static void put_slices(struct service_entries *t, struct added *a, const char *host)
{
    const struct slice_decoding decoding = {.topologies = &t->join->topologies};
    AUTO_JSON json_t *list = json_array();
    struct entry_slices s = {list, a->entry, host};
    size_t i;
    json_t *j;
    add_endpoints(t, &s);
    json_array_foreach(list, i, j)
    {
        struct slice_object *slice = slice_object_decode(j, &decoding);
        vec_push(&a->slices, xstrdup(slice->key));
        service_join_add_slice(t->join, &slice);
    }
}

static void take_slices(struct service_entries *t, struct added *a)
{
    VEC_FOREACH (key, &a->slices) {
        service_join_remove_slice(t->join, str_from(*key));
        free(*key);
    }
    vec_clear(&a->slices);
}

static void put_host(struct service_entries *t, struct added *a, const char *host)
{
    AUTO_CHARS char *key = service_key_of_entry(a->entry->o.ns, a->entry->o.name, host);
    AUTO_JSON json_t *j = service_entry_service(a->entry, host);
    struct service_object *object = service_object_decode(j);
    service_join_add_service(t->join, &object);
    service_join_find(t->join, key)->entry = a->entry;
    put_slices(t, a, host);
}

/* Its labels choose subsets, its account is whom others expect. */
static void put_workloads(struct service_entries *t, struct added *a)
{
    const struct service_entry *e = a->entry;
    for (size_t i = 0; i < e->n_endpoints && e->resolution == ENTRY_STATIC; i++) {
        AUTO_CHARS char *name = xasprintf(".se/%s/%zu", e->o.name, i);
        AUTO_JSON json_t *pod =
            service_entry_workload(e->o.ns, name, e->o.name, e->endpoints[i].spec);
        workloads_put(t->pods, pod);
        vec_push(&a->workloads, xasprintf("%s/%s", e->o.ns, name));
    }
}

static void take_workloads(struct service_entries *t, struct added *a, size_t from)
{
    for (size_t i = from; i < a->workloads.n; i++) {
        workloads_remove(t->pods, str_from(a->workloads.v[i]));
        free(a->workloads.v[i]);
    }
    a->workloads.n = MIN(a->workloads.n, from);
}

/* ---- entries ---- */

static bool has_host(const struct service_entry *e, const char *host)
{
    for (size_t i = 0; e && i < e->n_hosts; i++)
        if (streq(e->hosts[i], host))
            return true;
    return false;
}

/* What an entry was; now: what takes its place, whose hosts stay; NULL: nothing. */
static void retire(struct service_entries *t, struct service_entry *e,
                   const struct service_entry *now)
{
    for (size_t i = 0; i < e->n_hosts; i++) {
        host_remove(t, e, e->hosts[i]);
        if (has_host(now, e->hosts[i]))
            continue;
        AUTO_CHARS char *key = service_key_of_entry(e->o.ns, e->o.name, e->hosts[i]);
        struct joined_service *s = service_join_find(t->join, key);
        if (s)
            s->entry = NULL;
        service_join_remove_service(t->join, str_from(key));
        mark_host(t, e->hosts[i]);
    }
    service_entry_free(e);
}

void service_entries_put(struct service_entries *t, struct service_entry *e)
{
    struct added *a = map_find_cstr(&t->entries, e->o.key);
    if (!a) {
        a = NEW(struct added);
        map_put_cstr(&t->entries, e->o.key, a);
    }
    struct service_entry *before = a->entry;
    size_t n_workloads = a->workloads.n;
    a->entry = e;
    take_slices(t, a);
    for (size_t i = 0; i < n_workloads; i++) /* told by their keys, which may be the same again */
        free(a->workloads.v[i]);
    vec_clear(&a->workloads);
    put_workloads(t, a);
    for (size_t i = a->workloads.n; i < n_workloads; i++) {
        AUTO_CHARS char *key = xasprintf("%s/.se/%s/%zu", e->o.ns, e->o.name, i);
        workloads_remove(t->pods, str_from(key));
    }
    for (size_t i = 0; i < e->n_hosts; i++) {
        host_add(t, e, e->hosts[i]);
        put_host(t, a, e->hosts[i]);
        mark_host(t, e->hosts[i]);
    }
    if (before)
        retire(t, before, e);
}

void service_entries_remove(struct service_entries *t, struct str key)
{
    struct added *a = map_remove(&t->entries, key);
    if (!a)
        return;
    map_remove(&t->dirty, key);
    take_slices(t, a);
    take_workloads(t, a, 0);
    retire(t, a->entry, NULL);
    vec_done(&a->slices);
    vec_done(&a->workloads);
    free(a);
}

const struct service_entry *service_entries_find(const struct service_entries *t, struct str key)
{
    const struct added *a = map_find(&t->entries, key);
    return a ? a->entry : NULL;
}

/* ---- workloads ---- */

static void check_workload(struct workload_entry *e)
{
    struct ip ip;
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &e->o.findings, .object = e->o.key, .id = "WorkloadEntryInvalid"};
    const char *address = json_key_str(e->o.spec, "address");
    size_t mark = reader_enter(&r, "spec");
    if (str_empty(address))
        reader_error(&r, "address", "write an IP address", "is missing");
    else if (ip_parse(str_from(address), &ip) < 0)
        reader_error(&r, "address", "write one, or name it in a ServiceEntry's endpoints",
                     "%.100s is no IP address", address);
    reader_leave(&r, mark);
}

static void workload_entry_free(struct workload_entry *e)
{
    if (e)
        istio_object_done(&e->o);
    free(e);
}

const struct istio_object *service_entries_put_workload(struct service_entries *t,
                                                        const json_t *object)
{
    struct workload_entry *e = NEW(struct workload_entry);
    if (!istio_object_decode(object, &e->o)) {
        workload_entry_free(e);
        return NULL;
    }
    check_workload(e);
    AUTO_CHARS char *name = xasprintf(".we/%s", e->o.name);
    AUTO_JSON json_t *pod = service_entry_workload(e->o.ns, name, e->o.name, e->o.spec);
    if (registration_is_unwell(object)) /* known, and called by nobody: as a pod that ends */
        json_object_set_new(json_object_get(pod, "metadata"), "deletionTimestamp",
                            json_string("unwell"));
    struct workload_entry *before = map_put_cstr(&t->workloads, e->o.key, e);
    bool moved = before && !json_equal(json_object_get(before->o.spec, "ports"),
                                       json_object_get(e->o.spec, "ports"));
    workload_entry_free(before);
    workloads_put(t->pods, pod);
    AUTO_CHARS char *key = xasprintf("%s/%s", e->o.ns, name);
    const struct workload *w = workloads_find(t->pods, str_from(key));
    if (moved && w)
        service_entries_workload_changed(t, w);
    return &e->o;
}

void service_entries_remove_workload(struct service_entries *t, struct str key)
{
    struct workload_entry *e = map_remove(&t->workloads, key);
    if (!e)
        return;
    AUTO_CHARS char *of = xasprintf("%s/.we/%s", e->o.ns, e->o.name);
    workloads_remove(t->pods, str_from(of));
    workload_entry_free(e);
}

bool service_entries_workload_changed(struct service_entries *t, const struct workload *w)
{
    struct str key;
    bool any = strstr(w->key, "/.we/") && service_selectors_entry_changed(t->services, w);
    void *p;
    for (size_t at = 0; map_next(&t->entries, &at, &key, &p);) {
        const struct added *a = p;
        if (a->entry->selector && str_is(workload_namespace(w), a->entry->o.ns) &&
            workload_has_labels(t->pods, w, a->entry->selector)) {
            map_put(&t->dirty, key, t);
            any = true;
        }
    }
    return any;
}

void service_entries_workloads_changed(struct service_entries *t)
{
    struct str key;
    void *p;
    for (size_t at = 0; map_next(&t->entries, &at, &key, &p);)
        if (((const struct added *)p)->entry->selector)
            map_put(&t->dirty, key, t);
    service_selectors_all_changed(t->services);
}

bool service_entries_settle(struct service_entries *t)
{
    struct str key;
    bool any = service_selectors_settle(t->services, &t->workloads);
    for (size_t at = 0; map_next(&t->dirty, &at, &key, NULL);) {
        struct added *a = map_find(&t->entries, key);
        take_slices(t, a);
        for (size_t i = 0; i < a->entry->n_hosts; i++)
            put_slices(t, a, a->entry->hosts[i]);
        any = true;
    }
    map_done(&t->dirty);
    return any;
}

/* ---- whose a host is ---- */

static bool has_port(const struct service_entry *e, uint16_t port)
{
    for (size_t i = 0; i < e->n_ports; i++)
        if (!port || e->ports[i].number == port)
            return true;
    return false;
}

/* "web.ns" is what a Service is called, too: if there is one, it is that. */
static bool is_short_name(const struct service_entries *t, const char *name)
{
    struct str ns, service = str_cut(str_from(name), '.', &ns);
    AUTO_CHARS char *key = xasprintf(STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(service));
    const struct joined_service *s = service_join_find(t->join, key);
    return s && s->object;
}

static const struct service_entry *resolve(const struct service_entries *t, const char *name,
                                           uint16_t port, struct str ns)
{
    const struct host *h = map_find_cstr(&t->hosts, name);
    const struct service_entry *best = NULL;
    if (h && is_short_name(t, name))
        return NULL;
    for (size_t i = 0; h && i < h->v.n; i++) {
        const struct service_entry *e = h->v.v[i];
        if (!has_port(e, port) || !istio_object_is_seen(&e->o, ns))
            continue;
        int d = best ? (int)str_is(ns, e->o.ns) - (int)str_is(ns, best->o.ns) : 1;
        if (d > 0 || (d == 0 && istio_object_compare(&e->o, &best->o) < 0))
            best = e;
    }
    return best;
}

char *service_entries_resolve(const struct service_entries *t, const char *host, uint16_t port,
                              struct str ns)
{
    const struct service_entry *e = resolve(t, host, port, ns);
    return e ? service_key_of_entry(e->o.ns, e->o.name, host) : NULL;
}

bool service_entries_is_served(const struct service_entries *t, const char *key, uint16_t port,
                               struct str ns)
{
    AUTO_CHARS char *host = service_key_host(key);
    AUTO_CHARS char *of = service_entries_resolve(t, host, port, ns);
    return of && streq(of, key);
}

bool service_entries_varies(const struct service_entries *t, const char *host)
{
    const struct host *h = map_find_cstr(&t->hosts, host);
    return h && (h->v.n > 1 || (h->v.n == 1 && !h->v.v[0]->o.for_all));
}

struct str service_entries_namespace(const struct service_entries *t, const char *host)
{
    const struct host *h = map_find_cstr(&t->hosts, host);
    return h && h->v.n == 1 ? str_from(h->v.v[0]->o.ns) : STR("");
}

unsigned service_entries_generation(const struct service_entries *t, const char *host)
{
    const struct host *h = map_find_cstr(&t->hosts, host);
    return h ? h->generation : 0;
}

char *service_entries_next(const struct service_entries *t, const char *host, size_t *at)
{
    const struct host *h = map_find_cstr(&t->hosts, host);
    if (!h || *at >= h->v.n)
        return NULL;
    const struct service_entry *e = h->v.v[(*at)++];
    return service_key_of_entry(e->o.ns, e->o.name, host);
}

/* ---- the whole ---- */

struct service_entries *service_entries_new(struct service_join *join, struct workloads *pods)
{
    struct service_entries *t = NEW(struct service_entries);
    t->join = join;
    t->pods = pods;
    t->services = service_selectors_new(join, pods);
    return t;
}

void service_entries_free(struct service_entries *t)
{
    void *p;
    if (!t)
        return;
    for (size_t at = 0; map_next(&t->entries, &at, NULL, &p);) {
        struct added *a = p;
        VEC_FOREACH (key, &a->slices)
            free(*key);
        VEC_FOREACH (key, &a->workloads)
            free(*key);
        vec_done(&a->slices);
        vec_done(&a->workloads);
        service_entry_free(a->entry);
        free(a);
    }
    for (size_t at = 0; map_next(&t->hosts, &at, NULL, &p);) {
        vec_done(&((struct host *)p)->v);
        free(p);
    }
    for (size_t at = 0; map_next(&t->workloads, &at, NULL, &p);)
        workload_entry_free(p);
    service_selectors_free(t->services);
    map_done(&t->entries);
    map_done(&t->hosts);
    map_done(&t->workloads);
    map_done(&t->dirty);
    free(t);
}
