/* Admission webhooks: a write that somebody is to be asked about is held here.
 *
 * Owns the sets of webhooks, read when a configuration has changed and somebody writes, and each
 * write that is held: it keeps the request, the object as it has become and the version it began
 * from. Mutating webhooks are asked one after the other, in the order of their configurations'
 * names; what they change is decoded and has its defaults again, what this server adds to new
 * objects is added again, and who wants it (reinvocationPolicy) is asked once more. Validating
 * webhooks follow in turn. Others' requests go on meanwhile. Where no webhook is, nothing is done
 * but to look. */
#include <errno.h>

#include "base/rand.h"
#include "codec/url.h"
#include "lab/apiserver/custom_registry.h"
#include "lab/apiserver/webhook_call.h"
#include "lab/apiserver/webhook_review.h"

struct held {
    struct api_server *server;
    struct api_request *r;
    json_t *object; /* as it has become, in its kept form; NULL: a deletion */
    struct object *old;
    int status;
    api_webhooks_next_fn *next;
    bool mutating;
    char *group, *version, *plural; /* of r->kind, whose row may be made anew meanwhile */
    struct webhook_set *set;
    size_t at;
    bool second_round, changed;
    uint8_t *marks; /* of each webhook */
    const char *operation;
    json_t *before, *namespace_labels;
    const struct api_kind *as; /* what the one at `at` is asked as */
    char uid[37];
    struct webhook_call *call;
};

enum { MARK_ASKED = 1, MARK_DUE = 2 };

static void go_on(struct held *h);

/* ---- the sets ---- */

static uint32_t configurations(bool mutating)
{
    static uint32_t kinds[2];
    if (!kinds[0]) {
        const struct str group = STR("admissionregistration.k8s.io"), v1 = STR("v1");
        kinds[0] = (uint32_t)api_kind_find(group, v1, STR("validatingwebhookconfigurations"));
        kinds[1] = (uint32_t)api_kind_find(group, v1, STR("mutatingwebhookconfigurations"));
    }
    return kinds[mutating];
}

void api_webhooks_event(struct api_server *s, const struct store_event *e)
{
    for (int m = 0; m < 2; m++) {
        if (e->object->kind != configurations(m))
            continue;
        webhook_set_unref(s->webhooks[m]);
        s->webhooks[m] = NULL;
    }
}

void api_webhooks_done(struct api_server *s)
{
    webhook_set_unref(s->webhooks[0]);
    webhook_set_unref(s->webhooks[1]);
}

void api_webhooks_metrics(const struct api_server *s, struct buf *b)
{
    buf_addf(b,
             "# TYPE fairlead_lab_webhook_calls_total counter\nfairlead_lab_webhook_calls_total "
             "%llu\n# TYPE fairlead_lab_webhook_refused_total "
             "counter\nfairlead_lab_webhook_refused_total %llu\n# TYPE "
             "fairlead_lab_webhook_failed_total counter\nfairlead_lab_webhook_failed_total %llu\n"
             "# TYPE fairlead_lab_webhook_held gauge\nfairlead_lab_webhook_held %zu\n",
             (unsigned long long)s->webhook_stats.calls,
             (unsigned long long)s->webhook_stats.refused,
             (unsigned long long)s->webhook_stats.failed, s->webhook_stats.held);
}

/* Borrowed. */
static struct webhook_set *set_of(struct api_server *s, bool mutating)
{
    if (s->webhooks[mutating])
        return s->webhooks[mutating];
    struct webhook_set *set = webhook_set_ref(NEW(struct webhook_set));
    for (size_t i = 0; i < store_count(s->store, configurations(mutating)); i++) {
        AUTO_JSON json_t *c = object_tree(store_at(s->store, configurations(mutating), i));
        webhook_set_add(set, c, mutating);
    }
    return s->webhooks[mutating] = set;
}

/* ---- objects, as they are asked about and back ---- */

static const struct api_kind *kept_kind(const struct api_request *r)
{
    return r->kind->custom ? r->kind : api_kind_at(r->kind_index);
}

/* A deletion's or what was: in its stored form. Otherwise as the request has it. A new tree. */
static json_t *as_asked(const struct held *h, const json_t *object, bool stored)
{
    const struct api_kind *as = h->as;
    json_t *copy = object ? json_deep_copy(object) : NULL;
    if (!copy)
        return NULL;
    if (as->custom && (stored || as != h->r->kind))
        custom_from_stored(as, copy);
    else if (!as->custom && as->from_stored)
        as->from_stored(copy);
    json_put_str(copy, "kind", as->kind);
    json_put_str(copy, "apiVersion", api_kind_group_version(as));
    return copy;
}

static bool is_new(const struct held *h)
{
    return h->object && !h->old;
}

/* What is told only once it is written: a mutating webhook is asked before. */
static const char *const not_yet[] = {"metadata.uid", "metadata.creationTimestamp",
                                      "metadata.generation"};

static json_t *asked_object(const struct held *h)
{
    json_t *o = as_asked(h, h->object, false);
    if (!o)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(not_yet) && h->mutating && is_new(h); i++)
        json_del(o, not_yet[i]);
    if (h->mutating && is_new(h) && h->r->name_generated)
        json_del(o, "metadata.name");
    if (h->r->managed)
        json_put(o, "metadata.managedFields", json_incref(h->r->managed));
    return o;
}

static void put_back(const struct held *h, json_t *object)
{
    const json_t *name = json_at(object, "metadata.name");
    json_del(object, "metadata.managedFields");
    if (!is_new(h))
        return;
    for (size_t i = 0; i < ARRAY_LEN(not_yet); i++) {
        json_t *v = json_at(h->object, not_yet[i]);
        if (v)
            json_put(object, not_yet[i], json_incref(v));
    }
    if (!json_is_string(name) || !*json_string_value(name))
        json_put(object, "metadata.name", json_incref(json_at(h->object, "metadata.name")));
}

/* What the patch makes of it becomes the object. */
static int patched(struct held *h, const json_t *patch, struct err *reterr)
{
    const struct api_kind *kind = kept_kind(h->r);
    AUTO_JSON json_t *object = asked_object(h);
    AUTO_DONE(buf) struct buf unknown = {0};
    int r = api_patch_json(&object, patch, reterr);
    if (r == 0 && !json_is_object(object))
        r = err_set(reterr, -EINVAL, NULL, "the patch leaves no object");
    if (r == 0 && !json_values_within(object, API_VALUES_MAX))
        r = err_set(reterr, -E2BIG, NULL, "the patched object has more than 200000 values");
    if (r < 0)
        return r;
    if (!h->as->custom)
        api_kind_to_stored(h->as, object);
    json_put_str(object, "kind", kind->kind);
    json_put_str(object, "apiVersion", api_kind_group_version(kind));
    r = api_kind_decode(kind, object, &unknown, reterr);
    if (r < 0)
        return r;
    put_back(h, object);
    api_kind_default(kind, object);
    if (json_equal(object, h->object))
        return 0;
    json_object_clear(h->object); /* in place: whoever began the write holds it, too */
    json_object_update(h->object, object);
    h->changed = true;
    for (size_t i = 0; i < h->set->n; i++)
        if ((h->marks[i] & MARK_ASKED) && h->set->v[i].again)
            h->marks[i] |= MARK_DUE;
    return 0;
}

/* ---- the question ---- */

static json_t *options_of(const struct held *h)
{
    const struct api_request *r = h->r;
    const char *kind = !h->object ? "DeleteOptions" : is_new(h) ? "CreateOptions" : "UpdateOptions";
    static const char *const texts[] = {"fieldManager", "fieldValidation"};
    json_t *o = json_pack("{s:s,s:s}", "kind", kind, "apiVersion", "meta.k8s.io/v1");
    for (size_t i = 0; i < ARRAY_LEN(texts) && h->object; i++) {
        AUTO_CHARS char *value = url_param(r->query, texts[i]);
        if (!str_empty(value))
            json_object_set_new(o, texts[i], json_text(str_from(value)));
    }
    if (r->dry_run)
        json_put(o, "dryRun", json_pack("[s]", "All"));
    return o;
}

static struct webhook_subject subject_of(const struct held *h)
{
    return (struct webhook_subject){.operation = h->operation,
                                    .kind = h->r->kind,
                                    .subresource = h->r->subresource,
                                    .ns = h->r->ns,
                                    .namespace_labels = h->namespace_labels,
                                    .object = h->object,
                                    .old = h->before};
}

static json_t *question(struct held *h)
{
    struct webhook_subject subject = subject_of(h);
    const struct api_request *r = h->r;
    const char *name = r->name                            ? r->name
                       : h->mutating && r->name_generated ? ""
                                                          : json_at_str(h->object, "metadata.name");
    AUTO_JSON json_t *object = asked_object(h);
    AUTO_JSON json_t *kept = h->old ? object_tree_managed(h->old) : NULL;
    AUTO_JSON json_t *old = as_asked(h, kept, true);
    AUTO_JSON json_t *options = options_of(h);
    rand_uuid(h->uid);
    const struct webhook_question q = {.uid = h->uid,
                                       .as = h->as,
                                       .subject = &subject,
                                       .name = name,
                                       .object = object,
                                       .old = old,
                                       .user = r->user.name ? r->user.name : "",
                                       .groups = r->user.groups,
                                       .n_groups = r->user.n_groups,
                                       .options = options,
                                       .dry_run = r->dry_run};
    return webhook_review(&q);
}

/* ---- holding ---- */

static void held_free(struct held *h)
{
    h->server->webhook_stats.held--;
    if (h->call)
        webhook_call_cancel(h->call);
    json_decref(h->object);
    object_unref(h->old);
    json_decref(h->before);
    json_decref(h->namespace_labels);
    webhook_set_unref(h->set);
    free(h->group);
    free(h->version);
    free(h->plural);
    free(h->marks);
    free(h);
}

/* The write is not held any more; the request is the caller's to go on with or to answer. */
static struct api_request *let_go(struct held *h)
{
    struct api_request *r = h->r;
    http_exchange_set_done(r->exchange, NULL, NULL);
    held_free(h);
    return r;
}

static void on_client_gone(struct http_exchange *x, void *user)
{
    struct held *h = user;
    struct api_request *r = h->r;
    (void)x;
    held_free(h);
    api_request_free(r);
}

/* 500: the webhook could not be asked, or what it said cannot be done. */
static void fail(struct held *h, const char *text)
{
    AUTO_JSON json_t *details =
        json_pack("{s:[{s:o}]}", "causes", "message", json_text(str_from(text)));
    api_status(let_go(h), 500, "InternalError", details, "Internal error occurred: %s", text);
}

static void refuse(struct held *h, const struct webhook_answer *a)
{
    const char *message = json_key_str(a->status, "message"),
               *reason = json_key_str(a->status, "reason");
    int64_t code = json_at_int(a->status, "code", 400);
    const json_t *details = json_object_get(a->status, "details");
    const struct webhook *hook = &h->set->v[h->at];
    AUTO_CHARS char *text =
        !str_empty(message) || !str_empty(reason)
            ? xasprintf("admission webhook \"%s\" denied the request: %s", hook->name,
                        !str_empty(message) ? message : reason)
            : xasprintf("admission webhook \"%s\" denied the request without explanation",
                        hook->name);
    h->server->webhook_stats.refused++;
    api_status(let_go(h),
               code < 400   ? 400
               : code > 599 ? 500
                            : (int)code,
               reason, json_is_object(details) ? details : NULL, "%s", text);
}

/* The row of a custom kind may have been made anew, or have gone. False: answered. */
static bool find_kind_again(struct held *h)
{
    int index = api_kind_find(str_from(h->group), str_from(h->version), str_from(h->plural));
    if (index >= 0) {
        h->r->kind = api_kind_at((size_t)index);
        h->r->kind_index = (uint32_t)api_kind_index(h->r->kind);
        return true;
    }
    api_status(let_go(h), 404, "NotFound", NULL,
               "the server could not find the requested resource");
    return false;
}

/* Somebody else has written the same object meanwhile. */
static void begin_anew(struct held *h)
{
    struct api_request *r = let_go(h);
    json_decref(r->managed);
    r->managed = NULL;
    r->managed_changed = false;
    if (++r->begun_anew > API_BEGIN_ANEW_MAX)
        api_conflict(r);
    else
        r->server->dispatch(r);
}

/* All have been asked. */
static void finish(struct held *h)
{
    struct api_request *r = h->r;
    struct object *now =
        h->old ? store_find(r->server->store, r->kind_index, r->ns, r->name) : NULL;
    bool same =
        !h->old ||
        (now && (h->object ? now->version == h->old->version : streq(now->uid, h->old->uid)));
    if (!same) {
        begin_anew(h);
        return;
    }
    AUTO_JSON json_t *object = json_incref(h->object);
    api_webhooks_next_fn *next = h->next;
    int status = h->status;
    (void)let_go(h);
    next(r, object, now, status);
}

/* ---- answers ---- */

static bool may_fail(struct held *h, const char *text)
{
    const struct webhook *hook = &h->set->v[h->at];
    AUTO_CHARS char *whole = xasprintf("failed calling webhook \"%s\": %s", hook->name, text);
    h->server->webhook_stats.failed++;
    if (hook->fails_open)
        return true;
    fail(h, whole);
    return false;
}

/* False: answered. */
static bool take_answer(struct held *h, struct webhook_answer *a)
{
    struct err err = {0};
    json_t *text;
    size_t i;
    json_array_foreach(a->warnings, i, text) api_warn(h->r, json_string_value(text));
    if (!a->allowed) {
        refuse(h, a);
        return false;
    }
    if (!a->patch)
        return true;
    if (!h->object) {
        AUTO_CHARS char *why = xasprintf("admission webhook \"%s\" attempted to modify the object, "
                                         "which is not supported for this operation",
                                         h->set->v[h->at].name);
        fail(h, why);
        return false;
    }
    if (patched(h, a->patch, &err) == 0)
        return true;
    fail(h, err_text(&err));
    return false;
}

static void on_answer(void *user, int code, struct str body, const char *text)
{
    struct held *h = user;
    struct webhook_answer a = {0};
    struct err err = {0};
    AUTO_CHARS char *why = code < 0 ? xstrdup(text) : NULL;
    h->call = NULL;
    if (!find_kind_again(h))
        return;
    if (code == 0 && webhook_answer_read(body, h->uid, h->mutating, &a, &err) < 0)
        why = xstrdup(err_text(&err));
    bool on = why ? may_fail(h, why) : take_answer(h, &a);
    webhook_answer_done(&a);
    if (!on)
        return;
    h->marks[h->at++] |= MARK_ASKED;
    go_on(h);
}

/* ---- one after the other ---- */

/* What this server itself adds to a new object, of what was added to it. Who wants it is asked
 * once more. False: answered. */
static bool next_round(struct held *h)
{
    h->second_round = true;
    h->at = 0;
    if (!is_new(h))
        return true;
    AUTO_JSON json_t *was = json_deep_copy(h->object);
    http_exchange_set_done(h->r->exchange, NULL, NULL);
    if (!api_admit_create(h->r, h->object)) {
        held_free(h); /* the request has gone */
        return false;
    }
    http_exchange_set_done(h->r->exchange, on_client_gone, h);
    for (size_t i = 0; i < h->set->n && !json_equal(was, h->object); i++)
        if ((h->marks[i] & MARK_ASKED) && h->set->v[i].again)
            h->marks[i] |= MARK_DUE;
    return true;
}

/* The next that is to be asked; n: none. */
static size_t find_next(struct held *h)
{
    const struct webhook_subject subject = subject_of(h);
    for (; h->at < h->set->n; h->at++) {
        if (h->second_round && !(h->marks[h->at] & MARK_DUE))
            continue;
        h->as = webhook_matches(&h->set->v[h->at], &subject);
        if (h->as)
            break;
    }
    return h->at;
}

static void go_on(struct held *h)
{
    while (find_next(h) < h->set->n) {
        struct err err = {0};
        AUTO_JSON json_t *review = question(h);
        h->marks[h->at] &= (uint8_t)~MARK_DUE;
        h->server->webhook_stats.calls++;
        h->call = webhook_call_start(h->server, &h->set->v[h->at], review, on_answer, h, &err);
        if (h->call)
            return;
        if (!may_fail(h, err_text(&err)))
            return;
        h->marks[h->at++] |= MARK_ASKED;
    }
    if (h->mutating && h->changed && !h->second_round) {
        if (next_round(h))
            go_on(h);
        return;
    }
    finish(h);
}

static json_t *labels_of_namespace(const struct api_request *r)
{
    int index = api_kind_find(STR(""), STR("v1"), STR("namespaces"));
    struct object *ns = *r->ns ? store_find(r->server->store, (uint32_t)index, "", r->ns) : NULL;
    AUTO_JSON json_t *tree = ns ? object_tree(ns) : NULL;
    return json_incref(json_at(tree, "metadata.labels"));
}

static bool is_any_asked(const struct held *h)
{
    struct webhook_subject subject = subject_of(h);
    for (size_t i = 0; i < h->set->n; i++)
        if (webhook_matches(&h->set->v[i], &subject))
            return true;
    return false;
}

static bool hold(struct api_request *r, bool mutating, json_t *object, struct object *old,
                 int status, api_webhooks_next_fn *next)
{
    struct webhook_set *set = set_of(r->server, mutating);
    struct held probe = {.server = r->server, .r = r, .object = object, .old = old, .set = set};
    if (!set->n)
        return false;
    probe.operation = !object ? "DELETE" : old ? "UPDATE" : "CREATE";
    probe.before = old ? object_tree(old) : NULL;
    probe.namespace_labels = labels_of_namespace(r);
    if (!is_any_asked(&probe)) {
        json_decref(probe.before);
        json_decref(probe.namespace_labels);
        return false;
    }
    if (r->server->webhook_stats.held >= API_HELD_MAX) {
        json_decref(probe.before);
        json_decref(probe.namespace_labels);
        api_too_many(r, "too many writes wait for admission webhooks");
        return true;
    }
    struct held *h = NEW(struct held);
    *h = probe;
    json_incref(object);
    if (old)
        object_ref(old);
    h->status = status;
    h->next = next;
    h->mutating = mutating;
    h->group = xstrdup(r->kind->group);
    h->version = xstrdup(r->kind->version);
    h->plural = xstrdup(r->kind->plural);
    webhook_set_ref(set);
    h->marks = xcalloc(set->n, 1);
    r->server->webhook_stats.held++;
    http_exchange_set_done(r->exchange, on_client_gone, h);
    http_exchange_end_with_client(r->exchange);
    go_on(h);
    return true;
}

bool api_webhooks_mutate(struct api_request *r, json_t *object, struct object *old, int status,
                         api_webhooks_next_fn *next)
{
    return hold(r, true, object, old, status, next);
}

bool api_webhooks_validate(struct api_request *r, json_t *object, struct object *old, int status,
                           api_webhooks_next_fn *next)
{
    return hold(r, false, object, old, status, next);
}
