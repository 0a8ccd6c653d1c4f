/* The rows of the kinds, and how the API server asks their tables (kube/schema.h, selector.h,
 * validate.h, table.h). Constant data and pure functions. */
#include "lab/apiserver/api_kind.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "kube/patch.h"
#include "kube/pbobject.h"
#include "kube/schema_tables.h"
#include "kube/selector.h"
#include "kube/validate.h"
#include "lab/apiserver/custom_kind.h"
#include "lab/apiserver/custom_registry.h"
#include "lab/apiserver/store.h"

#define ROW(group_, kind_, plural_, singular_, msg, tab)                                           \
    .group = group_, .version = "v1", .kind = kind_, .plural = plural_, .singular = singular_,     \
    .schema = &schema_##msg, .table = &table_##tab
#define REVIEW(group_, kind_, plural_, singular_, msg)                                             \
    {                                                                                              \
        ROW(group_, kind_, plural_, singular_, msg, plain), .review = true                         \
    }

#define INGRESS_ROW(group_, version_, msg)                                                         \
    .group = group_, .version = version_, .kind = "Ingress", .plural = "ingresses",                \
    .singular = "ingress", .schema = &schema_##msg, .table = &table_ingress, .namespaced = true,   \
    .has_status = true, .counts_generation = true
#define LEGACY_INGRESS(number, from)                                                               \
    .stored_as = "ingresses", .stored_group = "networking.k8s.io", .form = number,                 \
    .to_stored = ingress_to_v1, .from_stored = from

#define WEBHOOKS(kind_, plural_, singular_, msg)                                                   \
    {                                                                                              \
        ROW("admissionregistration.k8s.io", kind_, plural_, singular_, msg, webhooks),             \
            .counts_generation = true, .validate = validate_webhooks                               \
    }

#define RBAC "rbac.authorization.k8s.io"

static const struct api_kind builtin[] = {
    {ROW("", "ConfigMap", "configmaps", "configmap", config_map, configmap), .short_names = {"cm"},
     .namespaced = true, .validate = validate_configmap},
    {ROW("", "Endpoints", "endpoints", "endpoints", endpoints, endpoints), .short_names = {"ep"},
     .created_by_update = true, .namespaced = true, .validate = validate_endpoints},
    {ROW("", "Event", "events", "event", event, event), .short_names = {"ev"},
     .created_by_update = true, .namespaced = true,
     .field_paths = {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
                     "involvedObject.uid", "involvedObject.apiVersion",
                     "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
                     "reportingComponent", "source", "type"},
     .validate = validate_event},
    {ROW("", "Namespace", "namespaces", "namespace", namespace, namespace), .short_names = {"ns"},
     .name_form = NAME_LABEL, .has_status = true, .field_paths = {"status.phase"},
     .set_defaults = default_namespace},
    {ROW("", "Node", "nodes", "node", node, node), .short_names = {"no"}, .has_status = true,
     .field_paths = {"spec.unschedulable"}, .validate = validate_node},
    {ROW("", "Pod", "pods", "pod", pod, pod), .short_names = {"po"}, .deleted_shown = true,
     .has_proxy = true, .namespaced = true, .in_all = true, .has_status = true,
     .field_paths = {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
                     "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP",
                     "status.podIPs", "status.nominatedNodeName"},
     .set_defaults = default_pod, .validate = validate_pod},
    {ROW("", "ReplicationController", "replicationcontrollers", "replicationcontroller",
         replication_controller, replicaset),
     .short_names = {"rc"}, .deleted_shown = true, .namespaced = true, .in_all = true,
     .has_status = true, .has_scale = true, .counts_generation = true,
     .field_paths = {"status.replicas"}, .set_defaults = default_replication_controller,
     .validate = validate_replication_controller},
    {ROW("", "Secret", "secrets", "secret", secret, secret), .namespaced = true,
     .field_paths = {"type"}, .set_defaults = default_secret, .validate = validate_secret},
    {ROW("", "ServiceAccount", "serviceaccounts", "serviceaccount", service_account,
         serviceaccount),
     .short_names = {"sa"}, .deleted_shown = true, .namespaced = true},
    {ROW("", "Service", "services", "service", service, service), .short_names = {"svc"},
     .has_proxy = true, .name_form = NAME_LABEL, .created_by_update = true, .deleted_shown = true,
     .namespaced = true, .in_all = true, .has_status = true,
     .field_paths = {"spec.clusterIP", "spec.type"}, .set_defaults = default_service,
     .validate = validate_service},
    WEBHOOKS("MutatingWebhookConfiguration", "mutatingwebhookconfigurations",
             "mutatingwebhookconfiguration", mutating_webhook_configuration),
    WEBHOOKS("ValidatingWebhookConfiguration", "validatingwebhookconfigurations",
             "validatingwebhookconfiguration", validating_webhook_configuration),
    {ROW("apps", "DaemonSet", "daemonsets", "daemonset", daemon_set, daemonset),
     .short_names = {"ds"}, .namespaced = true, .in_all = true, .has_status = true,
     .counts_generation = true, .set_defaults = default_pod_template,
     .validate = validate_daemonset},
    {ROW("apps", "Deployment", "deployments", "deployment", deployment, deployment),
     .short_names = {"deploy"}, .namespaced = true, .in_all = true, .has_status = true,
     .has_scale = true, .counts_generation = true, .set_defaults = default_pod_template,
     .validate = validate_deployment},
    {ROW("apps", "ReplicaSet", "replicasets", "replicaset", replica_set, replicaset),
     .short_names = {"rs"}, .namespaced = true, .in_all = true, .has_status = true,
     .has_scale = true, .counts_generation = true, .set_defaults = default_pod_template,
     .validate = validate_replicaset},
    {ROW(CRD_GROUP, "CustomResourceDefinition", CRD_PLURAL, "customresourcedefinition",
         custom_resource_definition, crd),
     .short_names = {"crd", "crds"}, .has_status = true, .counts_generation = true,
     .decode = decode_crd, .set_defaults = default_crd, .validate = validate_crd},
    REVIEW("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview",
           self_subject_review),
    REVIEW("authentication.k8s.io", "TokenReview", "tokenreviews", "tokenreview", token_review),
    {ROW("authorization.k8s.io", "LocalSubjectAccessReview", "localsubjectaccessreviews",
         "localsubjectaccessreview", local_subject_access_review, plain),
     .review = true, .namespaced = true},
    REVIEW("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews",
           "selfsubjectaccessreview", self_subject_access_review),
    REVIEW("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews",
           "selfsubjectrulesreview", self_subject_rules_review),
    REVIEW("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews",
           "subjectaccessreview", subject_access_review),
    {ROW("batch", "Job", "jobs", "job", job, job), .namespaced = true, .in_all = true,
     .has_status = true, .counts_generation = true, .set_defaults = default_job,
     .validate = validate_job},
    {ROW("coordination.k8s.io", "Lease", "leases", "lease", lease, lease),
     .created_by_update = true, .namespaced = true},
    {ROW("discovery.k8s.io", "EndpointSlice", "endpointslices", "endpointslice", endpoint_slice,
         endpointslice),
     .namespaced = true, .counts_generation = true, .set_defaults = default_endpointslice,
     .validate = validate_endpointslice},
    {ROW("events.k8s.io", "Event", "events", "event", events_event, event), .short_names = {"ev"},
     .created_by_update = true, .namespaced = true,
     .field_paths = {"regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid",
                     "regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath",
                     "reason", "reportingController", "deprecatedSource", "type"},
     .stored_as = "events", .form = 1, .to_stored = event_to_core, .from_stored = event_from_core},
    {INGRESS_ROW("networking.k8s.io", "v1", ingress), .short_names = {"ing"},
     .validate = validate_ingress},
    {ROW("networking.k8s.io", "IngressClass", "ingressclasses", "ingressclass", ingress_class,
         ingress_class),
     .counts_generation = true, .validate = validate_ingress_class},
    {ROW("networking.k8s.io", "ServiceCIDR", "servicecidrs", "servicecidr", service_cidr,
         service_cidr),
     .has_status = true, .validate = validate_service_cidr},
    {INGRESS_ROW("networking.k8s.io", "v1beta1", legacy_ingress), .short_names = {"ing"},
     LEGACY_INGRESS(1, ingress_to_v1beta1)},
    {INGRESS_ROW("extensions", "v1beta1", legacy_ingress),
     LEGACY_INGRESS(2, ingress_to_extensions)},
    {ROW(RBAC, "ClusterRole", "clusterroles", "clusterrole", cluster_role, role),
     .name_form = NAME_SEGMENT, .created_by_update = true, .validate = validate_cluster_role},
    {ROW(RBAC, "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding",
         cluster_role_binding, role_binding),
     .name_form = NAME_SEGMENT, .set_defaults = default_role_binding, .created_by_update = true,
     .validate = validate_cluster_role_binding},
    {ROW(RBAC, "Role", "roles", "role", role, role), .name_form = NAME_SEGMENT, .namespaced = true,
     .created_by_update = true, .validate = validate_role},
    {ROW(RBAC, "RoleBinding", "rolebindings", "rolebinding", role_binding, role_binding),
     .name_form = NAME_SEGMENT, .namespaced = true, .set_defaults = default_role_binding,
     .created_by_update = true, .validate = validate_role_binding},
};

/* What CustomResourceDefinitions bring, behind the built-in ones. The server has one thread. */
static struct api_kind *custom[API_KINDS_MAX - ARRAY_LEN(builtin)];
static size_t n_custom;

size_t api_kinds_count(void)
{
    return ARRAY_LEN(builtin) + n_custom;
}

const struct api_kind *api_kind_at(size_t index)
{
    ASSERT(index < api_kinds_count());
    return index < ARRAY_LEN(builtin) ? &builtin[index] : custom[index - ARRAY_LEN(builtin)];
}

bool api_kind_is_served(const struct api_kind *k)
{
    return !k->custom || k->served;
}

struct api_kind *api_kind_add(void)
{
    for (size_t i = 0; i < n_custom; i++)
        if (!custom[i]->custom && !custom[i]->home)
            return custom[i]; /* of a version that is no more */
    if (api_kinds_count() == API_KINDS_MAX)
        return NULL;
    custom[n_custom] = NEW(struct api_kind);
    custom[n_custom]->group = custom[n_custom]->version = "";
    custom[n_custom]->row = (uint32_t)api_kinds_count();
    return custom[n_custom++];
}

void api_kinds_forget_custom(void)
{
    while (n_custom)
        free(custom[--n_custom]);
}

/* The row's own place: for names and caches of its form. */
static size_t row_of(const struct api_kind *k)
{
    return k->row ? k->row : (size_t)(k - builtin);
}

int api_kind_index(const struct api_kind *k)
{
    return k->row         ? (int)k->stored_row
           : k->stored_as ? api_kind_find(str_from(k->stored_group ? k->stored_group : ""),
                                          STR("v1"), str_from(k->stored_as))
                          : (int)row_of(k);
}

bool api_kind_is(const struct api_kind *k, const char *kind)
{
    return !k->custom && streq(k->kind, kind);
}

const char *api_kind_resource(const struct api_kind *k)
{
    static char names[ARRAY_LEN(builtin)][80];
    char *name = k->row ? NULL : names[row_of(k)];
    if (!name)
        return k->resource;
    if (!*name)
        snprintf(name, sizeof(names[0]), "%s%s%s", k->plural, *k->group ? "." : "", k->group);
    return name;
}

const char *api_kind_group_version(const struct api_kind *k)
{
    static char names[ARRAY_LEN(builtin)][80];
    char *name = k->row ? NULL : names[row_of(k)];
    if (!name)
        return k->group_version;
    if (!*name)
        snprintf(name, sizeof(names[0]), "%s%s%s", k->group, *k->group ? "/" : "", k->version);
    return name;
}

bool api_kind_has_collection_delete(const struct api_kind *k)
{
    return !api_kind_is(k, "Namespace");
}

static bool kind_is(const struct api_kind *k, struct str group, struct str version,
                    struct str plural)
{
    return str_is(group, k->group) && str_is(version, k->version) && k->plural &&
           str_is(plural, k->plural) && api_kind_is_served(k);
}

int api_kind_find(struct str group, struct str version, struct str plural)
{
    for (size_t i = 0; i < api_kinds_count(); i++)
        if (kind_is(api_kind_at(i), group, version, plural))
            return (int)i;
    return -1;
}

static const char *absent_text(const struct schema *s, struct str path)
{
    const struct schema_field *f = NULL;
    while (s && path.p) { /* of a custom kind there is no table: nothing */
        f = schema_find(s, str_cut(path, '.', &path));
        s = f && f->type == FIELD_OBJECT ? f->of : NULL;
    }
    return !f || path.p                                       ? ""
           : f->type == FIELD_BOOL                            ? "false"
           : f->type == FIELD_INT32 || f->type == FIELD_INT64 ? "0"
                                                              : "";
}

/* "10.1.2.3,fd00::3" */
static char *addresses_text(const json_t *list)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
        buf_addf(&b, "%s%s", i ? "," : "", json_key_str(v, "ip") ? json_key_str(v, "ip") : "");
    return xstrdup(b.n ? buf_cstr(&b) : "");
}

char *api_kind_field_text(size_t kind, const char *path, const json_t *object)
{
    if (streq(path, "source")) { /* of an Event: who says it, in either form */
        const char *component = json_at_str(object, "source.component"),
                   *reporting = json_at_str(object, "reportingComponent");
        return xstrdup(!str_empty(component) ? component : reporting ? reporting : "");
    }
    const json_t *v = json_at(object, path);
    if (streq(path, "status.podIPs"))
        return addresses_text(v);
    return v ? store_field_text(v)
             : xstrdup(absent_text(api_kind_at(kind)->schema, str_from(path)));
}

/* ---- names ---- */

const char *api_kind_list_kind(const struct api_kind *k, char room[API_KIND_NAME_BYTES])
{
    const char *own = k->custom ? json_key_str(k->custom->names, "listKind") : NULL;
    if (own)
        return own;
    snprintf(room, API_KIND_NAME_BYTES, "%sList", k->kind);
    return room;
}

json_t *api_kind_short_names(const struct api_kind *k)
{
    json_t *own = k->custom ? json_object_get(k->custom->names, "shortNames") : NULL;
    json_t *list = own ? json_deep_copy(own) : json_array();
    for (size_t i = 0; i < ARRAY_LEN(k->short_names) && k->short_names[i]; i++)
        json_array_append_new(list, json_string(k->short_names[i]));
    return list;
}

json_t *api_kind_categories(const struct api_kind *k)
{
    json_t *own = k->custom ? json_object_get(k->custom->names, "categories") : NULL;
    json_t *list = own ? json_deep_copy(own) : json_array();
    if (k->in_all)
        json_array_append_new(list, json_string("all"));
    return list;
}

/* ---- other forms of what is stored ---- */

bool api_kind_is_form(const struct api_kind *k)
{
    return k->custom ? k->converts : k->from_stored != NULL;
}

void api_kind_to_stored(const struct api_kind *k, json_t *object)
{
    if (k->to_stored)
        k->to_stored(object);
}

void api_kind_from_stored(const struct api_kind *k, json_t *object)
{
    if (k->custom && k->converts)
        custom_from_stored(k, object);
    else if (k->from_stored)
        k->from_stored(object);
}

/* ---- causes ---- */

void api_cause_add(struct api_causes *c, const char *reason, const char *field, const char *fmt,
                   ...)
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

void api_causes_take(struct api_causes *causes, struct field_errors *errors)
{
    for (size_t i = 0; i < errors->n; i++)
        api_cause_add(causes, errors->v[i].reason, errors->v[i].field, "%s", errors->v[i].message);
    field_errors_done(errors);
}

/* ---- tables ---- */

int api_kind_decode(const struct api_kind *k, json_t *object, struct buf *warnings,
                    struct err *reterr)
{
    struct schema_findings findings = {0};
    int r = k->custom ? custom_decode(k->custom, object, &findings, reterr)
                      : schema_decode(k->schema, object, &findings, reterr);
    if (r == 0 && k->decode)
        k->decode(object, &findings);
    if (r == 0)
        buf_add_str(warnings, buf_str(&findings.unknown));
    schema_findings_done(&findings);
    return r;
}

void api_kind_default(const struct api_kind *k, json_t *object)
{
    if (k->custom)
        custom_default(k->custom, object);
    else
        schema_default(k->schema, object);
    if (k->set_defaults)
        k->set_defaults(object);
}

void api_kind_validate(const struct api_kind *k, const json_t *object, const json_t *old,
                       struct api_causes *causes)
{
    struct field_errors errors = {0};
    validate_metadata(k->name_form, object, old, &errors);
    if (k->custom)
        custom_validate(k->custom, object, old, &errors);
    else
        schema_validate(k->schema, object, &errors);
    if (k->validate)
        k->validate(object, old, &errors);
    api_causes_take(causes, &errors);
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

static bool match_requirements(const struct selector *s,
                               const char *(*find)(void *user, const char *key), void *user)
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

bool label_selector_match(const struct label_selector *s,
                          const char *(*find)(void *user, const char *key), void *user)
{
    return match_requirements(&s->s, find, user);
}

int field_selector_parse(const struct api_kind *k, const char *text, struct field_selector **ret,
                         struct err *reterr)
{
    struct field_selector *s = NEW(struct field_selector);
    int r = selector_parse_fields(str_from(text), &s->s, reterr);
    for (size_t i = 0; r == 0 && i < s->s.n; i++) {
        const char *key = s->s.v[i].key;
        bool known =
            streq(key, "metadata.name") || (streq(key, "metadata.namespace") && k->namespaced);
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

bool field_selector_match(const struct field_selector *s,
                          const char *(*find)(void *user, const char *path), void *user)
{
    return match_requirements(&s->s, find, user);
}

/* ---- patches ---- */

int api_patch_json(json_t **object, const json_t *patch, struct err *reterr)
{
    return patch_apply_json(object, patch, reterr);
}

void api_patch_merge(json_t *object, const json_t *patch)
{
    patch_apply_merge(object, patch);
}
