/* Who manages what: the entries that every write leaves in managedFields. The fields that an
 * address does not change (status through the object, spec through /status) are nobody's news
 * there. */
#include "lab/apiserver/api_manage.h"
#include "codec/url.h"

/* fieldManager of the query; otherwise what the client calls itself, up to a slash. */
static char *manager_of(struct api_request *r)
{
    char *own = url_param(r->query, "fieldManager");
    if (!str_empty(own))
        return own;
    free(own);
    struct str agent = http_exchange_header(r->exchange, "user-agent"), rest;
    agent = str_cut(agent.p ? agent : STR("unknown"), '/', &rest);
    agent.n = MIN(agent.n, (size_t)APPLY_MANAGER_NAME_MAX);
    while (agent.n && (agent.p[agent.n - 1] & 0xc0) == 0x80)
        agent.n--; /* not in the middle of a character */
    AUTO_JSON json_t *text = json_text(agent);
    return xstrdup(json_string_length(text) ? json_string_value(text) : "unknown");
}

struct apply_actor api_actor(const struct api_request *r, const char *name)
{
    const struct api_kind *k = r->kind->custom ? r->kind : api_kind_at(r->kind_index);
    return (struct apply_actor){name, api_kind_group_version(k),
                                r->subresource ? r->subresource : ""};
}

const struct api_kind *api_shape(const struct api_request *r)
{
    return r->kind->custom ? r->kind : api_kind_at(r->kind_index);
}

const char *api_ignored(const struct api_request *r)
{
    return !r->kind->has_status              ? NULL
           : !r->subresource                 ? "status"
           : streq(r->subresource, "status") ? "spec"
                                             : NULL;
}

/* [{}] or []: a client wants nobody to manage anything. */
static bool is_reset(const json_t *sent)
{
    return json_is_array(sent) &&
           (json_array_size(sent) == 0 ||
            (json_array_size(sent) == 1 && json_object_size(json_array_get(sent, 0)) == 0));
}

/* What an object has; empty if it cannot be read. */
void api_managers(const struct object *o, struct apply_managers *ret)
{
    AUTO_JSON json_t *list = o ? managed_tree(o->managed) : NULL;
    if (apply_managers_parse(list, ret, NULL) < 0)
        *ret = (struct apply_managers){0};
}

void api_keep_managers(struct api_request *r, struct apply_managers *m,
                       const struct apply_managers *was)
{
    json_decref(r->managed);
    r->managed = apply_managers_format(m);
    r->managed_changed = !apply_managers_equal(m, was);
}

void api_manage_update(struct api_request *r, const json_t *before, const struct object *old,
                       json_t *now)
{
    struct apply_managers m = {0}, was = {0};
    AUTO_CHARS char *name = manager_of(r);
    const struct apply_actor who = api_actor(r, name);
    AUTO_JSON json_t *sent = json_incref(json_at(now, "metadata.managedFields"));
    json_del(now, "metadata.managedFields");
    api_managers(old, &was);
    if (before && is_reset(sent)) {
        api_keep_managers(r, &m, &was);
        apply_managers_done(&was);
        return;
    }
    if (!before || !json_array_size(sent) || apply_managers_parse(sent, &m, NULL) < 0)
        api_managers(old, &m);
    const struct apply_type t = apply_type_of_kind(api_shape(r));
    AUTO_JSON json_t *whole = json_deep_copy(now); /* with its defaults, without what is allotted */
    api_kind_default(api_shape(r), whole);
    if (m.n || !before)
        apply_managers_update(&m, &t, &who, before, whole, api_ignored(r));
    api_keep_managers(r, &m, &was);
    apply_managers_done(&m);
    apply_managers_done(&was);
}
