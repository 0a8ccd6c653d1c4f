/* Subresources that are not streams: scale, binding, eviction, finalize, token. status is a plain
 * update or patch with the roles of spec and status exchanged (api_write.c). */
#include <stdio.h>

#include "base/time.h"
#include "kube/schema_tables.h"
#include "lab/apiserver/custom_registry.h"

static json_t *scale_of(const struct api_kind *k, const json_t *object)
{
    AUTO_DONE(buf) struct buf selector = {0};
    AUTO_JSON json_t *own = NULL;
    const char *key;
    json_t *value;
    bool plain = api_kind_is(k, "ReplicationController");
    int64_t spec = json_at_int(object, "spec.replicas", 0),
            status = json_at_int(object, "status.replicas", 0);
    if (k->custom)
        spec = custom_scale_read(k->custom, object, &status, &own);
    if (json_is_string(own))
        buf_add_cstr(&selector, json_string_value(own));
    json_object_foreach(
        k->custom ? NULL : json_at(object, plain ? "spec.selector" : "spec.selector.matchLabels"),
        key, value)
        buf_addf(&selector, "%s%s=%s", selector.n ? "," : "", key, json_string_value(value));
    json_t *scale = json_pack("{s:s,s:s,s:{},s:{s:I},s:{s:I}}", "kind", "Scale", "apiVersion",
                              "autoscaling/v1", "metadata", "spec", "replicas", (json_int_t)spec,
                              "status", "replicas", (json_int_t)status);
    static const char *const copied[] = {"name", "namespace", "uid", "resourceVersion",
                                         "creationTimestamp"};
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *v = json_object_get(json_at(object, "metadata"), copied[i]);
        if (v)
            json_object_set(json_object_get(scale, "metadata"), copied[i], v);
    }
    if (selector.n)
        json_put_str(scale, "status.selector", buf_cstr(&selector));
    return scale;
}

/* The Scale the body asks for, from the one there is; false: answered. */
static bool read_scale(struct api_request *r, json_t **scale)
{
    AUTO_JSON json_t *body = NULL;
    struct err err = {0};
    char duplicate[128];
    if (str_is(http_exchange_method(r->exchange), "PATCH")) {
        if (api_read_patch(r, duplicate, &body) < 0 ||
            api_apply_patch(r, &schema_scale, body, scale) < 0)
            return false;
        if (schema_decode(&schema_scale, *scale, NULL, &err) < 0) {
            api_status(r, 400, "BadRequest", NULL, "%s", err_text(&err));
            return false;
        }
    } else {
        if (api_read_message(r, &schema_scale, &body) < 0)
            return false;
        json_object_update(*scale, body);
    }
    int64_t replicas = json_at_int(*scale, "spec.replicas", 0);
    if (replicas >= 0 || r->kind->custom) /* of a custom kind the object is checked, whole */
        return true;
    struct api_causes causes = {0};
    AUTO_CHARS char *name = xstrdup(r->name);
    api_cause_add(&causes, "FieldValueInvalid", "spec.replicas",
                  "Invalid value: %lld: must be greater than or equal to 0", (long long)replicas);
    api_invalid(r, name, &causes);
    api_causes_done(&causes);
    return false;
}

static json_t *column(const char *name, const char *type)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:i}", "name", name, "type", type, "format", "",
                     "description", "", "priority", 0);
}

/* What kubectl get --subresource=scale prints. */
static json_t *scale_table(const json_t *scale)
{
    char age[24] = "<unknown>";
    const json_t *metadata = json_object_get(scale, "metadata");
    const char *born = json_key_str(metadata, "creationTimestamp");
    int64_t at_us;
    if (born && time_parse_rfc3339(str_from(born), &at_us) == 0)
        time_format_human(time_real_s() - at_us / 1000000, age);
    return json_pack("{s:s,s:s,s:{s:s},s:[o,o,o,o],s:[{s:[s,I,I,s],s:{s:s,s:s,s:O}}]}", "kind",
                     "Table", "apiVersion", "meta.k8s.io/v1", "metadata", "resourceVersion",
                     json_key_str(metadata, "resourceVersion"), "columnDefinitions",
                     column("Name", "string"), column("Desired", "integer"),
                     column("Available", "integer"), column("Age", "string"), "rows", "cells",
                     json_key_str(metadata, "name"),
                     (json_int_t)json_at_int(scale, "spec.replicas", 0),
                     (json_int_t)json_at_int(scale, "status.replicas", 0), age, "object", "kind",
                     "PartialObjectMetadata", "apiVersion", "meta.k8s.io/v1", "metadata", metadata);
}

static void reply_scale(struct api_request *r, const json_t *scale)
{
    AUTO_JSON json_t *table = api_view_is_table(r->view) ? scale_table(scale) : NULL;
    api_reply_object(r, 200, table ? table : scale);
}

static void scale(struct api_request *r, struct object *old)
{
    AUTO_JSON json_t *object = object_tree(old);
    AUTO_JSON json_t *wanted = scale_of(r->kind, object);
    struct err err = {0};
    if (str_is(http_exchange_method(r->exchange), "GET")) {
        reply_scale(r, wanted);
        return;
    }
    if (!read_scale(r, &wanted))
        return;
    const char *version = json_at_str(wanted, "metadata.resourceVersion");
    int64_t replicas = json_at_int(wanted, "spec.replicas", 0), had, ignored;
    AUTO_JSON json_t *selector = NULL;
    had = r->kind->custom ? custom_scale_read(r->kind->custom, object, &ignored, &selector)
                          : json_at_int(object, "spec.replicas", 0);
    if (!str_empty(version) && !streq(version, json_at_str(object, "metadata.resourceVersion"))) {
        api_conflict(r);
        return;
    }
    if (replicas != had) {
        struct object *stored;
        if (r->kind->custom)
            custom_scale_write(r->kind->custom, object, replicas);
        else
            json_put_int(object, "spec.replicas", replicas);
        if (r->kind->custom && !api_check(r, object))
            return;
        json_put_int(object, "metadata.generation",
                     json_at_int(object, "metadata.generation", 0) + 1);
        AUTO_JSON json_t *before = object_tree(old);
        api_manage_update(r, before, old, object);
        json_put(object, "metadata.managedFields", json_incref(r->managed));
        if (!r->dry_run && store_put(r->server->store, r->kind_index, object, &stored, &err) < 0) {
            api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
            return;
        }
    }
    AUTO_JSON json_t *answer = scale_of(r->kind, object);
    reply_scale(r, answer);
}

static void reply_success(struct api_request *r, int status)
{
    api_reply_json(r, status,
                   STR("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                       "\"Success\",\"code\":201}"));
}

/* False: answered. */
static bool check_target(struct api_request *r, const char *node)
{
    AUTO_CHARS char *name = xstrdup(r->name);
    if (!str_empty(node) && str_is_dns1123_subdomain(str_from(node)))
        return true;
    struct api_causes causes = {0};
    if (str_empty(node))
        api_cause_add(&causes, "FieldValueRequired", "target.name", "Required value");
    else
        api_cause_add(&causes, "FieldValueInvalid", "target.name",
                      "Invalid value: \"%.253s\": is not the name of a node", node);
    api_invalid(r, name, &causes);
    api_causes_done(&causes);
    return false;
}

/* What was sent names an object by its uid: it must be this one. False: answered. */
static bool check_uid(struct api_request *r, const char *resource, const json_t *body,
                      const struct object *old)
{
    const char *uid = json_at_str(body, "metadata.uid");
    AUTO_CHARS char *name = xstrdup(r->name);
    if (str_empty(uid) || streq(uid, old->uid))
        return true;
    AUTO_JSON json_t *details = api_details(r, name);
    api_status(r, 409, "Conflict", details,
               "Operation cannot be fulfilled on %s \"%s\": Precondition failed: UID in "
               "precondition: %s, UID in object meta: %s",
               resource, name, uid, old->uid);
    return false;
}

/* pods/binding: what a scheduler says. */
static void bind_pod(struct api_request *r, struct object *old)
{
    AUTO_JSON json_t *object = object_tree(old);
    AUTO_JSON json_t *body = NULL;
    struct err err = {0};
    char now[21];
    if (api_read_message(r, &schema_binding, &body) < 0)
        return;
    if (!check_target(r, json_at_str(body, "target.name")))
        return;
    const char *have = json_at_str(object, "spec.nodeName");
    AUTO_CHARS char *name = xstrdup(r->name);
    if (!check_uid(r, "pods/binding", body, old))
        return;
    bool gated = json_array_size(json_at(object, "spec.schedulingGates")) > 0;
    if (have || gated || json_at_str(object, "metadata.deletionTimestamp")) {
        AUTO_JSON json_t *details = api_details(r, name);
        api_status(r, 409, "Conflict", details,
                   "Operation cannot be fulfilled on pods/binding \"%s\": pod %s %s", name, name,
                   have    ? "is already assigned to a node"
                   : gated ? "has non-empty .spec.schedulingGates"
                           : "is being deleted");
        return;
    }
    json_put_str(object, "spec.nodeName", json_at_str(body, "target.name"));
    time_format_rfc3339(time_real_s(), now);
    json_t *conditions = json_at(object, "status.conditions"), *c;
    size_t i;
    if (!conditions) {
        conditions = json_array();
        json_put(object, "status.conditions", conditions);
    }
    json_array_foreach(conditions, i, c) if (streq(json_key_str(c, "type"), "PodScheduled"))
    {
        json_array_remove(conditions, i);
        break;
    }
    json_array_append_new(conditions, json_pack("{s:s,s:s,s:s}", "type", "PodScheduled", "status",
                                                "True", "lastTransitionTime", now));
    struct object *stored;
    if (!r->dry_run && store_put(r->server->store, r->kind_index, object, &stored, &err) < 0)
        api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
    else
        reply_success(r, 201);
}

/* namespaces/finalize: the namespace controller has emptied it. */
static void finalize(struct api_request *r, struct object *old)
{
    AUTO_JSON json_t *object = object_tree(old);
    AUTO_JSON json_t *body = NULL;
    if (api_read_body(r, r->kind, &body) < 0 || !check_uid(r, "namespaces", body, old))
        return;
    const char *version = json_at_str(body, "metadata.resourceVersion");
    if (!str_empty(version) && !streq(version, json_at_str(object, "metadata.resourceVersion"))) {
        api_conflict(r);
        return;
    }
    json_t *finalizers = json_at(body, "spec.finalizers");
    json_put(object, "spec.finalizers", finalizers ? json_deep_copy(finalizers) : json_array());
    if (json_at_str(object, "metadata.deletionTimestamp"))
        api_finish_delete(r, object, old);
    else
        api_commit(r, object, old, 200);
}

/* pods/ephemeralcontainers: the pod, of which only these change (api_write.c). */
static void ephemeral_containers(struct api_request *r, struct object *pod)
{
    struct str method = http_exchange_method(r->exchange);
    if (str_is(method, "GET"))
        api_reply_stored(r, 200, pod);
    else if (str_is(method, "PUT"))
        api_update(r);
    else
        api_patch(r);
}

/* Subresources that are known take the methods their discovery names, and no other. */
static bool method_fits(const struct api_request *r, struct str method)
{
    static const struct {
        const char *subresource;
        const char *methods;
    } rows[] = {{"scale", " GET PUT PATCH "}, {"ephemeralcontainers", " GET PUT PATCH "},
                {"finalize", " PUT "},        {"log", " GET "},
                {"exec", " GET POST "},       {"attach", " GET POST "},
                {"binding", " POST "},        {"eviction", " POST "},
                {"token", " POST "},          {"portforward", " GET POST "}};
    AUTO_CHARS char *word = xasprintf(" " STR_FMT " ", STR_ARG(method));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (streq(r->subresource, rows[i].subresource))
            return strstr(rows[i].methods, word) != NULL;
    return true;
}

void api_subresource(struct api_request *r)
{
    struct str method = http_exchange_method(r->exchange);
    struct object *old = store_find(r->server->store, r->kind_index, r->ns, r->name);
    if (!old) {
        api_not_found(r, r->name);
        return;
    }
    if (!method_fits(r, method)) {
        api_status(r, 405, "MethodNotAllowed", NULL,
                   "the server does not allow this method on the requested resource");
    } else if (streq(r->subresource, "scale") && r->kind->has_scale) {
        scale(r, old);
    } else if (streq(r->subresource, "binding") && api_kind_is(r->kind, "Pod")) {
        bind_pod(r, old);
    } else if (streq(r->subresource, "eviction") && api_kind_is(r->kind, "Pod")) {
        api_evict(r);
    } else if (streq(r->subresource, "ephemeralcontainers") && api_kind_is(r->kind, "Pod")) {
        ephemeral_containers(r, old);
    } else if (streq(r->subresource, "finalize") && api_kind_is(r->kind, "Namespace")) {
        finalize(r, old);
    } else if (streq(r->subresource, "token") && api_kind_is(r->kind, "ServiceAccount")) {
        api_token_request(r);
    } else if (api_kind_is(r->kind, "Pod") &&
               (streq(r->subresource, "log") || streq(r->subresource, "exec") ||
                streq(r->subresource, "attach") || streq(r->subresource, "portforward"))) {
        api_tunnel(r);
    } else {
        const char *hint = api_absent_hint(str_from(r->kind->group), str_from(r->kind->plural),
                                           str_from(r->subresource));
        api_status(r, 404, "NotFound", NULL,
                   hint ? "this lab has no %s/%s: %s"
                        : "the server could not find the requested resource",
                   r->kind->plural, r->subresource, hint);
    }
}
