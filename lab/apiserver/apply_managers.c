/* managedFields as a list of managers, and the two things that happen to it. The order of steps is
 * that of a real API server (k8s.io/apimachinery managedfields, structured-merge-diff): conflicts
 * are what others manage of what changes; a change takes fields from whoever had them; what is gone
 * is nobody's. Pure but for the clock. */
#include "lab/apiserver/apply_managers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "base/vec.h"

static void manager_done(struct apply_manager *m)
{
    free(m->name);
    free(m->api_version);
    free(m->subresource);
    fields_free(m->set);
}

void apply_managers_done(struct apply_managers *m)
{
    for (size_t i = 0; i < m->n; i++)
        manager_done(&m->v[i]);
    vec_done(m);
}

void apply_conflicts_done(struct apply_conflicts *c)
{
    for (size_t i = 0; i < c->n; i++)
        fields_free(c->v[i].set);
    vec_done(c);
}

static char *text_of(const json_t *entry, const char *member)
{
    const char *s = json_key_str(entry, member);
    return xstrdup(s ? s : "");
}

static int parse_entry(const json_t *entry, struct apply_manager *ret, struct err *reterr)
{
    const char *operation = json_key_str(entry, "operation"), *time = json_key_str(entry, "time");
    struct apply_manager m = {0};
    if (!operation || !(streq(operation, "Apply") || streq(operation, "Update")))
        return err_set(reterr, -EINVAL, "operation", "must be `Apply` or `Update`");
    if (fields_parse(json_object_get(entry, "fieldsV1"), &m.set, reterr) < 0)
        return -EINVAL;
    m.name = text_of(entry, "manager");
    m.api_version = text_of(entry, "apiVersion");
    m.subresource = text_of(entry, "subresource");
    m.applies = streq(operation, "Apply");
    if (time)
        snprintf(m.time, sizeof(m.time), "%.20s", time);
    *ret = m;
    return 0;
}

int apply_managers_parse(const json_t *list, struct apply_managers *ret, struct err *reterr)
{
    struct apply_managers m = {0};
    size_t i;
    json_t *entry;
    if (json_array_size(list) > APPLY_MANAGERS_MAX)
        return err_set(reterr, -EINVAL, NULL, "more than %d managers", APPLY_MANAGERS_MAX);
    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
    {
        struct apply_manager one;
        if (parse_entry(entry, &one, reterr) < 0) {
            apply_managers_done(&m);
            return -EINVAL;
        }
        vec_push(&m, one);
    }
    *ret = m;
    return 0;
}

static int order(const void *a_, const void *b_)
{
    const struct apply_manager *a = a_, *b = b_;
    int d = (int)b->applies - (int)a->applies;
    d = d ? d : strcmp(a->time, b->time);
    d = d ? d : strcmp(a->name, b->name);
    d = d ? d : strcmp(a->api_version, b->api_version);
    return d ? d : strcmp(a->subresource, b->subresource);
}

static json_t *format_entry(const struct apply_manager *m)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_t *fields = NULL,
           *entry = json_pack("{s:s,s:s,s:s}", "manager", m->name, "operation",
                              m->applies ? "Apply" : "Update", "apiVersion", m->api_version);
    fields_write(&b, m->set);
    int code = json_parse(buf_str(&b), 0, NULL, &fields, NULL);
    ASSERT(code == 0); /* what was just written */
    if (*m->time)
        json_put_str(entry, "time", m->time);
    json_put_str(entry, "fieldsType", "FieldsV1");
    json_object_set_new(entry, "fieldsV1", fields);
    if (*m->subresource)
        json_put_str(entry, "subresource", m->subresource);
    return entry;
}

json_t *apply_managers_format(struct apply_managers *m)
{
    json_t *list = json_array();
    if (m->n)
        qsort(m->v, m->n, sizeof(*m->v), order);
    for (size_t i = 0; i < m->n; i++)
        json_array_append_new(list, format_entry(&m->v[i]));
    return list;
}

static bool is_same_manager(const struct apply_manager *a, const struct apply_manager *b)
{
    return a->applies == b->applies && streq(a->name, b->name) &&
           streq(a->api_version, b->api_version) && streq(a->subresource, b->subresource);
}

bool apply_managers_equal(const struct apply_managers *a, const struct apply_managers *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        size_t k = 0;
        while (k < b->n && !is_same_manager(&a->v[i], &b->v[k]))
            k++;
        if (k == b->n || !fields_equal(a->v[i].set, b->v[k].set))
            return false;
    }
    return true;
}

static struct apply_manager *find(struct apply_managers *m, const struct apply_actor *who,
                                  bool applies)
{
    for (size_t i = 0; i < m->n; i++) {
        struct apply_manager *one = &m->v[i];
        if (one->applies == applies && streq(one->name, who->name) &&
            streq(one->subresource, who->subresource) &&
            (applies || streq(one->api_version, who->api_version)))
            return one;
    }
    return NULL;
}

static struct apply_manager *get(struct apply_managers *m, const struct apply_actor *who,
                                 bool applies)
{
    struct apply_manager *one = find(m, who, applies);
    if (one)
        return one;
    vec_push(m, (struct apply_manager){.name = xstrdup(who->name),
                                       .api_version = xstrdup(who->api_version),
                                       .subresource = xstrdup(who->subresource),
                                       .applies = applies,
                                       .set = fields_new()});
    return &m->v[m->n - 1];
}

/* What the server sets itself, and what names the object, is nobody's. */
static void strip(struct fields *set)
{
    static const char *const ours[] = {"f:name",       "f:namespace",     "f:creationTimestamp",
                                       "f:selfLink",   "f:uid",           "f:clusterName",
                                       "f:generation", "f:managedFields", "f:resourceVersion"};
    fields_drop(set, "f:apiVersion");
    fields_drop(set, "f:kind");
    if (!fields_find(set, "f:metadata"))
        return;
    struct fields *metadata = fields_child(set, "f:metadata");
    metadata->in = false;
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        fields_drop(metadata, ours[i]);
    if (fields_is_empty(metadata))
        fields_drop(set, "f:metadata");
}

static void drop_ignored(struct fields *set, const char *ignored)
{
    if (!ignored)
        return;
    AUTO_CHARS char *key = xasprintf("f:%s", ignored);
    fields_drop(set, key);
}

static void drop_empty(struct apply_managers *m)
{
    for (size_t i = m->n; i-- > 0;) {
        if (!fields_is_empty(m->v[i].set))
            continue;
        manager_done(&m->v[i]);
        vec_remove(m, i);
    }
}

static void stamp(struct apply_manager *m)
{
    time_format_rfc3339(time_real_s(), m->time);
}

struct difference {
    struct fields *changed; /* added or modified */
    struct fields *removed;
};

static struct difference compare(const struct apply_type *t, const json_t *before,
                                 const json_t *now, const char *ignored)
{
    struct difference d = {fields_new(), fields_new()};
    const struct apply_changes c = {d.changed, d.changed, d.removed};
    apply_compare(t, before, now, &c);
    drop_ignored(d.changed, ignored);
    drop_ignored(d.removed, ignored);
    return d;
}

static void difference_done(struct difference *d)
{
    fields_free(d->changed);
    fields_free(d->removed);
}

/* ---- updates ---- */

static int older(const void *a_, const void *b_)
{
    const struct apply_manager *a = *(struct apply_manager *const *)a_,
                               *b = *(struct apply_manager *const *)b_;
    int d = strcmp(a->time, b->time);
    return d ? d : strcmp(a->name, b->name);
}

/* The oldest of too many updaters become one. */
static void cap_updaters(struct apply_managers *m, const char *api_version)
{
    const struct apply_actor ancient = {"ancient-changes", api_version, ""};
    VEC(struct apply_manager *) updaters = {0};
    for (size_t i = 0; i < m->n; i++)
        if (!m->v[i].applies)
            vec_push(&updaters, &m->v[i]);
    if (updaters.n > APPLY_UPDATERS_MAX) {
        AUTO_FIELDS struct fields *all = fields_new();
        char time[21] = "";
        qsort(updaters.v, updaters.n, sizeof(*updaters.v), older);
        for (size_t i = 0; i <= updaters.n - APPLY_UPDATERS_MAX; i++) {
            fields_add(all, updaters.v[i]->set);
            snprintf(time, sizeof(time), "%s", updaters.v[i]->time);
            fields_subtract(updaters.v[i]->set, all);
        }
        struct apply_manager *one = get(m, &ancient, false);
        fields_add(one->set, all);
        snprintf(one->time, sizeof(one->time), "%s", time);
        drop_empty(m);
    }
    vec_done(&updaters);
}

void apply_managers_update(struct apply_managers *m, const struct apply_type *t,
                           const struct apply_actor *who, const json_t *before, const json_t *now,
                           const char *ignored)
{
    struct difference d = compare(t, before, now, ignored);
    strip(d.changed);
    for (size_t i = 0; i < m->n; i++) {
        fields_subtract(m->v[i].set, d.changed);
        fields_subtract(m->v[i].set, d.removed);
    }
    if (!fields_is_empty(d.changed)) {
        struct apply_manager *own = get(m, who, false);
        fields_add(own->set, d.changed);
        stamp(own);
    }
    drop_empty(m);
    cap_updaters(m, who->api_version);
    difference_done(&d);
}

/* ---- apply ---- */

/* What was applied before, is not now, and nobody else has. */
static void prune(struct apply_managers *m, const struct apply_type *t, json_t *merged,
                  const struct fields *last)
{
    AUTO_FIELDS struct fields *gone = fields_copy(last);
    AUTO_FIELDS struct fields *held = fields_new();
    for (size_t i = 0; i < m->n; i++)
        fields_add(held, m->v[i].set);
    fields_add_parents(gone);
    fields_add_parents(held);
    fields_subtract(gone, held);
    apply_remove(t, merged, gone);
}

static int by_manager(const void *a, const void *b)
{
    return strcmp(((const struct apply_conflict *)a)->with->name,
                  ((const struct apply_conflict *)b)->with->name);
}

static void find_conflicts(struct apply_managers *m, const struct apply_manager *own,
                           const struct fields *changed, struct apply_conflicts *conflicts)
{
    for (size_t i = 0; i < m->n; i++) {
        if (&m->v[i] == own)
            continue;
        struct fields *set = fields_copy(m->v[i].set);
        fields_intersect(set, changed);
        if (fields_is_empty(set))
            fields_free(set);
        else
            vec_push(conflicts, (struct apply_conflict){&m->v[i], set});
    }
    if (conflicts->n)
        qsort(conflicts->v, conflicts->n, sizeof(*conflicts->v), by_manager);
}

int apply_managers_apply(struct apply_managers *m, const struct apply_type *t,
                         const struct apply_actor *who, json_t *live, const json_t *config,
                         const char *ignored, bool force, struct apply_conflicts *conflicts,
                         struct err *reterr)
{
    AUTO_FIELDS struct fields *set = fields_new();
    AUTO_JSON json_t *before = json_deep_copy(live);
    int code = apply_fields(t, config, set, reterr);
    if (code < 0)
        return code;
    drop_ignored(set, ignored);
    struct apply_manager *own = get(m, who, true);
    AUTO_FIELDS struct fields *last = own->set;
    own->set = fields_copy(set);
    if (!streq(own->api_version, who->api_version)) {
        free(own->api_version);
        own->api_version = xstrdup(who->api_version);
    }
    apply_merge(t, live, config);
    prune(m, t, live, last);
    struct difference d = compare(t, before, live, ignored);
    find_conflicts(m, own, d.changed, conflicts);
    if (force || !conflicts->n) {
        for (size_t i = 0; i < m->n; i++) {
            if (&m->v[i] == own)
                continue;
            fields_subtract(m->v[i].set, d.changed);
            fields_subtract(m->v[i].set, d.removed);
        }
        strip(own->set);
        if (!json_equal(before, live) || !fields_equal(own->set, last))
            stamp(own);
        drop_empty(m);
    }
    difference_done(&d);
    return 0;
}
