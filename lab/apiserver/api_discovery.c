/* Discovery: versions, groups, resources (plain and aggregated), OpenAPI. Answers are built from
 * the table of kinds at the first request and kept. Traps known from kubectl 1.20 to 1.33:
 * /openapi/v2 must exist as protobuf with a content type without '@', aggregated discovery is
 * served as v2 only, plain lists must stay. */
#include <stdio.h>

#include "base/hash.h"
#include "lab/apiserver/custom_registry.h"

#define KUBE_VERSION "v1.33.0"

static json_t *verbs_of(const struct api_kind *k)
{
    if (k->review)
        return json_pack("[s]", "create");
    if (!api_kind_has_collection_delete(k))
        return json_pack("[s,s,s,s,s,s,s]", "create", "delete", "get", "list", "patch", "update",
                         "watch");
    return json_pack("[s,s,s,s,s,s,s,s]", "create", "delete", "deletecollection", "get", "list",
                     "patch", "update", "watch");
}

struct subresource {
    const char *name;
    const char *kind;
    const char *group;
    const char *version;
    const char *verbs; /* space-separated */
};

/* Calls fn for each subresource of a kind. */
static void each_subresource(const struct api_kind *k,
                             void (*fn)(const struct api_kind *k, const struct subresource *s,
                                        void *user),
                             void *user)
{
    if (k->has_status)
        fn(k, &(struct subresource){"status", k->kind, NULL, NULL, "get patch update"}, user);
    if (k->has_scale)
        fn(k, &(struct subresource){"scale", "Scale", "autoscaling", "v1", "get patch update"},
           user);
    if (api_kind_is(k, "Pod")) {
        static const struct subresource pod[] = {
            {"attach", "PodAttachOptions", NULL, NULL, "create get"},
            {"binding", "Binding", NULL, NULL, "create"},
            {"ephemeralcontainers", "Pod", NULL, NULL, "get patch update"},
            {"eviction", "Eviction", "policy", "v1", "create"},
            {"exec", "PodExecOptions", NULL, NULL, "create get"},
            {"log", "Pod", NULL, NULL, "get"},
            {"portforward", "PodPortForwardOptions", NULL, NULL, "create get"},
            {"proxy", "PodProxyOptions", NULL, NULL, "create delete get patch update"}};
        for (size_t i = 0; i < ARRAY_LEN(pod); i++)
            fn(k, &pod[i], user);
    }
    if (api_kind_is(k, "Service"))
        fn(k,
           &(struct subresource){"proxy", "ServiceProxyOptions", NULL, NULL,
                                 "create delete get patch update"},
           user);
    if (api_kind_is(k, "Namespace"))
        fn(k, &(struct subresource){"finalize", "Namespace", NULL, NULL, "update"}, user);
    if (api_kind_is(k, "ServiceAccount"))
        fn(k,
           &(struct subresource){"token", "TokenRequest", "authentication.k8s.io", "v1", "create"},
           user);
}

static json_t *words(const char *text)
{
    json_t *list = json_array();
    struct str rest = str_from(text);
    while (rest.p) {
        struct str w = str_cut(rest, ' ', &rest);
        if (w.n)
            json_array_append_new(list, json_stringn(w.p, w.n));
    }
    return list;
}

static void add_plain_sub(const struct api_kind *k, const struct subresource *s, void *user)
{
    AUTO_CHARS char *name = xasprintf("%s/%s", k->plural, s->name);
    json_t *o = json_pack("{s:s,s:s,s:b,s:s,s:o}", "name", name, "singularName", "", "namespaced",
                          k->namespaced, "kind", s->kind, "verbs", words(s->verbs));
    if (s->group) {
        json_put_str(o, "group", s->group);
        json_put_str(o, "version", s->version);
    }
    json_array_append_new(user, o);
}

static void add_names(json_t *o, const struct api_kind *k)
{
    json_t *short_names = api_kind_short_names(k), *categories = api_kind_categories(k);
    if (json_array_size(short_names))
        json_object_set(o, "shortNames", short_names);
    if (json_array_size(categories))
        json_object_set(o, "categories", categories);
    json_decref(short_names);
    json_decref(categories);
}

/* APIResourceList of a group version; NULL if there is none. */
static json_t *resource_list(struct str group, struct str version)
{
    json_t *list = json_array();
    AUTO_CHARS char *gv = group.n ? xasprintf(STR_FMT "/" STR_FMT, STR_ARG(group), STR_ARG(version))
                                  : str_dup(version);
    for (size_t i = 0; i < api_kinds_count(); i++) {
        const struct api_kind *k = api_kind_at(i);
        if (!api_kind_is_served(k) || !str_is(group, k->group) || !str_is(version, k->version))
            continue;
        json_t *o =
            json_pack("{s:s,s:s,s:b,s:s,s:o}", "name", k->plural, "singularName", k->singular,
                      "namespaced", k->namespaced, "kind", k->kind, "verbs", verbs_of(k));
        add_names(o, k);
        json_array_append_new(list, o);
        each_subresource(k, add_plain_sub, list);
    }
    if (!json_array_size(list)) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:s,s:s,s:s,s:o}", "kind", "APIResourceList", "apiVersion", "v1",
                     "groupVersion", gv, "resources", list);
}

static void add_aggregated_sub(const struct api_kind *k, const struct subresource *s, void *user)
{
    json_array_append_new(user, json_pack("{s:s,s:{s:s,s:s,s:s},s:o}", "subresource", s->name,
                                          "responseKind", "group", s->group ? s->group : k->group,
                                          "version", s->version ? s->version : k->version, "kind",
                                          s->kind, "verbs", words(s->verbs)));
}

static json_t *aggregated_resource(const struct api_kind *k)
{
    json_t *subs = json_array();
    each_subresource(k, add_aggregated_sub, subs);
    json_t *o = json_pack("{s:s,s:{s:s,s:s,s:s},s:s,s:s,s:o}", "resource", k->plural,
                          "responseKind", "group", k->group, "version", k->version, "kind", k->kind,
                          "scope", k->namespaced ? "Namespaced" : "Cluster", "singularResource",
                          k->singular, "verbs", verbs_of(k));
    add_names(o, k);
    if (json_array_size(subs))
        json_object_set_new(o, "subresources", subs);
    else
        json_decref(subs);
    return o;
}

/* The member of list whose member `name` (a path) is value; NULL: none. */
static json_t *find_by(json_t *list, const char *name, const char *value)
{
    json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        if (streq(json_at_str(item, name), value))
            return item;
    }
    return NULL;
}

/* Where resources of a group and version are listed. */
static json_t *version_item(json_t *items, const char *group, const char *version)
{
    json_t *item = find_by(items, "metadata.name", group), *v;
    if (!item) {
        item = json_pack("{s:{s:s},s:[]}", "metadata", "name", group, "versions");
        json_array_append_new(items, item);
    }
    v = find_by(json_object_get(item, "versions"), "version", version);
    if (!v) {
        v = json_pack("{s:s,s:[],s:s}", "version", version, "resources", "freshness", "Current");
        json_array_append_new(json_object_get(item, "versions"), v);
    }
    return v;
}

static json_t *aggregated(bool core)
{
    json_t *items = json_array();
    for (size_t i = 0; i < api_kinds_count(); i++)
        if (core == !*api_kind_at(i)->group && api_kind_is_served(api_kind_at(i)))
            json_array_append_new(
                json_object_get(version_item(items, api_kind_at(i)->group, api_kind_at(i)->version),
                                "resources"),
                aggregated_resource(api_kind_at(i)));
    return json_pack("{s:s,s:s,s:{},s:o}", "kind", "APIGroupDiscoveryList", "apiVersion",
                     "apidiscovery.k8s.io/v2", "metadata", "items", items);
}

/* Of each group its versions, the preferred one first. */
static json_t *group_list(void)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < api_kinds_count(); i++) {
        const char *group = api_kind_at(i)->group, *version = api_kind_at(i)->version;
        json_t *g = find_by(groups, "name", group);
        if (!*group || !api_kind_is_served(api_kind_at(i)) ||
            find_by(json_object_get(g, "versions"), "version", version))
            continue;
        AUTO_CHARS char *gv = xasprintf("%s/%s", group, version);
        AUTO_JSON json_t *v = json_pack("{s:s,s:s}", "groupVersion", gv, "version", version);
        if (g)
            json_array_append(json_object_get(g, "versions"), v);
        else
            json_array_append_new(groups, json_pack("{s:s,s:[O],s:O}", "name", group, "versions", v,
                                                    "preferredVersion", v));
    }
    return json_pack("{s:s,s:s,s:o}", "kind", "APIGroupList", "apiVersion", "v1", "groups", groups);
}

static bool etag_is_known(struct api_request *r, const char *etag)
{
    struct str rest = http_exchange_header(r->exchange, "if-none-match");
    while (rest.p) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (str_starts(one, STR("W/")))
            one = str_sub(one, 2, one.n);
        if (str_is(one, etag) || str_is(one, "*"))
            return true;
    }
    return false;
}

/* Clients keep these answers on disk and ask again with If-None-Match. */
static void reply_typed(struct api_request *r, const char *type, struct str body)
{
    char etag[20];
    snprintf(etag, sizeof(etag), "\"%016llX\"",
             (unsigned long long)hash_bytes_seed(body.p, body.n, 0));
    const struct http_header headers[] = {
        {STR("Content-Type"), str_from(type)},
        {STR("ETag"), str_from(etag)},
        {STR("Vary"), STR("Accept")},
        {STR("Cache-Control"), STR("public")},
        {STR("Audit-Id"), str_from(r->audit_id)},
        {STR("Date"), str_from(r->date)},
    };
    if (etag_is_known(r, etag))
        http_exchange_reply(r->exchange, 304, headers + 1, ARRAY_LEN(headers) - 1, STR(""));
    else
        http_exchange_reply(r->exchange, 200, headers, ARRAY_LEN(headers), body);
    api_request_free(r);
}

static void reply_typed_object(struct api_request *r, const json_t *object)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_write(&b, object);
    reply_typed(r, "application/json", buf_str(&b));
}

static void reply_aggregated(struct api_request *r, bool core)
{
    AUTO_JSON json_t *list = aggregated(core);
    AUTO_DONE(buf) struct buf b = {0};
    json_write(&b, list);
    reply_typed(r, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                buf_str(&b));
}

static void versions(struct api_request *r)
{
    char ip[IP_TEXT_BYTES];
    AUTO_CHARS char *address =
        xasprintf("%s:%u", ip_format(&r->server->config.advertise_ip, ip), r->server->config.port);
    AUTO_JSON json_t *o = json_pack("{s:s,s:[s],s:[{s:s,s:s}]}", "kind", "APIVersions", "versions",
                                    "v1", "serverAddressByClientCIDRs", "clientCIDR", "0.0.0.0/0",
                                    "serverAddress", address);
    api_reply_object(r, 200, o);
}

/* gnostic Document: swagger "2.0", info {title, version}, empty paths and definitions. kubectl
 * before 1.29 insists on it. */
static const char openapi_v2[] = "\x0a\x03"
                                 "2.0"
                                 "\x12\x05\x0a\x01"
                                 "F"
                                 "\x12\x00"
                                 "\x42\x00\x4a\x00";

/* Enough for kubectl: the PATCH of each kind with its parameters (dryRun and fieldValidation are
 * looked up there). */
static void add_patch_path(json_t *paths, const struct api_kind *k, const char *key)
{
    static const char *const parameters[] = {"dryRun", "fieldManager", "fieldValidation", "force"};
    AUTO_CHARS char *path = xasprintf("/%s/%s%s/{name}", key,
                                      k->namespaced ? "namespaces/{namespace}/" : "", k->plural);
    json_t *list = json_array();
    for (size_t p = 0; p < ARRAY_LEN(parameters); p++)
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:{s:s,s:b}}", "name", parameters[p], "in",
                                        "query", "schema", "type", "string", "uniqueItems", 1));
    json_object_set_new(paths, path,
                        json_pack("{s:{s:o,s:{},s:{s:s,s:s,s:s}}}", "patch", "parameters", list,
                                  "responses", "x-kubernetes-group-version-kind", "group", k->group,
                                  "version", k->version, "kind", k->kind));
}

static char *openapi_key(const struct api_kind *k)
{
    return *k->group ? xasprintf("apis/%s/%s", k->group, k->version)
                     : xasprintf("api/%s", k->version);
}

/* What kubectl explain reads of a custom kind: its schema, as its definition has it. */
static void add_custom_schema(struct api_server *s, json_t *schemas, const struct api_kind *k)
{
    json_t *own = custom_openapi_schema(s, k);
    json_t *schema = own ? json_deep_copy(own) : json_object(), *properties;
    AUTO_CHARS char *name = xasprintf("%s.%s.%s", k->group, k->version, k->kind);
    json_decref(own);
    properties = json_object_get(schema, "properties");
    if (!properties) {
        properties = json_object();
        json_object_set_new(schema, "properties", properties);
    }
    static const char *const common[][2] = {
        {"apiVersion", "string"}, {"kind", "string"}, {"metadata", "object"}};
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        if (!json_object_get(properties, common[i][0]))
            json_object_set_new(properties, common[i][0], json_pack("{s:s}", "type", common[i][1]));
    json_object_set_new(
        schema, "x-kubernetes-group-version-kind",
        json_pack("[{s:s,s:s,s:s}]", "group", k->group, "version", k->version, "kind", k->kind));
    json_object_set_new(schemas, name, schema);
}

/* The document of one group version ("apis/apps/v1"); NULL if there is none. A new object. */
static json_t *openapi_document(struct api_server *s, struct str key)
{
    json_t *paths = json_object(), *schemas = json_object();
    bool any = false;
    for (size_t i = 0; i < api_kinds_count(); i++) {
        if (!api_kind_is_served(api_kind_at(i)))
            continue;
        AUTO_CHARS char *own = openapi_key(api_kind_at(i));
        if (!str_is(key, own))
            continue;
        any = true;
        if (!api_kind_at(i)->review)
            add_patch_path(paths, api_kind_at(i), own);
        if (api_kind_at(i)->custom)
            add_custom_schema(s, schemas, api_kind_at(i));
    }
    if (!any) {
        json_decref(paths);
        json_decref(schemas);
        return NULL;
    }
    return json_pack("{s:s,s:{s:s,s:s},s:o,s:{s:o}}", "openapi", "3.0.0", "info", "title",
                     "Fairlead lab", "version", FAIRLEAD_VERSION, "paths", paths, "components",
                     "schemas", schemas);
}

/* The hash in each address changes with the document: clients keep documents for ever by it. */
static void openapi_v3_index(struct api_request *r)
{
    json_t *paths = json_object();
    AUTO_JSON json_t *o = json_pack("{s:o}", "paths", paths);
    for (size_t i = 0; i < api_kinds_count(); i++) {
        if (!api_kind_is_served(api_kind_at(i)))
            continue;
        AUTO_CHARS char *key = openapi_key(api_kind_at(i));
        if (json_object_get(paths, key))
            continue;
        AUTO_JSON json_t *document = openapi_document(r->server, str_from(key));
        AUTO_DONE(buf) struct buf text = {0};
        json_write(&text, document);
        AUTO_CHARS char *url = xasprintf("/openapi/v3/%s?hash=%016llX", key,
                                         (unsigned long long)hash_bytes_seed(text.p, text.n, 0));
        json_object_set_new(paths, key, json_pack("{s:s}", "serverRelativeURL", url));
    }
    reply_typed_object(r, o);
}

static bool openapi_v3_group(struct api_request *r, struct str key)
{
    AUTO_JSON json_t *o = openapi_document(r->server, key);
    if (o)
        reply_typed_object(r, o);
    return o != NULL;
}

static void version_info(struct api_request *r)
{
    AUTO_JSON json_t *o =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "major", "1", "minor", "33",
                  "gitVersion", KUBE_VERSION "+fairlead-" FAIRLEAD_VERSION, "gitCommit", "",
                  "gitTreeState", "clean", "buildDate", "1970-01-01T00:00:00Z", "goVersion", "none",
                  "compiler", "gcc", "platform", "linux/amd64");
    api_reply_object(r, 200, o);
}

static bool discovery_root(struct api_request *r, bool core)
{
    struct str accept = http_exchange_header(r->exchange, "accept");
    bool v2 = str_contains(accept, STR("v=v2;")) || str_ends(accept, STR("v=v2")) ||
              str_contains(accept, STR("v=v2,"));
    struct str rest = accept;
    bool plain = !accept.n; /* something that is no aggregated list is taken, too */
    while (rest.p)
        plain = !str_contains(str_cut(rest, ',', &rest), STR("as=APIGroupDiscoveryList")) || plain;
    if (str_contains(accept, STR("APIGroupDiscoveryList")) && v2) {
        reply_aggregated(r, core);
    } else if (!plain) {
        api_status(r, 406, "NotAcceptable", NULL,
                   "only the following media types are accepted: application/json, "
                   "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    } else if (core) {
        versions(r);
    } else {
        AUTO_JSON json_t *o = group_list();
        api_reply_object(r, 200, o);
    }
    return true;
}

static bool group_path(struct api_request *r, struct str rest, bool core)
{
    struct str tail, group = {"", 0}, version;
    if (core) {
        version = rest;
    } else {
        group = str_cut(rest, '/', &tail);
        if (!tail.p) {
            AUTO_JSON json_t *all = group_list();
            json_t *g;
            size_t i;
            json_array_foreach(json_object_get(all, "groups"), i,
                               g) if (str_is(group, json_key_str(g, "name")))
            {
                json_put_str(g, "kind", "APIGroup");
                json_put_str(g, "apiVersion", "v1");
                api_reply_object(r, 200, g);
                return true;
            }
            return false;
        }
        version = tail;
    }
    if (str_contains(version, STR("/")))
        return false;
    AUTO_JSON json_t *list = resource_list(group, version);
    if (list)
        api_reply_object(r, 200, list);
    return list != NULL;
}

static void add_path(json_t *list, const char *path)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v) if (streq(json_string_value(v), path)) return;
    json_array_append_new(list, json_string(path));
}

/* What may be asked for, as the root lists it. */
static void paths(struct api_request *r)
{
    static const char *const fixed[] = {"/.well-known/openid-configuration",
                                        "/api",
                                        "/api/v1",
                                        "/apis",
                                        "/healthz",
                                        "/livez",
                                        "/metrics",
                                        "/openapi/v2",
                                        "/openapi/v3",
                                        "/openid/v1/jwks",
                                        "/readyz",
                                        "/version"};
    json_t *list = json_array();
    AUTO_JSON json_t *o = json_pack("{s:o}", "paths", list);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        add_path(list, fixed[i]);
    for (size_t i = 0; i < api_kinds_count(); i++) {
        if (!*api_kind_at(i)->group || !api_kind_is_served(api_kind_at(i)))
            continue;
        AUTO_CHARS char *group = xasprintf("/apis/%s", api_kind_at(i)->group);
        AUTO_CHARS char *version = xasprintf("/apis/%s", api_kind_group_version(api_kind_at(i)));
        add_path(list, group);
        add_path(list, version);
    }
    api_reply_object(r, 200, o);
}

bool api_discovery(struct api_request *r, struct str path)
{
    if (str_ends(path, STR("/")) && path.n > 1)
        path = str_sub(path, 0, path.n - 1);
    if (!str_is(http_exchange_method(r->exchange), "GET"))
        return false;
    if (str_is(path, "/")) {
        paths(r);
        return true;
    }
    if (str_is(path, "/api") || str_is(path, "/apis"))
        return discovery_root(r, str_is(path, "/api"));
    if (str_is(path, "/version"))
        version_info(r);
    else if (str_is(path, "/openapi/v2"))
        reply_typed(r, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
                    str_of(openapi_v2, sizeof(openapi_v2) - 1));
    else if (str_is(path, "/openapi/v3"))
        openapi_v3_index(r);
    else if (str_starts(path, STR("/openapi/v3/")))
        return openapi_v3_group(r, str_sub(path, 12, path.n));
    else if (str_starts(path, STR("/api/")))
        return group_path(r, str_sub(path, 5, path.n), true);
    else if (str_starts(path, STR("/apis/")))
        return group_path(r, str_sub(path, 6, path.n), false);
    else
        return false;
    return true;
}
