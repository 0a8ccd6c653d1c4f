/* Encodings of objects: the JSON itself, Table rows, PartialObjectMetadata. Tables are what kubectl
 * prints (KEP-2334: meta.k8s.io/v1 Table); ages are computed when a row is written, the other cells
 * once per object version. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/time.h"
#include "codec/url.h"
#include "lab/apiserver/api_priv.h"
#include "lab/apiserver/custom_kind.h"

static bool accept_item_view(struct str item, enum api_view *ret, bool *ret_yaml)
{
    struct str rest;
    struct str type = str_trim(str_cut(item, ';', &rest));
    struct str as = {0};
    while (rest.p) {
        struct str value, key = str_trim(str_cut(str_cut(rest, ';', &rest), '=', &value));
        if (str_is(key, "as"))
            as = value;
    }
    bool yaml = str_is(type, "application/yaml");
    bool json =
        str_is(type, "application/json") || str_is(type, "*/*") || str_is(type, "application/*");
    if (!json && !yaml)
        return false;
    *ret_yaml = yaml;
    if (!as.p)
        *ret = API_VIEW_JSON;
    else if (str_is(as, "Table"))
        *ret = API_VIEW_TABLE;
    else if (str_is(as, "PartialObjectMetadata") || str_is(as, "PartialObjectMetadataList"))
        *ret = API_VIEW_PARTIAL;
    else
        return false;
    return true;
}

int api_view_of(struct str accept, struct str query, enum api_view *ret, bool *ret_yaml)
{
    struct str rest = accept;
    *ret = API_VIEW_JSON;
    if (!accept.n)
        return 0;
    while (rest.p) {
        if (!accept_item_view(str_cut(rest, ',', &rest), ret, ret_yaml))
            continue;
        if (*ret == API_VIEW_TABLE) {
            AUTO_CHARS char *include = url_param(query, "includeObject");
            if (streq(include, "Object"))
                *ret = API_VIEW_TABLE_OBJECT;
            else if (streq(include, "None"))
                *ret = API_VIEW_TABLE_NONE;
        }
        return 0;
    }
    return -ENOTSUP;
}

bool api_view_is_table(enum api_view view)
{
    return view == API_VIEW_TABLE || view == API_VIEW_TABLE_OBJECT || view == API_VIEW_TABLE_NONE;
}

/* The object in the form of kind: its bytes as they are, or renamed where kind is another form of
 * what is stored. */
static void write_object(struct buf *b, const struct api_kind *kind, const struct object *o)
{
    if (!api_kind_is_form(kind)) {
        object_write(b, o);
        return;
    }
    AUTO_JSON json_t *j = object_tree_managed(o);
    api_kind_from_stored(kind, j);
    json_write(b, j);
}

/* The same within a list, whose own kind says what its items are. */
static void write_item(struct buf *b, const struct api_kind *kind, const struct object *o)
{
    char type[160];
    struct str json = str_of(o->json->p, o->json->n);
    snprintf(type, sizeof(type), "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", kind->kind,
             api_kind_group_version(kind));
    if (!api_kind_is_form(kind) && str_starts(json, str_from(type))) {
        object_write_without(b, o, strlen(type));
        return;
    }
    AUTO_JSON json_t *j = object_tree_managed(o);
    api_kind_from_stored(kind, j);
    json_object_del(j, "kind");
    json_object_del(j, "apiVersion");
    json_write(b, j);
}

/* The metadata of an object as PartialObjectMetadata. */
static void write_partial(struct buf *b, const struct object *o)
{
    buf_add_cstr(
        b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
    object_write_metadata(b, o);
    buf_add_char(b, '}');
}

static struct table table_of(const struct api_kind *k)
{
    return k->custom ? (struct table){k->custom->columns, k->custom->n_columns} : *k->table;
}

/* A new reference. Those of custom kinds are not kept: each version has its own. */
static json_t *cells_of(const struct api_kind *k, struct object *o)
{
    if (!k->custom && o->cells)
        return json_incref(o->cells);
    AUTO_JSON json_t *j = object_tree(o);
    if (k->custom) {
        api_kind_from_stored(k, j);
        return custom_cells(k->custom, j);
    }
    o->cells = table_cells(k->table, j);
    return json_incref(o->cells);
}

static void write_row(struct buf *b, enum api_view view, const struct api_kind *kind,
                      struct object *o)
{
    const struct table t = table_of(kind);
    AUTO_JSON json_t *cells = cells_of(kind, o);
    int64_t now_s = time_real_s();
    buf_add_cstr(b, "{\"cells\":[");
    for (size_t i = 0; i < t.n; i++) {
        if (i)
            buf_add_char(b, ',');
        table_write_cell(b, &t.columns[i], json_array_get(cells, i), now_s);
    }
    buf_add_char(b, ']');
    if (view != API_VIEW_TABLE_NONE)
        buf_add_cstr(b, ",\"object\":");
    if (view == API_VIEW_TABLE)
        write_partial(b, o);
    else if (view == API_VIEW_TABLE_OBJECT)
        write_object(b, kind, o);
    buf_add_char(b, '}');
}

static void write_columns(struct buf *b, const struct api_kind *kind)
{
    const struct table t = table_of(kind);
    buf_add_cstr(b, "\"columnDefinitions\":[");
    for (size_t i = 0; i < t.n; i++) {
        const struct table_column *c = &t.columns[i];
        buf_addf(b, "%s{\"name\":", i ? "," : "");
        json_write_string(b, str_from(c->name));
        buf_addf(b, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":",
                 kind->custom || streq(c->type, "integer") ? c->type : "string",
                 streq(c->name, "Name") && !c->priority ? "name" : "");
        json_write_string(b, str_from(c->description ? c->description : ""));
        buf_addf(b, ",\"priority\":%d}", c->priority);
    }
    buf_add_cstr(b, "],");
}

void api_view_write(struct buf *b, enum api_view view, const struct api_kind *kind,
                    struct object *o, bool columns)
{
    if (view == API_VIEW_JSON) {
        write_object(b, kind, o);
    } else if (view == API_VIEW_PARTIAL) {
        write_partial(b, o);
    } else {
        buf_addf(b,
                 "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/"
                 "v1\",\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"},",
                 o->version);
        if (columns)
            write_columns(b, kind);
        else
            buf_add_cstr(b, "\"columnDefinitions\":null,");
        buf_add_cstr(b, "\"rows\":[");
        write_row(b, view, kind, o);
        buf_add_cstr(b, "]}");
    }
}

void api_view_list_begin(struct buf *b, enum api_view view, const struct api_kind *kind)
{
    char name[API_KIND_NAME_BYTES];
    if (api_view_is_table(view)) {
        buf_add_cstr(b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",");
        write_columns(b, kind);
        buf_add_cstr(b, "\"rows\":[");
    } else if (view == API_VIEW_PARTIAL) {
        buf_add_cstr(b, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/"
                        "v1\",\"items\":[");
    } else {
        buf_addf(b, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"items\":[",
                 api_kind_list_kind(kind, name), api_kind_group_version(kind));
    }
}

void api_view_list_item(struct buf *b, enum api_view view, const struct api_kind *kind,
                        struct object *o, bool first)
{
    if (!first)
        buf_add_char(b, ',');
    if (api_view_is_table(view))
        write_row(b, view, kind, o);
    else if (view == API_VIEW_PARTIAL)
        write_partial(b, o);
    else
        write_item(b, kind, o);
}

void api_view_list_end(struct buf *b, enum api_view view, uint64_t version, const char *continue_,
                       uint64_t remaining)
{
    (void)view;
    buf_addf(b, "],\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"", version);
    if (continue_) {
        buf_addf(b, ",\"continue\":\"%s\"", continue_);
        if (remaining)
            buf_addf(b, ",\"remainingItemCount\":%" PRIu64, remaining);
    }
    buf_add_cstr(b, "}}");
}
