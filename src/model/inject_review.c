#include "model/inject_review.h"

#include <errno.h>

#include "codec/base64.h"
#include "model/proxy_settings.h"
#include "model/workload.h"

static void add_operation(json_t *patch, const json_t *before, const json_t *after,
                          const char *member)
{
    const json_t *was = json_object_get(before, member), *is = json_object_get(after, member);
    AUTO_CHARS char *path = xasprintf("/%s", member);
    if (is && !json_equal(was, is))
        json_array_append_new(patch, json_pack("{s:s,s:s,s:O}", "op", was ? "replace" : "add",
                                               "path", path, "value", is));
}

static json_t *answer(const char *uid)
{
    return json_pack("{s:s,s:s,s:{s:s,s:b}}", "apiVersion", "admission.k8s.io/v1", "kind",
                     "AdmissionReview", "response", "uid", uid, "allowed", 1);
}

static void refuse(json_t *response, const char *why)
{
    json_object_set_new(response, "allowed", json_false());
    json_object_set_new(
        response, "status",
        json_pack("{s:i,s:s,s:s}", "code", 400, "reason", "BadRequest", "message", why));
}

static void put_patch(json_t *response, const json_t *before, const json_t *after)
{
    AUTO_JSON json_t *patch = json_array();
    AUTO_DONE(buf) struct buf text = {0}, encoded = {0};
    add_operation(patch, before, after, "metadata");
    add_operation(patch, before, after, "spec");
    json_write(&text, patch);
    base64_encode(buf_str(&text), &encoded);
    json_object_set_new(response, "patchType", json_string("JSONPatch"));
    json_object_set_new(response, "patch", json_string(buf_cstr(&encoded)));
}

int inject_review(const json_t *review, const struct inject_options *o,
                  const struct proxy_settings_table *settings, json_t **ret, bool *ret_yes,
                  struct err *reterr)
{
    struct inject_options own = *o;
    struct inject_settings found;
    const json_t *request = json_object_get(review, "request"),
                 *pod = json_object_get(request, "object");
    const char *uid = json_key_str(request, "uid"), *ns = json_key_str(request, "namespace");
    *ret_yes = false;
    if (!streq(json_key_str(review, "kind"), "AdmissionReview") ||
        !streq(json_key_str(review, "apiVersion"), "admission.k8s.io/v1"))
        return err_set(reterr, -EINVAL, "kind", "is no AdmissionReview of admission.k8s.io/v1");
    if (str_empty(uid))
        return err_set(reterr, -EINVAL, "request.uid", "is missing");
    *ret = answer(uid);
    if (!streq(json_at_str(request, "kind.kind"), "Pod") || !json_is_object(pod) ||
        !inject_decide(pod, ns, NULL, o).yes)
        return 0;
    AUTO_JSON json_t *with = json_deep_copy(pod);
    AUTO_CHARS char *workload = workload_owner_of(pod);
    struct err err = {0};
    json_t *response = json_object_get(*ret, "response");
    if (settings) {
        proxy_settings_find(settings, str_from(ns ? ns : ""), json_at(pod, "metadata.labels"),
                            &found);
        own.settings = &found;
    }
    if (inject_pod(with, workload, &own, &err) < 0) {
        refuse(response, err_text(&err));
        return 0;
    }
    put_patch(response, pod, with);
    *ret_yes = true;
    return 0;
}
