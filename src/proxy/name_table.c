#include "proxy/name_table.h"

#include <ctype.h>
#include <istio/networking/nds/v1/nds.pb-c.h>

#include "base/vec.h"
#include "codec/dns.h"
#include "xds/xds_check.h"

typedef Istio__Networking__Nds__V1__NameTable pb_table;
typedef Istio__Networking__Nds__V1__NameTable__NameInfo pb_info;

struct name_resource {
    VEC(char *) names;
};

static void drop_resource(struct name_table *t, struct name_resource *r)
{
    if (!r)
        return;
    VEC_FOREACH (name, &r->names) {
        const struct name_addresses *a = map_find_cstr(&t->names, *name);
        if (a && a->from == r)
            free(map_remove_cstr(&t->names, *name));
        free(*name);
    }
    vec_done(&r->names);
    free(r);
}

static void add_name(struct name_table *t, struct name_resource *r, const char *text,
                     const pb_info *info)
{
    size_t n = MIN(info->n_ips, (size_t)NAME_TABLE_IPS_MAX);
    struct str s = str_from(text);
    if (s.n && s.p[s.n - 1] == '.')
        s.n--;
    if (!s.n || s.n >= DNS_NAME_BYTES || t->names.used >= NAME_TABLE_NAMES_MAX)
        return;
    char *name = str_dup(s);
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    struct name_addresses *a = xcalloc(1, sizeof(*a) + n * sizeof(a->ips[0]));
    a->from = r;
    for (size_t i = 0; i < n; i++)
        if (ip_parse(str_from(info->ips[i]), &a->ips[a->n]) == 0)
            a->n++;
    free(map_put_cstr(&t->names, name, a));
    vec_push(&r->names, name);
}

static int put_resource(struct name_table *t, const struct xds_item *item, struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(XDS_RESPONSE_BYTES_MAX);
    struct xds_report report = {0};
    ProtobufCMessage *message;
    int code = xds_resource_unpack(XDS_NAMES, item->bytes, a, &message, &report, reterr);
    xds_report_done(&report);
    if (code < 0)
        return code;
    const pb_table *m = (const void *)message;
    struct name_resource *r = NEW(struct name_resource);
    drop_resource(t, map_remove(&t->resources, item->name));
    for (size_t i = 0; i < m->n_table; i++) {
        const pb_info *info = m->table[i]->value;
        if (!info)
            continue;
        add_name(t, r, m->table[i]->key, info);
        for (size_t k = 0; k < info->n_alt_hosts; k++)
            add_name(t, r, info->alt_hosts[k], info);
    }
    map_put(&t->resources, item->name, r);
    return 0;
}

static void drop_missing(struct name_table *t, const struct xds_update *u)
{
    struct map named = {.borrows = true};
    struct str name;
    void *r;
    for (size_t i = 0; i < u->n_items; i++)
        map_put(&named, u->items[i].name, &u->items[i]);
    for (size_t at = 0; map_next(&t->resources, &at, &name, &r);)
        if (!map_find(&named, name)) {
            map_remove(&t->resources, name);
            drop_resource(t, r);
        }
    map_done(&named);
}

void name_table_update(struct name_table *t, const struct xds_update *u, struct buf *refused)
{
    if (u->full)
        drop_missing(t, u);
    for (size_t i = 0; i < u->n_removed; i++)
        drop_resource(t, map_remove(&t->resources, u->removed[i]));
    for (size_t i = 0; i < u->n_items; i++) {
        struct err err = {0};
        u->items[i].refused = put_resource(t, &u->items[i], &err) < 0;
        if (u->items[i].refused)
            buf_addf(refused, "%stable of names " STR_FMT ": %s", refused->n ? "; " : "",
                     STR_ARG(u->items[i].name), err_text(&err));
    }
}

void name_table_done(struct name_table *t)
{
    void *r;
    for (size_t at = 0; map_next(&t->resources, &at, NULL, &r);)
        drop_resource(t, r);
    map_done(&t->resources);
    map_done(&t->names);
}

const struct name_addresses *name_table_find(const struct name_table *t, struct str name)
{
    char wild[DNS_NAME_BYTES + 2] = "*";
    struct str rest;
    const struct name_addresses *a = map_find(&t->names, name);
    while (!a && name.n < DNS_NAME_BYTES && (str_cut(name, '.', &rest), rest.n)) {
        memcpy(wild + 1, rest.p - 1, rest.n + 1); /* the dot, too */
        a = map_find(&t->names, str_of(wild, rest.n + 2));
        name = rest;
    }
    return a;
}
