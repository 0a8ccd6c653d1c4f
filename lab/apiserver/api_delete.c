/* DELETE: finalizers, grace periods, propagation, preconditions.
 *
 * An object goes at once unless something holds it: a finalizer, or (for a pod on a node) its grace
 * period. Then it gets a deletionTimestamp, and whoever holds it lets go by an update, which ends
 * here too (api_finish_delete). The garbage collector and the namespace controller are clients;
 * this file only keeps the rules. */
#include <errno.h>
#include <stdio.h>

#include "base/time.h"
#include "codec/url.h"
#include "kube/schema_tables.h"
#include "lab/apiserver/custom_registry.h"

#define FOREGROUND "foregroundDeletion"
#define ORPHAN     "orphan"

struct delete_options {
    int64_t grace_s; /* -1 = the object's default */
    char policy[16]; /* Background, Foreground, Orphan, or "" */
    char uid[64];
    char version[24];
    bool dry_run;
};

/* The three that follow: false = answered. */
static bool orphan_fits(struct api_request *r, const json_t *orphan, const char *policy)
{
    return !orphan || !*policy ||
           api_invalid_option(r, "DeleteOptions", "propagationPolicy", "FieldValueInvalid",
                              "Invalid value: orphanDependents and propagationPolicy cannot be "
                              "both set");
}

static bool policy_is_known(struct api_request *r, const char *policy)
{
    if (!*policy || streq(policy, "Background") || streq(policy, "Foreground") ||
        streq(policy, "Orphan"))
        return true;
    AUTO_CHARS char *message = xasprintf("Unsupported value: \"%s\": supported values: "
                                         "\"Foreground\", \"Background\", \"Orphan\"",
                                         policy);
    return api_invalid_option(r, "DeleteOptions", "propagationPolicy", "FieldValueNotSupported",
                              message);
}

static bool dry_run_is_known(struct api_request *r, const json_t *body)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(body, "dryRun"), i, v) if (
        !streq(json_string_value(v),
               "All")) return api_invalid_option(r, "DeleteOptions", "dryRun",
                                                 "FieldValueNotSupported",
                                                 "Unsupported value: supported values: \"All\"");
    return true;
}

/* From a DeleteOptions (NULL: none) and the query; false: answered. */
static bool take_options(struct api_request *r, const json_t *body, struct delete_options *o)
{
    AUTO_CHARS char *grace = url_param(r->query, "gracePeriodSeconds");
    AUTO_CHARS char *policy = url_param(r->query, "propagationPolicy");
    uint64_t v;
    *o = (struct delete_options){.grace_s = json_at_int(body, "gracePeriodSeconds", -1)};
    if (grace && (str_to_u64(str_from(grace), &v) < 0 || v > INT32_MAX)) {
        api_status(r, 400, "BadRequest", NULL,
                   "gracePeriodSeconds: \"%s\" is not a number of seconds", grace);
        return false;
    }
    if (grace)
        o->grace_s = (int64_t)v;
    const char *body_policy = json_key_str(body, "propagationPolicy");
    snprintf(o->policy, sizeof(o->policy), "%s", policy ? policy : body_policy ? body_policy : "");
    const json_t *orphan = json_object_get(body, "orphanDependents");
    if (!orphan_fits(r, orphan, o->policy))
        return false;
    if (!*o->policy && !orphan && api_kind_is(r->kind, "Job"))
        api_warn(r,
                 "child pods are preserved by default when jobs are deleted; set "
                 "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to "
                 "suppress this warning");
    if (json_is_true(orphan) || (!*o->policy && !orphan && api_kind_is(r->kind, "Job")))
        snprintf(o->policy, sizeof(o->policy), "Orphan");
    const char *uid = json_at_str(body, "preconditions.uid"),
               *version = json_at_str(body, "preconditions.resourceVersion");
    snprintf(o->uid, sizeof(o->uid), "%s", uid ? uid : "");
    snprintf(o->version, sizeof(o->version), "%s", version ? version : "");
    o->dry_run = r->dry_run || json_array_size(json_object_get(body, "dryRun")) > 0;
    return policy_is_known(r, o->policy) && dry_run_is_known(r, body);
}

/* The body is the DeleteOptions; false: answered. */
static bool read_options(struct api_request *r, struct delete_options *o)
{
    AUTO_JSON json_t *body = NULL;
    return api_read_message(r, &schema_delete_options, &body) == 0 && take_options(r, body, o);
}

static bool add_finalizer(json_t *object, const char *name)
{
    json_t *list = json_at(object, "metadata.finalizers"), *f;
    size_t i;
    json_array_foreach(list, i, f) if (streq(json_string_value(f), name)) return false;
    if (!list) {
        list = json_array();
        json_put(object, "metadata.finalizers", list);
    }
    json_array_append_new(list, json_string(name));
    return true;
}

static bool is_held(const struct api_kind *k, const json_t *object)
{
    if (json_array_size(json_at(object, "metadata.finalizers")))
        return true;
    if (api_kind_is(k, "Namespace") && json_array_size(json_at(object, "spec.finalizers")))
        return true;
    return json_at_int(object, "metadata.deletionGracePeriodSeconds", 0) > 0;
}

int api_delete_step(struct api_server *s, uint32_t kind, json_t *object, struct object *old,
                    struct object **ret, struct err *reterr)
{
    if (is_held(api_kind_at(kind), object)) {
        if (api_kind_is(api_kind_at(kind), "Namespace"))
            json_put_str(object, "status.phase", "Terminating");
        return store_put(s->store, kind, object, ret, reterr);
    }
    int r = store_remove(s->store, kind, old->ns, old->name, object, reterr);
    return r < 0 ? r : 1;
}

void api_finish_delete(struct api_request *r, json_t *object, struct object *old)
{
    struct object *stored = NULL;
    struct err err = {0};
    int code = api_delete_step(r->server, r->kind_index, object, object_ref(old), &stored, &err);
    object_unref(old);
    if (code < 0)
        api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
    else if (code == 0)
        api_reply_stored(r, 200, stored);
    else
        api_reply_object(r, 200, object);
}

/* Seconds a pod gets to end by itself; 0 for everything else. */
static int64_t grace_of(const struct api_kind *k, const json_t *object,
                        const struct delete_options *o)
{
    if (!api_kind_is(k, "Pod"))
        return 0;
    const char *phase = json_at_str(object, "status.phase");
    if (!json_at_str(object, "spec.nodeName") || streq(phase, "Succeeded") ||
        streq(phase, "Failed"))
        return 0;
    if (o->grace_s >= 0)
        return o->grace_s;
    return json_at_int(object, "spec.terminationGracePeriodSeconds", 30);
}

/* Marks the tree for deletion; false if it was marked already and nothing gets sooner. */
static bool mark(const struct api_kind *k, json_t *object, const struct delete_options *o)
{
    char at[21];
    int64_t grace = grace_of(k, object, o);
    bool marked = json_at_str(object, "metadata.deletionTimestamp") != NULL;
    bool changed = false;
    if (!marked && api_kind_is(k, "CustomResourceDefinition"))
        crd_terminate(object);
    if (streq(o->policy, "Foreground"))
        changed = add_finalizer(object, FOREGROUND);
    else if (streq(o->policy, "Orphan"))
        changed = add_finalizer(object, ORPHAN);
    if (marked && json_at_int(object, "metadata.deletionGracePeriodSeconds", 0) <= grace)
        return changed;
    time_format_rfc3339(time_real_s() + grace, at);
    json_put_str(object, "metadata.deletionTimestamp", at);
    json_put_int(object, "metadata.deletionGracePeriodSeconds", grace);
    if (!marked && k->counts_generation)
        json_put_int(object, "metadata.generation",
                     json_at_int(object, "metadata.generation", 0) + 1);
    return true;
}

static bool check_preconditions(struct api_request *r, const struct object *old,
                                const struct delete_options *o)
{
    char version[24];
    snprintf(version, sizeof(version), "%llu", (unsigned long long)old->version);
    const char *what = *o->uid && !streq(o->uid, old->uid)          ? "UID"
                       : *o->version && !streq(o->version, version) ? "ResourceVersion"
                                                                    : NULL;
    if (!what)
        return true;
    AUTO_CHARS char *name = xstrdup(r->name);
    AUTO_JSON json_t *details = api_details(r, name);
    api_status(r, 409, "Conflict", details,
               "Operation cannot be fulfilled on %s \"%s\": the %s in the precondition (%s) does "
               "not match the %s in record (%s). The "
               "object might have been deleted and then recreated",
               api_kind_resource(r->kind), name, what, streq(what, "UID") ? o->uid : o->version,
               what, streq(what, "UID") ? old->uid : version);
    return false;
}

static bool is_protected(const struct api_kind *k, const struct object *o)
{
    return api_kind_is(k, "Namespace") &&
           (streq(o->name, "default") || streq(o->name, "kube-system") ||
            streq(o->name, "kube-public"));
}

static void reply_gone(struct api_request *r, const struct object *old)
{
    if (r->kind->deleted_shown) {
        api_reply_stored(r, 200, old);
        return;
    }
    AUTO_JSON json_t *details = api_details(r, old->name);
    json_put_str(details, "uid", old->uid);
    AUTO_JSON json_t *status = json_pack("{s:s,s:s,s:{},s:s,s:O}", "kind", "Status", "apiVersion",
                                         "v1", "metadata", "status", "Success", "details", details);
    api_reply_object(r, 200, status);
}

/* False: answered. *ret: what is there afterwards, a new reference; *ret_gone: it was the last. */
static bool delete_one(struct api_request *r, const struct delete_options *o, struct object **ret,
                       bool *ret_gone)
{
    struct err err = {0};
    struct object *old = store_find(r->server->store, r->kind_index, r->ns, r->name), *stored = old;
    int code = 0;
    if (!old) {
        api_not_found(r, r->name);
        return false;
    }
    if (!check_preconditions(r, old, o))
        return false;
    if (is_protected(r->kind, old)) {
        AUTO_CHARS char *name = xstrdup(old->name);
        AUTO_JSON json_t *details = api_details(r, name);
        api_status(r, 403, "Forbidden", details,
                   "namespaces \"%s\" is forbidden: this namespace may not be deleted", name);
        return false;
    }
    object_ref(old);
    AUTO_JSON json_t *object = object_tree(old);
    bool changed = mark(r->kind, object, o);
    if (!o->dry_run && (changed || !is_held(r->kind, object)))
        code = api_delete_step(r->server, r->kind_index, object, old, &stored, &err);
    *ret_gone = o->dry_run || code == 1;
    *ret = object_ref(code == 1 ? old : stored);
    object_unref(old);
    if (code >= 0)
        return true;
    object_unref(*ret);
    api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
    return false;
}

static void delete_admitted(struct api_request *r, json_t *object, struct object *old, int status)
{
    struct delete_options o;
    struct object *left;
    bool gone;
    (void)object;
    (void)old;
    (void)status;
    if (!read_options(r, &o) || !delete_one(r, &o, &left, &gone))
        return;
    if (gone)
        reply_gone(r, left);
    else
        api_reply_stored(r, 200, left);
    object_unref(left);
}

static void delete_mutated(struct api_request *r, json_t *object, struct object *old, int status)
{
    if (!api_webhooks_validate(r, object, old, status, delete_admitted))
        delete_admitted(r, object, old, status);
}

void api_delete(struct api_request *r)
{
    struct object *old = store_find(r->server->store, r->kind_index, r->ns, r->name);
    if (!old || !api_webhooks_mutate(r, NULL, old, 200, delete_mutated))
        old ? delete_mutated(r, NULL, old, 200) : delete_admitted(r, NULL, NULL, 200);
}

/* pods/eviction without disruption budgets: a delete, as its deleteOptions say. */
void api_evict(struct api_request *r)
{
    AUTO_JSON json_t *body = NULL;
    struct delete_options o;
    struct object *left;
    bool gone;
    r->query = (struct str){NULL, 0}; /* options of a create, which have been read */
    if (api_read_message(r, &schema_eviction, &body) < 0)
        return;
    const char *name = json_at_str(body, "metadata.name");
    if (!str_empty(name) && !streq(name, r->name)) {
        api_status(r, 400, "BadRequest", NULL,
                   "name in URL does not match name in Eviction object");
        return;
    }
    if (!take_options(r, json_object_get(body, "deleteOptions"), &o) ||
        !delete_one(r, &o, &left, &gone))
        return;
    object_unref(left);
    api_reply_json(r, 201,
                   STR("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                       "\"Success\",\"code\":201}"));
}

void api_delete_collection(struct api_request *r)
{
    struct delete_options o;
    struct api_selection sel;
    struct err err = {0};
    VEC(struct object *) chosen = {0};
    struct store *store = r->server->store;
    if (!read_options(r, &o))
        return;
    if (api_selection_parse(r, &sel, &err) < 0) {
        api_status(r, 400, "BadRequest", NULL, "%s", err_text(&err));
        return;
    }
    for (size_t i = 0; i < store_count(store, r->kind_index); i++) {
        struct object *object = store_at(store, r->kind_index, i);
        if (api_selection_matches(&sel, object))
            vec_push(&chosen, object_ref(object));
    }
    AUTO_DONE(buf) struct buf b = {0};
    int code = 0;
    api_view_list_begin(&b, API_VIEW_JSON, r->kind);
    for (size_t i = 0; i < chosen.n; i++) {
        api_view_list_item(&b, API_VIEW_JSON, r->kind, chosen.v[i], i == 0);
        AUTO_JSON json_t *object = object_tree(chosen.v[i]);
        struct object *stored;
        if (code >= 0 && !o.dry_run && (mark(r->kind, object, &o) || !is_held(r->kind, object)))
            code = api_delete_step(r->server, r->kind_index, object, chosen.v[i], &stored, &err);
    }
    api_view_list_end(&b, API_VIEW_JSON, store_version(store), NULL, 0);
    if (code < 0)
        api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
    else
        api_reply_json(r, 200, buf_str(&b));
    VEC_FOREACH (c, &chosen)
        object_unref(*c);
    vec_done(&chosen);
    api_selection_done(&sel);
}

int api_delete_object(struct api_server *s, struct object *old, const char *policy,
                      struct err *reterr)
{
    struct delete_options o = {.grace_s = -1};
    const struct api_kind *k = api_kind_at(old->kind);
    AUTO_JSON json_t *object = object_tree(old);
    snprintf(o.policy, sizeof(o.policy), "%s", policy);
    if (!mark(k, object, &o) && is_held(k, object))
        return 0;
    return api_delete_step(s, old->kind, object, old, NULL, reterr);
}

int api_delete_all(struct api_server *s, uint32_t kind, struct err *reterr)
{
    for (size_t i = store_count(s->store, kind); i-- > 0;) {
        struct object *old = object_ref(store_at(s->store, kind, i));
        int code = api_delete_object(s, old, "Background", reterr);
        object_unref(old);
        if (code < 0)
            return code;
    }
    return (int)MIN(store_count(s->store, kind), (size_t)INT32_MAX);
}
