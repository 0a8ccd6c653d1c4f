/* CREATE, UPDATE, PATCH: from a request body to a committed object.
 *
 * One path for all: body -> tree -> (patch applied) -> metadata rules -> defaults -> (webhooks) ->
 * addresses -> validation -> (webhooks) -> commit. What a client may not change is put back from
 * the stored object; a change that changes nothing commits nothing. Nothing is stored before
 * everything is checked. */
#include <errno.h>
#include <stdio.h>

#include "base/rand.h"
#include "base/time.h"
#include "lab/apiserver/api_priv.h"
#include "lab/apiserver/custom_registry.h"
#include "lab/apiserver/webhook_set.h"

/* ---- metadata ---- */

static void put_type(const struct api_kind *k, json_t *object)
{
    k = api_kind_at(api_kind_index(k)); /* what is kept has the stored form */
    /* First members, as every reader expects them. */
    json_t *ordered =
        json_pack("{s:s,s:s}", "kind", k->kind, "apiVersion", api_kind_group_version(k));
    json_object_del(object, "kind");
    json_object_del(object, "apiVersion");
    json_object_update(ordered, object);
    json_object_clear(object);
    json_object_update(object, ordered);
    json_decref(ordered);
}

/* The version it was sent as: of a custom kind each has its own checks. */
static void put_own_type(const struct api_kind *k, json_t *object)
{
    json_put_str(object, "kind", k->kind);
    json_put_str(object, "apiVersion", api_kind_group_version(k));
}

static void keep_from_old(json_t *object, const json_t *old, const char *path)
{
    json_t *v = json_at(old, path);
    if (v)
        json_put(object, path, json_deep_copy(v));
    else if (json_at(object, "metadata"))
        json_del(object, path);
}

static void keep_metadata(json_t *object, const json_t *old)
{
    static const char *const ours[] = {"metadata.generation", "metadata.generateName",
                                       "metadata.creationTimestamp", "metadata.resourceVersion"};
    /* Another value is refused by validation. */
    static const char *const fixed[] = {"metadata.uid", "metadata.namespace", "metadata.name",
                                        "metadata.deletionTimestamp",
                                        "metadata.deletionGracePeriodSeconds"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        keep_from_old(object, old, ours[i]);
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (!json_at(object, fixed[i]))
            keep_from_old(object, old, fixed[i]);
    json_del(object, "metadata.selfLink");
}

/* managedFields as they are to be kept. */
static void put_managed(struct api_request *r, json_t *object)
{
    json_del(object, "metadata.managedFields");
    if (r->managed)
        json_put(object, "metadata.managedFields", json_incref(r->managed));
}

static void new_metadata(struct api_request *r, json_t *object, const char *name)
{
    char uid[37], now[21];
    rand_uuid(uid);
    time_format_rfc3339(time_real_s(), now);
    json_put_str(object, "metadata.name", name);
    if (*r->ns)
        json_put_str(object, "metadata.namespace", r->ns);
    json_put_str(object, "metadata.uid", uid);
    json_put_str(object, "metadata.creationTimestamp", now);
    static const char *const ours[] = {"metadata.deletionTimestamp",
                                       "metadata.deletionGracePeriodSeconds", "metadata.selfLink",
                                       "metadata.generation"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        json_del(object, ours[i]);
    if (r->kind->counts_generation)
        json_put_int(object, "metadata.generation", 1);
}

static bool same_member(const json_t *a, const json_t *b, const char *name)
{
    json_t *x = json_object_get(a, name), *y = json_object_get(b, name);
    return x == y || (x && y && json_equal(x, y));
}

/* Spec changes count; metadata and status do not. Of kinds without a spec (slices), all that is not
 * metadata counts, and the labels. */
static bool counts(const struct api_kind *k, const json_t *object, const json_t *old)
{
    bool same = true;
    if (k->custom) /* without a status subresource, all that is not metadata */
        return !custom_is_same(k, object, old);
    if (schema_find(k->schema, STR("spec")))
        return !same_member(object, old, "spec");
    for (size_t i = 0; i < k->schema->n; i++) {
        const char *name = k->schema->fields[i].name;
        if (!streq(name, "metadata") && !streq(name, "kind") && !streq(name, "apiVersion"))
            same = same && same_member(object, old, name);
    }
    return !same || !same_member(json_object_get(object, "metadata"),
                                 json_object_get(old, "metadata"), "labels");
}

static void count_generation(const struct api_kind *k, json_t *object, const json_t *old)
{
    if (k->counts_generation && counts(k, object, old))
        json_put_int(object, "metadata.generation", json_at_int(old, "metadata.generation", 0) + 1);
}

/* ---- commit ---- */

static void reply_dry(struct api_request *r, int status, json_t *object)
{
    put_type(r->kind, object);
    api_kind_from_stored(r->kind, object);
    api_reply_object(r, status, object);
}

static void commit_store(struct api_request *r, json_t *object, int status)
{
    struct object *stored;
    struct err err = {0};
    put_type(r->kind, object);
    int code = store_put(r->server->store, r->kind_index, object, &stored, &err);
    if (code == -EFBIG)
        api_status(r, 413, "RequestEntityTooLarge", NULL, "%s", err_text(&err));
    else if (code < 0)
        api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
    else
        api_reply_stored(r, status, stored);
}

static bool same_but_version(const json_t *a, const json_t *b)
{
    AUTO_JSON json_t *x = json_deep_copy(a);
    AUTO_JSON json_t *y = json_deep_copy(b);
    json_del(x, "metadata.resourceVersion");
    json_del(y, "metadata.resourceVersion");
    json_del(x, "metadata.managedFields");
    json_object_del(x, "kind");
    json_object_del(y, "kind");
    json_object_del(x, "apiVersion");
    json_object_del(y, "apiVersion");
    return json_equal(x, y);
}

static bool is_of_webhooks(const struct api_kind *k)
{
    return !k->custom && streq(k->group, "admissionregistration.k8s.io");
}

static void reply_invalid(struct api_request *r, const json_t *object, struct api_causes *causes)
{
    AUTO_CHARS char *name =
        xstrdup(json_at_str(object, "metadata.name") ? json_at_str(object, "metadata.name") : "");
    api_invalid(r, name, causes);
    api_causes_done(causes);
}

/* Whose defaults and checks hold: of the kept form; of a custom kind those of the version it was
 * sent as, all of which are kept alike. */
static const struct api_kind *rules_of(const struct api_request *r)
{
    return r->kind->custom ? r->kind : api_kind_at(r->kind_index);
}

/* What Services and Jobs get from the server, and definitions their names. False: answered. */
static bool prepare(struct api_request *r, json_t *object, const json_t *before)
{
    struct field_errors errors = {0};
    struct api_causes causes = {0};
    if (r->kind_index == custom_registry_kind())
        crd_accept_names(object);
    if (api_kind_is(r->kind, "Job") && !before)
        prepare_job(object);
    if (api_kind_is(r->kind, "Service") && !(before && streq(r->subresource, "status")))
        api_service_prepare(r->server, object, before, &errors);
    if (!errors.n)
        return true;
    bool internal = streq(errors.v[0].reason, "InternalError");
    api_causes_take(&causes, &errors);
    if (!internal) {
        reply_invalid(r, object, &causes);
        return false;
    }
    api_status(r, 500, "InternalError", NULL, "%s: %s", causes.v[0].field, causes.v[0].message);
    api_causes_done(&causes);
    return false;
}

static void warn(void *user, const char *text)
{
    api_warn(user, text);
}

/* As the last check, so that what is wrong with an object is told first. False: answered. */
static bool check_new(struct api_request *r, const json_t *object)
{
    AUTO_CHARS char *name = xstrdup(json_at_str(object, "metadata.name"));
    if (json_at_str(object, "metadata.resourceVersion")) {
        api_status(r, 500, "", NULL, "resourceVersion should not be set on objects to be created");
        return false;
    }
    if (!store_find(r->server->store, r->kind_index, r->ns, name))
        return true;
    AUTO_JSON json_t *details = api_details(r, name);
    api_status(r, 409, "AlreadyExists", details, "%s \"%s\" already exists",
               api_kind_resource(r->kind), name);
    return false;
}

bool api_check(struct api_request *r, const json_t *object)
{
    struct api_causes causes = {0};
    api_kind_validate(rules_of(r), object, NULL, &causes);
    if (!causes.n)
        return true;
    reply_invalid(r, object, &causes);
    return false;
}

/* object becomes before, but for what stands at path. */
static void take_only(json_t *object, const json_t *before, const char *path)
{
    json_t *value = json_incref(json_at(object, path));
    json_t *copy = json_deep_copy(before);
    json_object_clear(object);
    json_object_update(object, copy);
    json_decref(copy);
    if (value)
        json_put(object, path, value);
    else
        json_del(object, path);
}

/* /status changes the status, and of the metadata what Kubernetes' strategies let pass. */
static void take_status(struct api_request *r, json_t *object, const json_t *before)
{
    json_t *metadata = r->kind->custom ? NULL : json_incref(json_object_get(object, "metadata"));
    take_only(object, before, "status");
    if (metadata)
        json_object_set_new(object, "metadata", metadata);
    if (api_kind_is(r->kind, "Deployment"))
        keep_from_old(object, before, "metadata.labels");
    else if (api_kind_is(r->kind, "Pod"))
        keep_from_old(object, before, "metadata.ownerReferences");
}

/* Puts back what this address may not change: the status and ephemeral containers through the
 * object, the rest through /status and /ephemeralcontainers. */
static void separate_status(struct api_request *r, json_t *object, const json_t *before)
{
    if (streq(r->subresource, "ephemeralcontainers")) {
        take_only(object, before, "spec.ephemeralContainers");
        return;
    }
    if (!r->kind->has_status)
        return;
    if (streq(r->subresource, "status")) {
        take_status(r, object, before);
        return;
    }
    keep_from_old(object, before, "status");
    if (api_kind_is(r->kind, "Pod"))
        keep_from_old(object, before, "spec.ephemeralContainers");
}

/* False: answered. A namespaced object needs its namespace, and it must not be going away. */
static bool check_namespace(struct api_request *r, const char *name)
{
    if (!r->kind->namespaced)
        return true;
    int index = api_kind_find(STR(""), STR("v1"), STR("namespaces"));
    struct object *ns = store_find(r->server->store, (uint32_t)index, "", r->ns);
    AUTO_CHARS char *ns_name = xstrdup(r->ns);
    AUTO_CHARS char *copy = xstrdup(name ? name : "");
    if (!ns) {
        AUTO_JSON json_t *details = json_pack("{s:s,s:s}", "name", ns_name, "kind", "namespaces");
        api_status(r, 404, "NotFound", details, "namespaces \"%s\" not found", ns_name);
        return false;
    }
    AUTO_JSON json_t *tree = object_tree(ns);
    if (!json_at_str(tree, "metadata.deletionTimestamp"))
        return true;
    AUTO_JSON json_t *details = api_details(r, copy);
    api_status(r, 403, "Forbidden", details,
               "%s \"%s\" is forbidden: unable to create new content in namespace %s because it is "
               "being terminated",
               api_kind_resource(r->kind), copy, ns_name);
    return false;
}

/* What nobody has to be asked about any more. */
static void commit_checked(struct api_request *r, json_t *object, struct object *old, int status)
{
    AUTO_JSON json_t *before = old ? object_tree(old) : NULL;
    if (r->kind->custom)
        custom_to_stored(api_kind_at(r->kind_index), object);
    if (!before && !check_new(r, object))
        return;
    if (!r->kind->custom && (!r->subresource || streq(r->subresource, "status")))
        warn_of_object(object, r->subresource != NULL, warn, r);
    if (r->kind_index == custom_registry_kind())
        warn_of_crd(object, warn, r);
    if (is_of_webhooks(r->kind))
        warn_of_webhooks(object, warn, r);
    if (before) {
        count_generation(r->kind, object, before);
        if (same_but_version(object, before) && !r->managed_changed) {
            api_reply_stored(r, status, old);
            return;
        }
    }
    put_managed(r, object);
    if (r->dry_run)
        reply_dry(r, status, object);
    else if (before && json_at_str(object, "metadata.deletionTimestamp"))
        api_finish_delete(r, object, old);
    else
        commit_store(r, object, status);
}

/* While it was held, its namespace may have gone, and others may have got the addresses that it was
 * to have. */
static void commit_validated(struct api_request *r, json_t *object, struct object *old, int status)
{
    AUTO_JSON json_t *before = old ? object_tree(old) : NULL;
    if ((!old && !check_namespace(r, json_at_str(object, "metadata.name"))) ||
        (api_kind_is(r->kind, "Service") && !prepare(r, object, before)))
        return;
    commit_checked(r, object, old, status);
}

static void commit_admitted(struct api_request *r, json_t *object, struct object *old, int status)
{
    AUTO_JSON json_t *before = old ? object_tree(old) : NULL;
    struct api_causes causes = {0};
    if (!prepare(r, object, before))
        return;
    api_kind_validate(rules_of(r), object, before, &causes);
    if (causes.n) {
        reply_invalid(r, object, &causes);
        return;
    }
    api_causes_done(&causes);
    if ((!before && !custom_may_create(r)) || !api_rbac_admit(r, object))
        return;
    if (!api_webhooks_validate(r, object, old, status, commit_validated))
        commit_checked(r, object, old, status);
}

/* Webhooks may change no more than the client may. */
static void commit_mutated(struct api_request *r, json_t *object, struct object *old, int status)
{
    AUTO_JSON json_t *before = old ? object_tree(old) : NULL;
    if (str_empty(json_at_str(object, "metadata.namespace")) && *r->ns)
        json_put_str(object, "metadata.namespace", r->ns);
    const char *ns = json_at_str(object, "metadata.namespace");
    if (before) {
        separate_status(r, object, before);
        keep_metadata(object, before);
    } else if (!check_namespace(r, json_at_str(object, "metadata.name"))) {
        return;
    }
    if (!before && !streq(ns ? ns : "", r->ns)) {
        api_status(r, 400, "BadRequest", NULL,
                   "the namespace of the provided object does not match the namespace sent on the "
                   "request");
        return;
    }
    commit_admitted(r, object, old, status);
}

void api_commit(struct api_request *r, json_t *object, struct object *old, int status)
{
    if (!r->kind->custom)
        put_type(r->kind, object); /* a body may leave it out; defaults ask for it */
    else
        put_own_type(r->kind, object);
    api_kind_default(rules_of(r), object);
    if (!api_webhooks_mutate(r, object, old, status, commit_mutated))
        commit_admitted(r, object, old, status);
}

/* ---- create ---- */

/* The name, generated if only a prefix is given; NULL: answered. */
static char *choose_name(struct api_request *r, const json_t *object)
{
    const char *name = json_at_str(object, "metadata.name"),
               *prefix = json_at_str(object, "metadata.generateName");
    if (!str_empty(name))
        return xstrdup(name);
    if (str_empty(prefix)) {
        struct api_causes causes = {0};
        api_cause_add(&causes, "FieldValueRequired", "metadata.name",
                      "Required value: name or generateName is required");
        api_invalid(r, "", &causes);
        api_causes_done(&causes);
        return NULL;
    }
    for (;;) {
        char suffix[6];
        rand_suffix(suffix, 5);
        r->name_generated = true;
        char *made = xasprintf("%.58s%s", prefix, suffix);
        if (!store_find(r->server->store, r->kind_index, r->ns, made))
            return made;
        free(made);
    }
}

void api_create_object(struct api_request *r, json_t *object)
{
    const char *ns = json_at_str(object, "metadata.namespace");
    if (r->kind->namespaced && !*r->ns) {
        api_status(r, 400, "BadRequest", NULL, "an empty namespace may not be set during creation");
        return;
    }
    if (!str_empty(ns) && !streq(ns, r->ns)) {
        api_status(r, 400, "BadRequest", NULL,
                   "the namespace of the provided object does not match the namespace sent on the "
                   "request");
        return;
    }
    AUTO_CHARS char *name = choose_name(r, object);
    if (!name || !check_namespace(r, name))
        return;
    new_metadata(r, object, name);
    if (r->kind->has_status && !api_kind_is(r->kind, "Node"))
        json_object_del(object, "status");
    if (!r->managed)
        api_manage_update(r, NULL, NULL, object);
    if (api_admit_create(r, object))
        api_commit(r, object, NULL, 201);
}

void api_create(struct api_request *r)
{
    AUTO_JSON json_t *object = NULL;
    if (r->name) {
        api_status(r, 405, "MethodNotAllowed", NULL,
                   "the server does not allow this method on the requested resource");
        return;
    }
    if (api_read_body(r, r->kind, &object) == 0)
        api_create_object(r, object);
}

/* ---- update and patch ---- */

static void refuse_name(struct api_request *r, const char *name)
{
    AUTO_CHARS char *sent = xstrdup(name);
    AUTO_CHARS char *want = xstrdup(r->name);
    api_status(r, 400, "BadRequest", NULL,
               "the name of the object (%s) does not match the name on the URL (%s)", sent, want);
}

/* Custom kinds, their definitions and webhooks are not replaced blindly. */
static bool needs_version(const struct api_request *r)
{
    return r->kind->custom || is_of_webhooks(r->kind) || r->kind_index == custom_registry_kind();
}

static void refuse_without_version(struct api_request *r)
{
    struct api_causes causes = {0};
    AUTO_CHARS char *name = xstrdup(r->name);
    api_cause_add(&causes, "FieldValueInvalid", "metadata.resourceVersion",
                  "Invalid value: 0: must be specified for an update");
    api_invalid_as(r, r->kind->group, r->kind->plural, name, &causes);
    api_causes_done(&causes);
}

/* The common end of PUT and PATCH. */
void api_commit_change(struct api_request *r, json_t *object, struct object *old)
{
    AUTO_JSON json_t *before = object_tree(old);
    const char *version = json_at_str(object, "metadata.resourceVersion"),
               *uid = json_at_str(object, "metadata.uid");
    const char *name = json_at_str(object, "metadata.name");
    if (!str_empty(name) && !streq(name, r->name)) {
        refuse_name(r, name);
        return;
    }
    const char *ns = json_at_str(object, "metadata.namespace");
    if (!str_empty(ns) && !streq(ns, r->ns)) {
        AUTO_CHARS char *sent = xstrdup(ns);
        AUTO_CHARS char *want = xstrdup(r->ns);
        api_status(r, 400, "BadRequest", NULL,
                   "the namespace of the object (%s) does not match the namespace on the URL (%s)",
                   sent, want);
        return;
    }
    bool replaces = str_is(http_exchange_method(r->exchange), "PUT");
    uint64_t number;
    if (replaces && str_empty(version) && needs_version(r)) {
        refuse_without_version(r);
        return;
    }
    if (!str_empty(version) && str_to_u64(str_from(version), &number) < 0) {
        api_status(r, 500, "", NULL, "metadata.resourceVersion: \"%.100s\" is not a version",
                   version);
        return;
    }
    if ((!str_empty(version) && !streq(version, json_at_str(before, "metadata.resourceVersion"))) ||
        (replaces && !str_empty(uid) && !streq(uid, json_at_str(before, "metadata.uid")))) {
        api_conflict(r); /* a patched uid is refused by validation */
        return;
    }
    separate_status(r, object, before);
    keep_metadata(object, before);
    if (!r->managed)
        api_manage_update(r, before, old, object);
    api_commit(r, object, old, 200);
}

/* A PUT to a name that is not there, of kinds that take it. */
static void create_by_update(struct api_request *r, json_t *object)
{
    const char *name = json_at_str(object, "metadata.name");
    if (!str_empty(json_at_str(object, "metadata.uid"))) {
        api_conflict(r); /* it means one that has been */
        return;
    }
    if (!str_empty(name) && !streq(name, r->name)) {
        refuse_name(r, name);
        return;
    }
    json_put_str(object, "metadata.name", r->name);
    json_del(object, "metadata.resourceVersion");
    api_create_object(r, object);
}

void api_update(struct api_request *r)
{
    AUTO_JSON json_t *object = NULL;
    if (api_read_body(r, r->kind, &object) < 0)
        return;
    struct object *old = store_find(r->server->store, r->kind_index, r->ns, r->name);
    if (old)
        api_commit_change(r, object, old);
    else if (r->kind->created_by_update && !r->subresource)
        create_by_update(r, object);
    else
        api_not_found(r, r->name);
}

void api_patch(struct api_request *r)
{
    AUTO_JSON json_t *patch = NULL;
    char duplicate[128] = "";
    if (api_read_patch(r, duplicate, &patch) < 0)
        return;
    struct object *old = store_find(r->server->store, r->kind_index, r->ns, r->name);
    if (!old) {
        api_not_found(r, r->name);
        return;
    }
    AUTO_JSON json_t *object = object_tree_managed(old);
    api_kind_from_stored(r->kind, object);
    if (api_apply_patch(r, r->kind->schema, patch, &object) == 0 &&
        api_settle_body(r, r->kind, object, duplicate) == 0)
        api_commit_change(r, object, old);
}
