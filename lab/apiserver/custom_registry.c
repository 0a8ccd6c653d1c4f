/* The rows of custom kinds, kept as the definitions in the store say.
 *
 * Of each definition one row, the home, says where its objects are kept, and one for each served
 * version how they are asked for. When a definition changes its rows are made anew, after the
 * watches on them have ended: nothing else keeps a row beyond one request. A home is never given
 * to another definition, because the ring of events still speaks of it. One thread. */
#include "lab/apiserver/custom_registry.h"

#include <errno.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/time.h"

enum { SETTLE_MS = 0, RETRY_MS = 1000 };

uint32_t custom_registry_kind(void)
{
    return (uint32_t)api_kind_find(STR(CRD_GROUP), STR("v1"), STR(CRD_PLURAL));
}

/* ---- one version ---- */

static void custom_kind_unref(const struct custom_kind *k_)
{
    struct custom_kind *k = (struct custom_kind *)(uintptr_t)k_;
    if (!k || --k->refs)
        return;
    crd_schema_free(k->schema);
    json_decref(k->names);
    json_decref(k->scale);
    free(k->columns);
    arena_free(k->arena);
    free(k);
}

static const char *keep(struct custom_kind *k, const char *text)
{
    const char *p = text ? arena_str(k->arena, str_from(text)).p : NULL;
    return p ? p : "";
}

static void read_columns(struct custom_kind *k, const json_t *version)
{
    const json_t *list = json_object_get(version, "additionalPrinterColumns");
    size_t i, n = json_array_size(list);
    json_t *item;
    k->columns = xcalloc(n + 2, sizeof(*k->columns));
    k->columns[k->n_columns++] =
        (struct table_column){.name = "Name", .type = "string", .path = ".metadata.name"};
    json_array_foreach((json_t *)(uintptr_t)list, i, item) k->columns[k->n_columns++] =
        (struct table_column){.name = keep(k, json_key_str(item, "name")),
                              .type = keep(k, json_key_str(item, "type")),
                              .priority = (int)json_at_int(item, "priority", 0),
                              .path = keep(k, json_key_str(item, "jsonPath")),
                              .description = keep(k, json_key_str(item, "description"))};
    if (n == 0)
        k->columns[k->n_columns++] = (struct table_column){
            .name = "Age", .type = "date", .path = ".metadata.creationTimestamp"};
}

static void read_warning(struct custom_kind *k, const json_t *crd, const json_t *version)
{
    const char *own = json_key_str(version, "deprecationWarning");
    if (!json_is_true(json_object_get(version, "deprecated")))
        return;
    AUTO_CHARS char *said =
        xasprintf("%s/%s %s is deprecated", json_at_str(crd, "spec.group"),
                  json_key_str(version, "name"), json_at_str(crd, "spec.names.kind"));
    k->warning = keep(k, own ? own : said);
}

static struct custom_kind *read_version(const json_t *crd, const json_t *version,
                                        struct err *reterr)
{
    struct custom_kind *k = NEW(struct custom_kind);
    k->refs = 1;
    k->arena = arena_new(CRD_SCHEMA_BYTES_MAX);
    if (crd_schema_read(json_at(version, "schema.openAPIV3Schema"), &k->schema, reterr) < 0) {
        custom_kind_unref(k);
        return NULL;
    }
    k->names = json_incref(json_at(crd, "spec.names"));
    k->scale = json_incref(json_at(version, "subresources.scale"));
    k->has_status = json_at(version, "subresources.status") != NULL;
    k->crd = keep(k, json_at_str(crd, "metadata.name"));
    k->terminating = json_at_str(crd, "metadata.deletionTimestamp") != NULL;
    read_columns(k, version);
    read_warning(k, crd, version);
    return k;
}

/* Fills a row (row and home are set) from a version; takes k. */
static void fill_row(struct api_kind *row, struct custom_kind *k, const json_t *crd,
                     const json_t *version)
{
    const char *group = json_at_str(crd, "spec.group"), *name = json_key_str(version, "name");
    AUTO_CHARS char *gv = xasprintf("%s/%s", group, name);
    json_t *list = json_object_get(version, "selectableFields"), *item;
    size_t i;
    row->group = keep(k, group);
    row->version = keep(k, name);
    row->kind = keep(k, json_at_str(crd, "spec.names.kind"));
    row->plural = keep(k, json_at_str(crd, "spec.names.plural"));
    row->singular = keep(k, json_at_str(crd, "spec.names.singular"));
    row->resource = k->crd;
    row->group_version = keep(k, gv);
    row->name_form = NAME_SUBDOMAIN;
    row->namespaced = streq(json_at_str(crd, "spec.scope"), "Namespaced");
    row->has_status = k->has_status;
    row->has_scale = k->scale != NULL;
    row->counts_generation = true;
    row->custom = k;
    memset(row->field_paths, 0, sizeof(row->field_paths));
    json_array_foreach(list, i, item)
    {
        const char *path = json_key_str(item, "jsonPath");
        if (i < ARRAY_LEN(row->field_paths) - 1)
            row->field_paths[i] = keep(k, path && *path == '.' ? path + 1 : path);
    }
}

/* ---- rows of a definition ---- */

static struct api_kind *row_at(size_t index)
{
    return (struct api_kind *)(uintptr_t)api_kind_at(index);
}

static void clear_row(struct api_kind *row)
{
    const struct custom_kind *k = row->custom;
    uint32_t number = row->row;
    *row = (struct api_kind){.row = number, .group = "", .version = ""};
    custom_kind_unref(k);
}

static struct api_kind *find_home(const char *crd)
{
    for (size_t i = 0; i < api_kinds_count(); i++)
        if (api_kind_at(i)->home && streq(api_kind_at(i)->resource, crd))
            return row_at(i);
    return NULL;
}

static void drop_versions(struct api_server *s, struct api_kind *home)
{
    api_watch_end_kind(s, home->row);
    for (size_t i = 0; i < api_kinds_count(); i++) {
        struct api_kind *row = row_at(i);
        if (row->custom && !row->home && row->stored_row == home->row)
            clear_row(row);
    }
}

/* The home keeps its name (its own text) and its place. */
static void clear_home(struct api_kind *home)
{
    const struct custom_kind *k = home->custom;
    uint32_t number = home->row;
    const char *name = home->resource;
    *home = (struct api_kind){.row = number,
                              .stored_row = number,
                              .home = true,
                              .resource = name,
                              .group = "",
                              .version = ""};
    custom_kind_unref(k);
}

static struct api_kind *make_home(const char *crd)
{
    struct api_kind *home = api_kind_add();
    if (!home)
        return NULL;
    home->home = true;
    home->stored_row = home->row;
    home->resource = xstrdup(crd);
    home->group = home->version = "";
    return home;
}

/* k is of the version; a reference is taken. */
static int add_version(struct api_kind *home, struct custom_kind *k, const json_t *crd,
                       const json_t *version, uint8_t form, struct err *reterr)
{
    if (!json_is_true(json_object_get(version, "served")))
        return 0;
    struct api_kind *row = api_kind_add();
    if (!row)
        return err_set(reterr, -ENOSPC, NULL, "there are %d kinds already", API_KINDS_MAX);
    k->refs++;
    fill_row(row, k, crd, version);
    row->served = true;
    row->form = form;
    row->converts = json_array_size(json_at(crd, "spec.versions")) > 1 ||
                    json_array_size(json_at(crd, "status.storedVersions")) > 1;
    row->stored_row = home->row;
    return 0;
}

/* The same for the home, if the version is the one that is stored. */
static int fill_home(struct api_server *s, struct api_kind *home, struct custom_kind *k,
                     const json_t *crd, const json_t *version, struct err *reterr)
{
    const char *name = home->resource;
    if (!json_is_true(json_object_get(version, "storage")))
        return 0;
    k->refs++;
    fill_row(home, k, crd, version);
    home->resource = name;
    struct store_kind kept = {
        .name = name, .field_paths = home->field_paths, .field_text = api_kind_field_text};
    while (kept.n_fields < API_FIELD_PATHS_MAX && home->field_paths[kept.n_fields])
        kept.n_fields++;
    return store_set_kind(s->store, home->row, &kept, reterr);
}

static int define_version(struct api_server *s, struct api_kind *home, const json_t *crd, size_t i,
                          struct err *reterr)
{
    const json_t *version = json_array_get(json_at(crd, "spec.versions"), i);
    struct custom_kind *k = read_version(crd, version, reterr);
    if (!k)
        return -EINVAL;
    int code = fill_home(s, home, k, crd, version, reterr);
    if (code == 0)
        code = add_version(home, k, crd, version, (uint8_t)MIN(i, (size_t)UINT8_MAX), reterr);
    custom_kind_unref(k);
    return code;
}

/* The store must not ask for fields whose names are gone. */
static void forget_fields(struct api_server *s, const struct api_kind *home)
{
    const struct store_kind kept = {.name = home->resource};
    struct err err = {0};
    if (store_set_kind(s->store, home->row, &kept, &err) < 0)
        log_warn("objects of a custom kind cannot be read", kv_s("error", err_text(&err)));
}

/* Rows as the definition says. What cannot be had is logged, and is not served. */
static void define(struct api_server *s, const json_t *crd)
{
    const char *name = json_at_str(crd, "metadata.name");
    struct err err = {0};
    size_t i;
    int code = 0;
    struct api_kind *home = find_home(name);
    if (home)
        drop_versions(s, home);
    else
        home = make_home(name);
    if (!home) {
        log_warn("a custom kind is not served: there are too many", kv_s("name", name));
        return;
    }
    clear_home(home);
    if (!crd_is_established(crd)) {
        forget_fields(s, home);
        return;
    }
    for (i = 0; code == 0 && i < json_array_size(json_at(crd, "spec.versions")); i++)
        code = define_version(s, home, crd, i, &err);
    if (code < 0) {
        drop_versions(s, home);
        clear_home(home);
        forget_fields(s, home);
        log_warn("a custom kind is not served", kv_s("name", name), kv_s("error", err_text(&err)));
    }
}

/* ---- deletion ---- */

/* The objects of a definition that is being deleted, then its finalizer. True: something is still
 * there. */
static bool empty_one(struct api_server *s, struct object *crd, struct err *reterr)
{
    AUTO_JSON json_t *tree = object_tree(crd);
    json_t *finalizers = json_at(tree, "metadata.finalizers"), *f;
    size_t i, at = SIZE_MAX;
    json_array_foreach(finalizers, i, f) if (streq(json_string_value(f), CRD_FINALIZER)) at = i;
    if (!json_at_str(tree, "metadata.deletionTimestamp") || at == SIZE_MAX)
        return false;
    const struct api_kind *home = find_home(crd->name);
    if (home && home->custom && api_delete_all(s, home->row, reterr) != 0)
        return true;
    json_array_remove(finalizers, at);
    return api_delete_step(s, custom_registry_kind(), tree, crd, NULL, reterr) < 0;
}

/* Names that were taken may have become free. */
static void settle_names(struct api_server *s, struct object *crd, struct err *reterr)
{
    AUTO_JSON json_t *before = object_tree(crd);
    if (crd_is_established(before))
        return;
    AUTO_JSON json_t *after = json_deep_copy(before);
    crd_accept_names(after);
    if (!json_equal(before, after) &&
        store_put(s->store, custom_registry_kind(), after, NULL, reterr) < 0)
        log_warn("a definition could not be settled", kv_s("error", err_text(reterr)));
}

static void on_settle(void *user)
{
    struct api_server *s = user;
    uint32_t kind = custom_registry_kind();
    struct err err = {0};
    bool left = false;
    for (size_t i = store_count(s->store, kind); i-- > 0;) {
        struct object *crd = object_ref(store_at(s->store, kind, i));
        left = empty_one(s, crd, &err) || left;
        object_unref(crd);
    }
    for (size_t i = 0; i < store_count(s->store, kind); i++) {
        struct object *crd = object_ref(store_at(s->store, kind, i));
        settle_names(s, crd, &err);
        object_unref(crd);
    }
    if (left) /* finalizers of others hold some: their going is an event, a failed write is not */
        loop_timer_start(s->custom_timer, RETRY_MS);
}

/* ---- events ---- */

static bool same_at(const json_t *a, const json_t *b, const char *path)
{
    json_t *x = json_at(a, path), *y = json_at(b, path);
    return x == y || (x && y && json_equal(x, y));
}

static bool is_defined_same(const json_t *now, const json_t *before)
{
    return same_at(now, before, "spec") && same_at(now, before, "status.storedVersions") &&
           same_at(now, before, "metadata.deletionTimestamp") &&
           crd_is_established(now) == crd_is_established(before);
}

void custom_registry_event(struct api_server *s, const struct store_event *e)
{
    if (e->object->kind != custom_registry_kind()) {
        const struct custom_kind *k = api_kind_at(e->object->kind)->custom;
        if (k && k->terminating && e->type == STORE_DELETED)
            loop_timer_start(s->custom_timer, SETTLE_MS);
        return;
    }
    AUTO_JSON json_t *now = object_tree(e->object);
    AUTO_JSON json_t *before = e->before ? object_tree(e->before) : NULL;
    if (e->type == STORE_DELETED) {
        struct api_kind *home = find_home(e->object->name);
        if (home) {
            drop_versions(s, home);
            clear_home(home);
            forget_fields(s, home);
        }
        loop_timer_start(s->custom_timer, SETTLE_MS);
        return;
    }
    if (!before || !is_defined_same(now, before))
        define(s, now);
    if (json_at_str(now, "metadata.deletionTimestamp"))
        loop_timer_start(s->custom_timer, SETTLE_MS);
}

int custom_registry_start(struct api_server *s, struct err *reterr)
{
    uint32_t kind = custom_registry_kind();
    (void)reterr;
    s->custom_timer = loop_timer_new(s->loop, on_settle, s);
    for (size_t i = 0; i < store_count(s->store, kind); i++) {
        AUTO_JSON json_t *crd = object_tree(store_at(s->store, kind, i));
        define(s, crd);
    }
    loop_timer_start(s->custom_timer, SETTLE_MS);
    return 0;
}

void custom_registry_stop(struct api_server *s)
{
    loop_timer_free(s->custom_timer);
    s->custom_timer = NULL;
    for (size_t i = 0; i < api_kinds_count(); i++) {
        struct api_kind *row = row_at(i);
        if (!row->row)
            continue;
        if (row->home)
            free((char *)(uintptr_t)row->resource);
        custom_kind_unref(row->custom);
    }
    api_kinds_forget_custom();
}

/* ---- what requests ask ---- */

bool custom_may_create(struct api_request *r)
{
    if (!r->kind->custom || !r->kind->custom->terminating)
        return true;
    api_status(r, 405, "MethodNotAllowed", NULL,
               "create not allowed while custom resource definition is terminating");
    return false;
}

json_t *custom_openapi_schema(struct api_server *s, const struct api_kind *k)
{
    struct object *o = store_find(s->store, custom_registry_kind(), "", k->custom->crd);
    AUTO_JSON json_t *crd = o ? object_tree(o) : NULL;
    json_t *version;
    size_t i;
    json_array_foreach(json_at(crd, "spec.versions"), i, version)
    {
        if (streq(json_key_str(version, "name"), k->version))
            return json_incref(json_at(version, "schema.openAPIV3Schema"));
    }
    return NULL;
}
