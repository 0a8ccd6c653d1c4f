/* Doing what the plan says: in order, webhooks only once control is ready, then what goes. */
#include <stdio.h>

#include "cli/install.h"

int install_make_namespace(struct install *in)
{
    struct kube_reply reply;
    if (in->namespace_exists)
        return -1;
    AUTO_JSON json_t *ns = json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Namespace",
                                     "metadata", "name", CHART_NAMESPACE);
    if (json_at_bool(in->values, "agent.enabled", false)) {
        json_put(ns, "metadata.labels", json_object());
        json_object_set_new(json_at(ns, "metadata.labels"), "pod-security.kubernetes.io/enforce",
                            json_string("privileged"));
    }
    int code = install_call(in, "POST", "/api/v1/namespaces", NULL, ns, &reply);
    if (code)
        return code;
    code =
        reply.status < 300 || reply.status == 409 ? -1 : install_refused(CHART_NAMESPACE, &reply);
    kube_reply_done(&reply);
    in->namespace_exists = code < 0;
    return code;
}

/* Fields that Helm has set become ours, so that what is no longer said goes. Helm's word is
 * replaced by ours; both are one if we have one already. */
static json_t *adopted(const json_t *managed)
{
    json_t *all = json_array(), *m, *ours = NULL;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)managed, i, m)
    {
        const char *manager = json_key_str(m, "manager");
        bool top = str_empty(json_key_str(m, "subresource"));
        bool is_helm = top && manager && str_starts(str_from(manager), STR("helm"));
        bool is_ours =
            top && streq(manager, INSTALL_MANAGER) && streq(json_key_str(m, "operation"), "Apply");
        if ((is_helm || is_ours) && ours) {
            json_object_update_recursive(json_object_get(ours, "fieldsV1"),
                                         json_object_get(m, "fieldsV1"));
            continue;
        }
        json_t *copy = json_deep_copy(m);
        json_array_append_new(all, copy);
        if (!is_helm && !is_ours)
            continue;
        json_put_str(copy, "manager", INSTALL_MANAGER);
        json_put_str(copy, "operation", "Apply");
        ours = copy;
    }
    return all;
}

static int adopt(struct install *in, const struct install_change *c)
{
    AUTO_JSON json_t *live = install_get(in, c->path);
    struct kube_reply reply;
    if (!live)
        return -1;
    AUTO_JSON json_t *patch = json_pack(
        "[{s:s,s:s,s:o},{s:s,s:s,s:s}]", "op", "replace", "path", "/metadata/managedFields",
        "value", adopted(json_at(live, "metadata.managedFields")), "op", "replace", "path",
        "/metadata/resourceVersion", "value", json_at_str(live, "metadata.resourceVersion"));
    int code = install_call(in, "PATCH", c->path, "application/json-patch+json", patch, &reply);
    if (code)
        return code;
    code = reply.status < 300 ? -1 : install_refused(c->what, &reply);
    kube_reply_done(&reply);
    return code;
}

static int apply_change(struct install *in, const struct install_change *c)
{
    struct kube_reply reply;
    int code = c->adopts ? adopt(in, c) : -1;
    if (code >= 0)
        return code;
    code = install_apply_object(in, c->path, c->object, false, &reply);
    if (code)
        return code;
    code = reply.status < 300 ? -1 : install_refused(c->what, &reply);
    kube_reply_done(&reply);
    return code;
}

static int drop_change(struct install *in, const struct install_change *c)
{
    struct kube_reply reply;
    int code = install_call(in, "DELETE", c->path, NULL, NULL, &reply);
    if (code)
        return code;
    code = reply.status < 300 || reply.status == 404 ? -1 : install_refused(c->what, &reply);
    kube_reply_done(&reply);
    return code;
}

int install_apply_plan(struct install *in)
{
    static const enum chart_step control = CHART_CONTROL;
    bool waited = !in->wait;
    int code = -1;
    for (size_t i = 0; i < in->plan.n && code < 0; i++) {
        const struct install_change *c = &in->plan.v[i];
        if (c->verb == INSTALL_GOES || c->verb == INSTALL_STAYS)
            continue;
        /* From here on pods are refused while control cannot be asked. */
        if (chart_step_of(c->object) == CHART_WEBHOOKS && !waited) {
            waited = true;
            code = install_wait(in, in->output.objects, &control);
        }
        if (code < 0)
            code = apply_change(in, c);
    }
    for (size_t i = in->plan.n; i-- > 0 && code < 0;)
        if (in->plan.v[i].verb == INSTALL_GOES)
            code = drop_change(in, &in->plan.v[i]);
    return code;
}
