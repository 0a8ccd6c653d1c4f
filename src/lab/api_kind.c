/* The kinds and how the API server asks their tables (kube/schema.h, kube/selector.h, kube/validate.h). Everything that is
 * particular to one kind and is no table stands in api_kind_rules.c and api_printers.c. */
#include "lab/api_kind.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "kube/patch.h"
#include "kube/pbobject.h"
#include "kube/schema_tables.h"
#include "kube/selector.h"
#include "kube/validate.h"
#include "lab/api_kind_priv.h"

const struct api_kind api_kinds[] = {
    {"", "v1", "Namespace", "namespaces", "namespace", {"ns"}, .has_status = true, .field_paths = {"status.phase"}},
    {"", "v1", "Node", "nodes", "node", {"no"}, .has_status = true, .field_paths = {"spec.unschedulable"}},
    {"", "v1", "Pod", "pods", "pod", {"po"}, .namespaced = true, .in_all = true, .has_status = true,
     .field_paths = {"spec.nodeName", "status.phase", "status.podIP", "spec.serviceAccountName", "spec.restartPolicy", "spec.schedulerName"}},
    {"", "v1", "Service", "services", "service", {"svc"}, .namespaced = true, .in_all = true, .has_status = true,
     .field_paths = {"spec.clusterIP", "spec.type"}},
    {"", "v1", "Endpoints", "endpoints", "endpoints", {"ep"}, .namespaced = true},
    {"", "v1", "ConfigMap", "configmaps", "configmap", {"cm"}, .namespaced = true},
    {"", "v1", "Secret", "secrets", "secret", {NULL}, .namespaced = true, .field_paths = {"type"}},
    {"", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", {"sa"}, .namespaced = true},
    {"", "v1", "Event", "events", "event", {"ev"}, .namespaced = true,
     .field_paths = {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "reason", "type",
                     "involvedObject.apiVersion", "involvedObject.fieldPath"}},
    {"apps", "v1", "Deployment", "deployments", "deployment", {"deploy"}, .namespaced = true, .in_all = true, .has_status = true,
     .has_scale = true, .counts_generation = true},
    {"apps", "v1", "ReplicaSet", "replicasets", "replicaset", {"rs"}, .namespaced = true, .in_all = true, .has_status = true,
     .has_scale = true, .counts_generation = true, .field_paths = {"status.replicas"}},
    {"discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice", {NULL}, .namespaced = true, .counts_generation = true},
    {"coordination.k8s.io", "v1", "Lease", "leases", "lease", {NULL}, .namespaced = true},
};
const size_t api_kinds_n = ARRAY_LEN(api_kinds);

static const struct schema *const schemas[] = {
    &schema_namespace, &schema_node, &schema_pod, &schema_service, &schema_endpoints, &schema_config_map, &schema_secret,
    &schema_service_account, &schema_event, &schema_deployment, &schema_replica_set, &schema_endpoint_slice, &schema_lease,
};
static_assert(ARRAY_LEN(schemas) == ARRAY_LEN(api_kinds), "one schema per kind");

int api_kind_index(const struct api_kind *k)
{
    return (int)(k - api_kinds);
}

static const struct schema *schema_of(const struct api_kind *k)
{
    return schemas[api_kind_index(k)];
}

const char *api_kind_resource(const struct api_kind *k)
{
    static char names[ARRAY_LEN(api_kinds)][80];
    char *name = names[api_kind_index(k)];
    if (!*name)
        snprintf(name, sizeof(names[0]), "%s%s%s", k->plural, *k->group ? "." : "", k->group);
    return name;
}

const char *api_kind_group_version(const struct api_kind *k)
{
    static char names[ARRAY_LEN(api_kinds)][80];
    char *name = names[api_kind_index(k)];
    if (!*name)
        snprintf(name, sizeof(names[0]), "%s%s%s", k->group, *k->group ? "/" : "", k->version);
    return name;
}

int api_kind_find(struct str group, struct str version, struct str plural)
{
    for (size_t i = 0; i < api_kinds_n; i++)
        if (str_is(group, api_kinds[i].group) && str_is(version, api_kinds[i].version) && str_is(plural, api_kinds[i].plural))
            return (int)i;
    return -1;
}

/* ---- causes ---- */

void api_cause_add(struct api_causes *c, const char *reason, const char *field, const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf message = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&message, fmt, ap);
    va_end(ap);
    vec_push(c, (struct api_cause){xstrdup(field), reason, buf_take_cstr(&message)});
}

void api_causes_done(struct api_causes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->v[i].field);
        free(c->v[i].message);
    }
    vec_done(c);
}

static void take_errors(struct api_causes *causes, struct field_errors *errors)
{
    for (size_t i = 0; i < errors->n; i++)
        api_cause_add(causes, errors->v[i].reason, errors->v[i].field, "%s", errors->v[i].message);
    field_errors_done(errors);
}

/* ---- tables ---- */

int api_kind_decode(const struct api_kind *k, json_t *object, struct buf *warnings, struct err *reterr)
{
    struct schema_findings findings = {0};
    int r = schema_decode(schema_of(k), object, &findings, reterr);
    if (r == 0)
        buf_add_str(warnings, buf_str(&findings.unknown));
    schema_findings_done(&findings);
    return r;
}

void api_kind_default(const struct api_kind *k, json_t *object)
{
    schema_default(schema_of(k), object);
    api_kind_default_rules(k, object);
}

void api_kind_validate(const struct api_kind *k, const json_t *object, const json_t *old, struct api_causes *causes)
{
    struct field_errors errors = {0};
    api_kind_validate_metadata(k, object, &errors);
    schema_validate(schema_of(k), object, &errors);
    api_kind_validate_rules(k, object, old, &errors);
    take_errors(causes, &errors);
}

int api_kind_decode_protobuf(const struct api_kind *k, struct str body, json_t **ret, struct err *reterr)
{
    char api_version[256], kind[256];
    struct str raw;
    int r = pb_object_open(body, api_version, kind, &raw, reterr);
    if (r < 0)
        return r;
    r = pb_object_decode(schema_of(k), raw, ret, reterr);
    if (r < 0)
        return r;
    if (*kind)
        json_put_str(*ret, "kind", kind);
    if (*api_version)
        json_put_str(*ret, "apiVersion", api_version);
    return 0;
}

/* ---- selectors ---- */

struct label_selector {
    struct selector s;
};

struct field_selector {
    struct selector s;
};

int label_selector_parse(const char *text, struct label_selector **ret, struct err *reterr)
{
    struct label_selector *s = NEW(struct label_selector);
    int r = selector_parse_labels(str_from(text), &s->s, reterr);
    if (r < 0)
        free(s);
    else
        *ret = s;
    return r;
}

void label_selector_free(struct label_selector *s)
{
    if (s)
        selector_done(&s->s);
    free(s);
}

static bool match_requirements(const struct selector *s, const char *(*find)(void *user, const char *key), void *user)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *value = find(user, s->v[i].key);
        struct label label = {s->v[i].key, value};
        struct selector one = {.v = &s->v[i], .n = 1};
        if (!selector_matches(&one, &label, value ? 1 : 0))
            return false;
    }
    return true;
}

bool label_selector_match(const struct label_selector *s, const char *(*find)(void *user, const char *key), void *user)
{
    return match_requirements(&s->s, find, user);
}

int field_selector_parse(const struct api_kind *k, const char *text, struct field_selector **ret, struct err *reterr)
{
    struct field_selector *s = NEW(struct field_selector);
    int r = selector_parse_fields(str_from(text), &s->s, reterr);
    for (size_t i = 0; r == 0 && i < s->s.n; i++) {
        const char *key = s->s.v[i].key;
        bool known = streq(key, "metadata.name") || (streq(key, "metadata.namespace") && k->namespaced);
        for (size_t f = 0; f < ARRAY_LEN(k->field_paths) && k->field_paths[f]; f++)
            known = known || streq(k->field_paths[f], key);
        if (!known)
            r = err_set(reterr, -EINVAL, NULL, "field label not supported: %s", key);
    }
    if (r < 0)
        field_selector_free(s);
    else
        *ret = s;
    return r;
}

void field_selector_free(struct field_selector *s)
{
    if (s)
        selector_done(&s->s);
    free(s);
}

bool field_selector_match(const struct field_selector *s, const char *(*find)(void *user, const char *path), void *user)
{
    return match_requirements(&s->s, find, user);
}

/* ---- patches ---- */

int api_patch_strategic(const struct api_kind *k, json_t *object, const json_t *patch, struct err *reterr)
{
    return patch_apply_strategic(schema_of(k), object, patch, reterr);
}

int api_patch_json(json_t **object, const json_t *patch, struct err *reterr)
{
    return patch_apply_json(object, patch, reterr);
}

void api_patch_merge(json_t *object, const json_t *patch)
{
    patch_apply_merge(object, patch);
}

/* ---- columns ---- */

static const struct api_column plain_columns[] = {
    {"Name", "string", "Name must be unique within a namespace.", 0},
    {"Age", "date", "CreationTimestamp is a timestamp representing the server time when this object was created.", 0},
};

size_t api_kind_columns(const struct api_kind *k, const struct api_column **ret)
{
    (void)k;
    *ret = plain_columns;
    return ARRAY_LEN(plain_columns);
}

json_t *api_kind_cells(const struct api_kind *k, const json_t *object)
{
    (void)k;
    return json_pack("[s?,s?]", json_at_str(object, "metadata.name"), json_at_str(object, "metadata.creationTimestamp"));
}
