/* The dump goes list by list (enum list); each knows its group, its words and where its resources
 * stand: in the bootstrap's messages, or in what the store has kept. */
#include "proxy/config_dump.h"

#include "base/assert.h"
#include "base/time.h"
#include "proxy/store_kept.h"
#include "xds/redact.h"
#include "xds/xds_types.h"

typedef Envoy__Config__Bootstrap__V3__Bootstrap pb_bootstrap;
typedef Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources pb_static;

#define DUMP XDS_TYPE_PREFIX "envoy.admin.v3."

enum group {
    GROUP_BOOTSTRAP,
    GROUP_CLUSTERS,
    GROUP_ENDPOINTS,
    GROUP_LISTENERS,
    GROUP_SCOPED,
    GROUP_ROUTES,
    GROUP_SECRETS,
    _GROUPS,
};

static const char *const groups[_GROUPS] = {
    [GROUP_BOOTSTRAP] = DUMP "BootstrapConfigDump", [GROUP_CLUSTERS] = DUMP "ClustersConfigDump",
    [GROUP_ENDPOINTS] = DUMP "EndpointsConfigDump", [GROUP_LISTENERS] = DUMP "ListenersConfigDump",
    [GROUP_SCOPED] = DUMP "ScopedRoutesConfigDump", [GROUP_ROUTES] = DUMP "RoutesConfigDump",
    [GROUP_SECRETS] = DUMP "SecretsConfigDump"};

enum place {
    IN_BOOTSTRAP,
    ACTIVE,
    WARMING,
};

static const struct list {
    const char *name;
    const char *type; /* of one element, where it stands alone */
    const char *key;  /* what the resource is called in it; NULL: it stands for itself */
    uint8_t group;
    uint8_t place;
    uint8_t resource; /* enum xds_resource */
} lists[] = {
    {"listeners", NULL, NULL, GROUP_BOOTSTRAP, IN_BOOTSTRAP, XDS_LISTENER},
    {"clusters", NULL, NULL, GROUP_BOOTSTRAP, IN_BOOTSTRAP, XDS_CLUSTER},
    {"secrets", NULL, NULL, GROUP_BOOTSTRAP, IN_BOOTSTRAP, XDS_SECRET},
    {"static_clusters", DUMP "ClustersConfigDump.StaticCluster", "cluster", GROUP_CLUSTERS,
     IN_BOOTSTRAP, XDS_CLUSTER},
    {"dynamic_active_clusters", DUMP "ClustersConfigDump.DynamicCluster", "cluster", GROUP_CLUSTERS,
     ACTIVE, XDS_CLUSTER},
    {"dynamic_warming_clusters", DUMP "ClustersConfigDump.DynamicCluster", "cluster",
     GROUP_CLUSTERS, WARMING, XDS_CLUSTER},
    {"static_endpoint_configs", DUMP "EndpointsConfigDump.StaticEndpointConfig", "endpoint_config",
     GROUP_ENDPOINTS, IN_BOOTSTRAP, XDS_ENDPOINT},
    {"dynamic_endpoint_configs", DUMP "EndpointsConfigDump.DynamicEndpointConfig",
     "endpoint_config", GROUP_ENDPOINTS, ACTIVE, XDS_ENDPOINT},
    {"static_listeners", DUMP "ListenersConfigDump.StaticListener", "listener", GROUP_LISTENERS,
     IN_BOOTSTRAP, XDS_LISTENER},
    {"dynamic_listeners", DUMP "ListenersConfigDump.DynamicListener", "listener", GROUP_LISTENERS,
     ACTIVE, XDS_LISTENER},
    {"static_route_configs", DUMP "RoutesConfigDump.StaticRouteConfig", "route_config",
     GROUP_ROUTES, IN_BOOTSTRAP, XDS_ROUTE},
    {"dynamic_route_configs", DUMP "RoutesConfigDump.DynamicRouteConfig", "route_config",
     GROUP_ROUTES, ACTIVE, XDS_ROUTE},
    {"static_secrets", DUMP "SecretsConfigDump.StaticSecret", "secret", GROUP_SECRETS, IN_BOOTSTRAP,
     XDS_SECRET},
    {"dynamic_active_secrets", DUMP "SecretsConfigDump.DynamicSecret", "secret", GROUP_SECRETS,
     ACTIVE, XDS_SECRET},
    {"dynamic_warming_secrets", DUMP "SecretsConfigDump.DynamicSecret", "secret", GROUP_SECRETS,
     WARMING, XDS_SECRET},
};

struct config_dump {
    struct config_dump_options options;
    struct arena *arena; /* of the bootstrap */
    pb_bootstrap *bootstrap;
    int64_t bootstrap_us;
    struct kept_rows kept[XDS_RESOURCES];
    /* Where it stands. */
    unsigned group;
    bool in_group; /* its beginning is written */
    bool any_group;
    size_t list; /* of `lists` */
    bool in_list;
    bool any; /* an element of the list is written */
    size_t at;
    bool begun;
};

bool config_dump_has(const char *resource)
{
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (lists[i].key && streq(lists[i].name, resource))
            return true;
    return streq(resource, "bootstrap");
}

struct config_dump *config_dump_new(const struct config_dump_options *o, const struct store *s,
                                    struct str bootstrap, int64_t bootstrap_us)
{
    struct config_dump *d = NEW(struct config_dump);
    ProtobufCMessage *m;
    d->options = *o;
    d->arena = arena_new(0);
    d->bootstrap_us = bootstrap_us;
    for (unsigned i = 0; i < XDS_RESOURCES; i++)
        store_list_kept(s, (enum xds_resource)i, &d->kept[i]);
    if (pb_unpack(&envoy__config__bootstrap__v3__bootstrap__descriptor, bootstrap, d->arena, &m,
                  NULL) < 0) {
        config_dump_free(d);
        return NULL;
    }
    d->bootstrap = (void *)m;
    return d;
}

void config_dump_free(struct config_dump *d)
{
    if (!d)
        return;
    for (unsigned i = 0; i < XDS_RESOURCES; i++)
        kept_rows_done(&d->kept[i]);
    arena_free(d->arena);
    regex_free(d->options.names);
    free(d->options.resource);
    free(d);
}

/* ---- one element ---- */

static json_t *as_json(const ProtobufCMessage *m)
{
    json_t *j;
    struct err err = {0};
    if (pb_json_print(m, &xds_json_types, &j, &err) < 0)
        return json_pack("{s:s}", "error", err_text(&err));
    json_redact(j);
    return j;
}

static bool is_wanted(const struct config_dump *d, const char *name)
{
    return !d->options.names || regex_matches_all(d->options.names, str_from(name));
}

static void set_since(json_t *element, int64_t us)
{
    char text[28];
    time_format_rfc3339_micro(us, text);
    text[23] = 'Z';
    text[24] = 0;
    json_object_set_new(element, "last_updated", json_string(text));
}

static void write_element(struct config_dump *d, json_t *element, struct buf *to)
{
    const struct list *l = &lists[d->list];
    if (d->options.resource && l->type)
        json_object_set_new(element, "@type", json_string(l->type));
    buf_add_cstr(to, d->any ? ",\n" : "\n");
    d->any = true;
    json_write_indented(to, element);
    json_decref(element);
}

/* Takes the resource. */
static void write_static(struct config_dump *d, json_t *resource, const char *type, struct buf *to)
{
    const struct list *l = &lists[d->list];
    if (!l->key) {
        write_element(d, resource, to);
        return;
    }
    json_t *element = json_object();
    const char *name =
        json_key_str(resource, l->resource == XDS_ENDPOINT ? "cluster_name" : "name");
    if (!is_wanted(d, name ? name : "")) {
        json_decref(resource);
        json_decref(element);
        return;
    }
    json_object_set_new(resource, "@type", json_string(type));
    if (l->resource == XDS_SECRET)
        json_object_set_new(element, "name", json_string(name ? name : ""));
    json_object_set_new(element, l->key, resource);
    set_since(element, d->bootstrap_us);
    write_element(d, element, to);
}

/* Route tables that are written in place, in the filters of a listener. */
static void write_tables(struct config_dump *d, json_t *in, struct buf *to)
{
    const char *type = json_key_str(in, "@type");
    const char *name;
    json_t *value;
    size_t i;
    if (json_is_array(in))
        json_array_foreach(in, i, value) write_tables(d, value, to);
    if (!json_is_object(in))
        return;
    if (type && str_ends(str_from(type), STR(".HttpConnectionManager"))) {
        json_t *table = json_object_get(in, "route_config");
        if (table)
            write_static(d, json_incref(table), xds_resource_type(XDS_ROUTE)->type_url, to);
        return;
    }
    json_object_foreach(in, name, value) write_tables(d, value, to);
}

/* The at-th one of the bootstrap; false: there are no more. */
static bool write_of_bootstrap(struct config_dump *d, struct buf *to)
{
    const struct list *l = &lists[d->list];
    const pb_static *s = d->bootstrap->static_resources;
    const char *type = xds_resource_type((enum xds_resource)l->resource)->type_url;
    size_t at = d->at++;
    AUTO_JSON json_t *listener = NULL;
    switch ((enum xds_resource)l->resource) {
    case XDS_CLUSTER:
    case XDS_ENDPOINT:
        if (!s || at >= s->n_clusters)
            return false;
        if (l->resource == XDS_CLUSTER)
            write_static(d, as_json(&s->clusters[at]->base), type, to);
        else if (s->clusters[at]->load_assignment)
            write_static(d, as_json(&s->clusters[at]->load_assignment->base), type, to);
        return true;
    case XDS_LISTENER:
        if (!s || at >= s->n_listeners)
            return false;
        write_static(d, as_json(&s->listeners[at]->base), type, to);
        return true;
    case XDS_ROUTE:
        if (!s || at >= s->n_listeners)
            return false;
        listener = as_json(&s->listeners[at]->base);
        write_tables(d, listener, to);
        return true;
    case XDS_SECRET:
        if (!s || at >= s->n_secrets)
            return false;
        write_static(d, as_json(&s->secrets[at]->base), type, to);
        return true;
    case XDS_HOST:
    case XDS_WORKLOAD:
    case XDS_NAMES:
    case XDS_RESOURCES:
        break;
    }
    return false;
}

static json_t *kept_json(const struct kept_row *row)
{
    const struct xds_resource_type *type = xds_resource_type(row->type);
    AUTO(arena) struct arena *a = arena_new(0);
    ProtobufCMessage *m;
    json_t *j = NULL;
    if (row->type == XDS_SECRET) {
        if (!row->secret || json_parse(str_from(row->secret), 0, NULL, &j, NULL) < 0)
            j = json_object();
    } else if (pb_unpack(type->message, kept_bytes(row->text), a, &m, NULL) == 0) {
        j = as_json(m);
    } else {
        j = json_object();
    }
    json_object_set_new(j, "@type", json_string(type->type_url));
    return j;
}

/* {version_info, KEY: resource, last_updated} */
static json_t *kept_state_json(const struct list *l, const struct kept_row *row)
{
    json_t *element = json_object();
    if (row->text && row->text->version_n)
        json_object_set_new(element, "version_info", json_text(kept_version(row->text)));
    json_object_set_new(element, l->key, kept_json(row));
    if (row->text)
        set_since(element, row->text->since_us);
    return element;
}

static bool write_kept(struct config_dump *d, struct buf *to)
{
    const struct list *l = &lists[d->list];
    const struct kept_rows *rows = &d->kept[l->resource];
    if (d->at == rows->n)
        return false;
    const struct kept_row *row = &rows->v[d->at++];
    bool listener = l->resource == XDS_LISTENER; /* both states stand in one list */
    if ((!listener && (row->state == KEPT_WARMING) != (l->place == WARMING)) ||
        !is_wanted(d, row->name))
        return true;
    json_t *element = kept_state_json(l, row);
    if (listener)
        element = json_pack("{s:s, s:o}", "name", row->name,
                            row->state == KEPT_WARMING ? "warming_state" : "active_state", element);
    else if (l->resource == XDS_SECRET)
        json_object_set_new(element, "name", json_string(row->name));
    write_element(d, element, to);
    return true;
}

/* ---- all of it ---- */

/* As far as the lists of its static resources. */
static void begin_bootstrap(struct config_dump *d, struct buf *to)
{
    pb_bootstrap b = *d->bootstrap;
    b.static_resources = NULL;
    AUTO_JSON json_t *rest = as_json(&b.base), *whole = json_object();
    AUTO_DONE(buf) struct buf text = {0};
    json_object_set_new(whole, "@type", json_string(groups[GROUP_BOOTSTRAP]));
    set_since(whole, d->bootstrap_us);
    json_write(to, whole);
    to->n--; /* its end, and that of the bootstrap, come behind the lists */
    json_write(&text, rest);
    buf_add_cstr(to, ",\n\"bootstrap\": ");
    buf_add(to, text.p, text.n - 1);
    buf_add_cstr(to, text.n > 2 ? ",\n\"static_resources\": {" : "\"static_resources\": {");
}

static bool has_group(const struct config_dump *d, unsigned group)
{
    if (d->options.resource)
        return group == GROUP_BOOTSTRAP; /* else step_of_one() */
    return (group != GROUP_ENDPOINTS || d->options.with_endpoints);
}

/* The next list that is wanted of the group, or its end. */
static bool next_list(struct config_dump *d)
{
    while (d->list < ARRAY_LEN(lists) && lists[d->list].group != d->group)
        d->list++;
    return d->list < ARRAY_LEN(lists);
}

static void begin_group(struct config_dump *d, struct buf *to)
{
    buf_add_cstr(to, d->any_group ? ",\n" : "\n");
    d->any_group = d->in_group = true;
    d->list = 0;
    if (d->group == GROUP_BOOTSTRAP)
        begin_bootstrap(d, to);
    else
        buf_addf(to, "{\"@type\": \"%s\"", groups[d->group]);
}

static void end_group(struct config_dump *d, struct buf *to)
{
    buf_add_cstr(to, d->group == GROUP_BOOTSTRAP ? "}}}" : "}");
    d->in_group = false;
    d->group++;
}

static bool write_next(struct config_dump *d, struct buf *to)
{
    return lists[d->list].place == IN_BOOTSTRAP ? write_of_bootstrap(d, to) : write_kept(d, to);
}

/* One step of a dump of everything. */
static bool step(struct config_dump *d, struct buf *to)
{
    if (d->group == _GROUPS)
        return false;
    if (!has_group(d, d->group)) {
        d->group++;
    } else if (!d->in_group) {
        begin_group(d, to);
    } else if (!next_list(d)) {
        end_group(d, to);
    } else if (!d->in_list) {
        bool first = d->group == GROUP_BOOTSTRAP && d->list == 0;
        buf_addf(to, "%s\n\"%s\": [", first ? "" : ",", lists[d->list].name);
        d->in_list = true;
        d->any = false;
        d->at = 0;
    } else if (!write_next(d, to)) {
        buf_add_char(to, ']');
        d->in_list = false;
        d->list++;
    }
    return true;
}

static bool step_of_one(struct config_dump *d, struct buf *to)
{
    while (!lists[d->list].key || !streq(lists[d->list].name, d->options.resource))
        d->list++;
    return write_next(d, to);
}

bool config_dump_next(struct config_dump *d, size_t bytes, struct buf *to)
{
    enum { STEPS = 256 };
    bool more = true, one = d->options.resource && !streq(d->options.resource, "bootstrap");
    if (!d->begun)
        buf_add_cstr(to, "{\"configs\": [");
    d->begun = true;
    for (unsigned steps = 0; more && to->n < bytes && steps < STEPS; steps++)
        more = one ? step_of_one(d, to) : step(d, to);
    if (!more)
        buf_add_cstr(to, "]}\n");
    return more;
}
