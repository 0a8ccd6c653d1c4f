/* The list of kinds. Adding a kind: its message table (schema_*.c), its columns (table_columns.c), its row here.
 * Constant data and two look-ups; the request path scans some twenty rows. */
#include "kube/kinds.h"

#include <stdio.h>

#include "kube/schema_tables.h"

const struct kind kind_namespace = {
    "", "v1", "Namespace", "namespaces", "namespace", "ns",
    KIND_STATUS | KIND_FINALIZE | KIND_NAME_LABEL, &schema_namespace,
    columns_namespace, 2, {"status.phase"},
};

const struct kind kind_node = {
    "", "v1", "Node", "nodes", "node", "no", KIND_STATUS, &schema_node, columns_node, 10, {"spec.unschedulable"},
    .validate = validate_node,
};

const struct kind kind_pod = {
    "", "v1", "Pod", "pods", "pod", "po",
    KIND_NAMESPACED | KIND_STATUS | KIND_LOG | KIND_ALL | KIND_GENERATION, &schema_pod, columns_pod, 9,
    {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
     "status.phase", "status.podIP", "status.nominatedNodeName"},
    .set_defaults = default_pod, .validate = validate_pod,
};

const struct kind kind_service = {
    "", "v1", "Service", "services", "service", "svc",
    KIND_NAMESPACED | KIND_STATUS | KIND_ALL | KIND_NAME_1035, &schema_service, columns_service, 7,
    {"spec.clusterIP", "spec.type"},
    .set_defaults = default_service, .validate = validate_service,
};

const struct kind kind_endpoints = {
    "", "v1", "Endpoints", "endpoints", "endpoints", "ep", KIND_NAMESPACED, &schema_endpoints, columns_endpoints, 3, {NULL},
    .validate = validate_endpoints,
};

const struct kind kind_configmap = {
    "", "v1", "ConfigMap", "configmaps", "configmap", "cm", KIND_NAMESPACED, &schema_config_map, columns_configmap, 3, {NULL},
    .validate = validate_configmap,
};

const struct kind kind_secret = {
    "", "v1", "Secret", "secrets", "secret", NULL, KIND_NAMESPACED, &schema_secret, columns_secret, 4, {"type"},
    .set_defaults = default_secret, .validate = validate_secret,
};

const struct kind kind_serviceaccount = {
    "", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", "sa", KIND_NAMESPACED | KIND_TOKEN,
    &schema_service_account, columns_serviceaccount, 3, {NULL},
};

const struct kind kind_event = {
    "", "v1", "Event", "events", "event", "ev", KIND_NAMESPACED, &schema_event, columns_event, 10,
    {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
     "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
     "reportingComponent", "source", "type"},
};

const struct kind kind_events_event = {
    "events.k8s.io", "v1", "Event", "events", "event", "ev", KIND_NAMESPACED, &schema_events_event, columns_events_event,
    10,
    {"regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "reason", "reportingController", "type"},
    .stored_as = &kind_event, .to_stored = event_to_stored, .from_stored = event_from_stored,
};

const struct kind kind_deployment = {
    "apps", "v1", "Deployment", "deployments", "deployment", "deploy",
    KIND_NAMESPACED | KIND_STATUS | KIND_SCALE | KIND_GENERATION | KIND_ALL, &schema_deployment, columns_deployment, 8, {NULL},
    .set_defaults = default_pod_template, .validate = validate_deployment,
};

const struct kind kind_replicaset = {
    "apps", "v1", "ReplicaSet", "replicasets", "replicaset", "rs",
    KIND_NAMESPACED | KIND_STATUS | KIND_SCALE | KIND_GENERATION | KIND_ALL, &schema_replica_set, columns_replicaset, 8,
    {"status.replicas"},
    .set_defaults = default_pod_template, .validate = validate_replicaset,
};

const struct kind kind_endpointslice = {
    "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice", NULL,
    KIND_NAMESPACED | KIND_GENERATION, &schema_endpoint_slice, columns_endpointslice, 5, {NULL},
    .set_defaults = default_endpointslice, .validate = validate_endpointslice,
};

const struct kind kind_lease = {
    "coordination.k8s.io", "v1", "Lease", "leases", "lease", NULL, KIND_NAMESPACED, &schema_lease, columns_lease, 3, {NULL},
};

#define REVIEW(ident, group_, kind_, plural_, singular_, flags_)                                   \
    static const struct kind kind_##ident = {                                                      \
        group_, "v1", kind_, plural_, singular_, NULL, KIND_CREATE_ONLY | (flags_), &schema_##ident, columns_plain, 2, {NULL}}

REVIEW(self_subject_access_review, "authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews",
       "selfsubjectaccessreview", 0);
REVIEW(self_subject_rules_review, "authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews",
       "selfsubjectrulesreview", 0);
REVIEW(subject_access_review, "authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews",
       "subjectaccessreview", 0);
REVIEW(local_subject_access_review, "authorization.k8s.io", "LocalSubjectAccessReview", "localsubjectaccessreviews",
       "localsubjectaccessreview", KIND_NAMESPACED);
REVIEW(self_subject_review, "authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview", 0);
REVIEW(token_review, "authentication.k8s.io", "TokenReview", "tokenreviews", "tokenreview", 0);

static const struct kind *const kinds[] = {
    &kind_configmap, &kind_endpoints, &kind_event, &kind_namespace, &kind_node, &kind_pod, &kind_secret,
    &kind_serviceaccount, &kind_service, &kind_deployment, &kind_replicaset, &kind_token_review,
    &kind_self_subject_review, &kind_local_subject_access_review, &kind_self_subject_access_review,
    &kind_self_subject_rules_review, &kind_subject_access_review, &kind_lease, &kind_endpointslice, &kind_events_event,
};

const struct kind *const *kinds_all(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(kinds);
    return kinds;
}

const struct kind *kind_find(struct str group, struct str version, struct str plural)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_is(plural, kinds[i]->plural) && str_is(group, kinds[i]->group) && str_is(version, kinds[i]->version))
            return kinds[i];
    return NULL;
}

const struct kind *kind_find_kind(struct str api_version, struct str kind)
{
    char text[128];
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_is(kind, kinds[i]->kind) && str_is(api_version, kind_api_version(kinds[i], text)))
            return kinds[i];
    return NULL;
}

const char *kind_api_version(const struct kind *k, char ret[128])
{
    snprintf(ret, 128, "%s%s%s", k->group, *k->group ? "/" : "", k->version);
    return ret;
}

/* core/v1 and events.k8s.io/v1 name the same things differently. */
static const char *const event_names[][2] = {
    {"regarding", "involvedObject"},       {"note", "message"},
    {"reportingController", "reportingComponent"}, {"deprecatedSource", "source"},
    {"deprecatedFirstTimestamp", "firstTimestamp"}, {"deprecatedLastTimestamp", "lastTimestamp"},
    {"deprecatedCount", "count"},
};

static void rename_members(json_t *object, size_t from)
{
    for (size_t i = 0; i < ARRAY_LEN(event_names); i++) {
        json_t *v = json_object_get(object, event_names[i][from]);
        if (!v)
            continue;
        json_object_set(object, event_names[i][1 - from], v);
        json_object_del(object, event_names[i][from]);
    }
}

void event_to_stored(json_t *object)
{
    rename_members(object, 0);
    json_put_str(object, "apiVersion", "v1");
}

void event_from_stored(json_t *object)
{
    rename_members(object, 1);
    json_put_str(object, "apiVersion", "events.k8s.io/v1");
}
