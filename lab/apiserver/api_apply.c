/* Server-side apply: PATCH with application/apply-patch+yaml. What is applied is merged into the
 * object as it is, then goes the way of every change (api_write.c). */
#include <errno.h>

#include "codec/url.h"
#include "codec/yaml.h"
#include "lab/apiserver/api_manage.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

/* ---- apply: what was sent ---- */

/* False: answered. */
static bool invalid_option(struct api_request *r, const char *field, const char *reason,
                           const char *message)
{
    return api_invalid_option(r, "PatchOptions", field, reason, message);
}

static bool check_options(struct api_request *r, const char *manager)
{
    if (str_empty(manager))
        return invalid_option(r, "fieldManager", "FieldValueRequired",
                              "Required value: is required for apply patch");
    if (strlen(manager) > APPLY_MANAGER_NAME_MAX)
        return invalid_option(r, "fieldManager", "FieldValueTooLong",
                              "Too long: may not be more than 128 bytes");
    return true;
}

static bool bad(struct api_request *r, const char *what)
{
    api_status(r, 400, "BadRequest", NULL, "%s", what);
    return false;
}

/* False: answered. */
static bool check_config(struct api_request *r, const json_t *config)
{
    const char *kind = json_key_str(config, "kind"), *version = json_key_str(config, "apiVersion");
    const char *want = api_kind_group_version(r->kind);
    bool core = version && *version && !strchr(version, '/');
    AUTO_DONE(buf) struct buf b = {0};
    if (json_at(config, "metadata.managedFields"))
        return bad(r, "metadata.managedFields must be nil");
    if (!streq(kind, r->kind->kind) || str_empty(version)) {
        buf_addf(&b, "invalid object type: %s%s, Kind=%s", core ? "/" : "",
                 str_empty(version) ? "/" : version, kind ? kind : "");
        return bad(r, buf_cstr(&b));
    }
    if (!streq(version, want)) {
        buf_addf(&b,
                 "Incorrect version specified in apply patch. Specified patch version: %s, "
                 "expected: %s",
                 version, want);
        return bad(r, buf_cstr(&b));
    }
    if (json_at_str(config, "metadata.name"))
        return true;
    buf_addf(&b,
             "the name of the object (%s based on URL) was undeterminable: name must be provided",
             r->name);
    return bad(r, buf_cstr(&b));
}

static void not_typed(struct api_request *r, const json_t *config, const char *what)
{
    const char *ns = json_at_str(config, "metadata.namespace"),
               *version = json_key_str(config, "apiVersion");
    api_status(r, 500, "", NULL, "failed to create typed patch object (%s/%s; %s%s, Kind=%s): %s",
               ns ? ns : "", r->name, version && strchr(version, '/') ? "" : "/",
               version ? version : "", r->kind->kind, what);
}

/* Unlike in other bodies, what nobody knows is an error. False: answered. */
static bool decode_config(struct api_request *r, json_t *config)
{
    AUTO_DONE(buf) struct buf unknown = {0};
    AUTO_DONE(buf) struct buf what = {0};
    struct err err = {0};
    struct str path, rest;
    AUTO_JSON json_t *copy = json_deep_copy(config); /* an empty map that is applied is meant */
    int code = api_kind_decode(r->kind, copy, &unknown, &err);
    if (code == 0 && !unknown.n) {
        api_kind_to_stored(r->kind, config);
        return true;
    }
    (void)str_cut(buf_str(&unknown), '"', &path); /* unknown field "spec.x" */
    if (code < 0)
        buf_add_cstr(&what, err_text(&err));
    else
        buf_addf(&what, "." STR_FMT ": field not declared in schema",
                 STR_ARG(str_cut(path, '"', &rest)));
    not_typed(r, config, buf_cstr(&what));
    return false;
}

/* The configuration; NULL: answered. */
static json_t *read_config(struct api_request *r)
{
    AUTO_JSON json_t *config = NULL;
    struct err err = {0};
    if (yaml_parse(http_exchange_body(r->exchange), &config, &err) < 0) {
        api_status(r, 400, "BadRequest", NULL,
                   "error decoding patch: error converting YAML to JSON: %s", err_text(&err));
        return NULL;
    }
    if (!json_is_object(config)) {
        (void)bad(r, "an applied configuration is an object");
        return NULL;
    }
    if (!json_values_within(config, API_VALUES_MAX)) {
        (void)bad(r, "an applied configuration has at most 200000 values");
        return NULL;
    }
    if (!check_config(r, config) || !decode_config(r, config))
        return NULL;
    return TAKE(config);
}

/* ---- conflicts ---- */

struct telling {
    const struct apply_manager *with;
    json_t *causes;
    struct buf *text;
    size_t n;
};

static void add_who(struct buf *b, const struct apply_manager *m)
{
    json_write_string(b, str_from(m->name));
    if (*m->subresource)
        buf_addf(b, " with subresource \"%s\"", m->subresource);
    if (!m->applies)
        buf_addf(b, " using %s", m->api_version);
}

static void tell_one(void *user, const char *path)
{
    struct telling *t = user;
    AUTO_DONE(buf) struct buf message = {0};
    buf_add_cstr(&message, "conflict with ");
    add_who(&message, t->with);
    json_array_append_new(t->causes, json_pack("{s:s,s:o,s:o}", "reason", "FieldManagerConflict",
                                               "message", json_text(buf_str(&message)), "field",
                                               json_text(str_from(path))));
    buf_addf(t->text, "\n- %s", path);
    t->n++;
}

static void reply_conflicts(struct api_request *r, const struct apply_conflicts *c)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *details = json_object();
    struct telling t = {.causes = json_array(), .text = &text};
    for (size_t i = 0; i < c->n; i++) {
        t.with = c->v[i].with;
        buf_addf(&text, "%sconflicts with ", i ? "\n" : "");
        add_who(&text, t.with);
        buf_add_char(&text, ':');
        fields_each(c->v[i].set, tell_one, &t);
    }
    json_object_set_new(details, "causes", t.causes);
    const json_t *first = json_array_get(t.causes, 0);
    if (t.n == 1)
        api_status(r, 409, "Conflict", details, "Apply failed with 1 conflict: %s: %s",
                   json_key_str(first, "message"), json_key_str(first, "field"));
    else
        api_status(r, 409, "Conflict", details, "Apply failed with %zu conflicts: %s", t.n,
                   buf_cstr(&text));
}

/* kubectl used to apply by itself and left what it applied in an annotation: what is as it says is
 * its own, whoever is written down as the manager. */
static bool are_own(const struct apply_conflicts *c, const struct apply_type *t, const json_t *live,
                    const char *manager)
{
    const char *text = json_key_str(json_at(live, "metadata.annotations"), LAST_APPLIED);
    AUTO_JSON json_t *last = NULL;
    AUTO_FIELDS struct fields *own = fields_new();
    AUTO_FIELDS struct fields *differs = fields_new();
    if (!streq(manager, "kubectl") || !text ||
        json_parse(str_from(text), API_BODY_BYTES_MAX, NULL, &last, NULL) < 0 ||
        !json_is_object(last) || apply_fields(t, last, own, NULL) < 0)
        return false;
    const struct apply_changes changes = {NULL, differs, differs};
    apply_compare(t, last, live, &changes);
    fields_subtract(own, differs);
    for (size_t i = 0; i < c->n; i++) {
        AUTO_FIELDS struct fields *left = fields_copy(c->v[i].set);
        fields_subtract(left, own);
        if (!fields_is_empty(left))
            return false;
    }
    return true;
}

/* ---- apply ---- */

/* What nobody has been written down for is an update's from before. */
static void take_over(struct apply_managers *m, const struct apply_type *t,
                      const struct apply_actor *who, const json_t *live)
{
    const struct apply_actor before = {"before-first-apply", who->api_version, ""};
    if (!m->n && json_object_size(live))
        apply_managers_update(m, t, &before, NULL, live, NULL);
}

/* What has become of the object goes into its kept form. False: answered. */
static bool settle(struct api_request *r, const json_t *config, json_t *live)
{
    AUTO_DONE(buf) struct buf unknown = {0};
    struct err err = {0};
    if (api_kind_decode(api_shape(r), live, &unknown, &err) == 0)
        return true;
    not_typed(r, config, err_text(&err));
    return false;
}

/* False: answered. */
static bool apply(struct api_request *r, const struct object *old, json_t *live,
                  const json_t *config, const char *manager)
{
    struct apply_managers m = {0}, was = {0};
    struct apply_conflicts conflicts = {0};
    const struct apply_actor who = api_actor(r, manager);
    const struct apply_type t = apply_type_of_kind(api_shape(r));
    bool force = url_param_bool(r->query, "force"), done = false;
    AUTO_JSON json_t *before = json_deep_copy(live);
    struct err err = {0};
    api_managers(old, &m);
    api_managers(old, &was);
    take_over(&m, &t, &who, live);
    int code =
        apply_managers_apply(&m, &t, &who, live, config, api_ignored(r), force, &conflicts, &err);
    if (code == 0 && conflicts.n && !force && are_own(&conflicts, &t, before, manager)) {
        apply_conflicts_done(&conflicts);
        apply_managers_done(&m);
        m = (struct apply_managers){0};
        api_managers(old, &m);
        take_over(&m, &t, &who, before);
        json_object_clear(live);
        json_object_update(live, before);
        force = true;
        code = apply_managers_apply(&m, &t, &who, live, config, api_ignored(r), force, &conflicts,
                                    &err);
    }
    if (code < 0)
        not_typed(r, config, err_text(&err));
    else if (conflicts.n && !force)
        reply_conflicts(r, &conflicts);
    else if (settle(r, config, live)) {
        api_keep_managers(r, &m, &was);
        done = true;
    }
    apply_conflicts_done(&conflicts);
    apply_managers_done(&m);
    apply_managers_done(&was);
    return done;
}

/* The object is not there: it is made, but not by a part of it. */
static void apply_new(struct api_request *r, json_t *config, const char *manager)
{
    AUTO_JSON json_t *live = json_object();
    AUTO_CHARS char *name = xstrdup(r->name);
    const char *sent = json_at_str(config, "metadata.name");
    if (r->subresource) {
        api_not_found(r, r->name);
        return;
    }
    if (json_at_str(config, "metadata.uid")) {
        api_conflict(r); /* it means one that has been */
        return;
    }
    json_del(config, "metadata.resourceVersion");
    if (!streq(sent, name)) {
        AUTO_CHARS char *own = xstrdup(sent);
        api_status(r, 400, "BadRequest", NULL,
                   "the name of the object (%s) does not match the name on the URL (%s)", own,
                   name);
        return;
    }
    if (apply(r, NULL, live, config, manager))
        api_create_object(r, live);
}

void api_apply(struct api_request *r)
{
    AUTO_CHARS char *manager = url_param(r->query, "fieldManager");
    if (!check_options(r, manager))
        return;
    AUTO_JSON json_t *config = read_config(r);
    if (!config)
        return;
    struct object *old = store_find(r->server->store, r->kind_index, r->ns, r->name);
    if (!old) {
        apply_new(r, config, manager);
        return;
    }
    AUTO_JSON json_t *live = object_tree(old);
    if (r->kind->custom)
        api_kind_from_stored(r->kind, live);
    if (!json_at(config, "metadata.resourceVersion"))
        json_del(live, "metadata.resourceVersion");
    if (apply(r, old, live, config, manager))
        api_commit_change(r, live, old);
}
