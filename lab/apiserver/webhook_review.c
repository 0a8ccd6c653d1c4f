/* Texts of answers end up in what clients are told, so they are cut where they come in. */
#include "lab/apiserver/webhook_review.h"

#include <errno.h>

#include "codec/base64.h"

/* ---- the question ---- */

static json_t *kind_name(const struct api_kind *k)
{
    return json_pack("{s:s,s:s,s:s}", "group", k->group, "version", k->version, "kind", k->kind);
}

static json_t *resource_name(const struct api_kind *k)
{
    return json_pack("{s:s,s:s,s:s}", "group", k->group, "version", k->version, "resource",
                     k->plural);
}

static json_t *user_info(const struct webhook_question *q)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < q->n_groups; i++)
        json_array_append_new(groups, json_text(str_from(q->groups[i])));
    return json_pack("{s:o,s:o}", "username", json_text(str_from(q->user)), "groups", groups);
}

static json_t *or_null(json_t *object)
{
    return object ? json_incref(object) : json_null();
}

json_t *webhook_review(const struct webhook_question *q)
{
    const struct webhook_subject *s = q->subject;
    json_t *request = json_pack("{s:s,s:o,s:o}", "uid", q->uid, "kind", kind_name(q->as),
                                "resource", resource_name(q->as));
    if (s->subresource)
        json_put_str(request, "subResource", s->subresource);
    json_object_set_new(request, "requestKind", kind_name(s->kind));
    json_object_set_new(request, "requestResource", resource_name(s->kind));
    if (s->subresource)
        json_put_str(request, "requestSubResource", s->subresource);
    if (!str_empty(q->name))
        json_put_str(request, "name", q->name);
    if (*s->ns)
        json_put_str(request, "namespace", s->ns);
    else if (api_kind_is(s->kind, "Namespace") && !str_empty(q->name))
        json_put_str(request, "namespace", q->name);
    json_put_str(request, "operation", s->operation);
    json_object_set_new(request, "userInfo", user_info(q));
    json_object_set_new(request, "object", or_null(q->object));
    json_object_set_new(request, "oldObject", or_null(q->old));
    json_object_set_new(request, "dryRun", json_boolean(q->dry_run));
    json_object_set_new(request, "options", or_null((json_t *)(uintptr_t)q->options));
    return json_pack("{s:s,s:s,s:o}", "kind", "AdmissionReview", "apiVersion",
                     "admission.k8s.io/v1", "request", request);
}

/* ---- the answer ---- */

void webhook_answer_done(struct webhook_answer *a)
{
    json_decref(a->status);
    json_decref(a->patch);
    json_decref(a->warnings);
    *a = (struct webhook_answer){0};
}

#define INVALID "received invalid webhook response: "

static int check_kind(const json_t *review, struct err *reterr)
{
    const char *kind = json_key_str(review, "kind"), *version = json_key_str(review, "apiVersion");
    if (streq(kind, "AdmissionReview") && streq(version, "admission.k8s.io/v1"))
        return 0;
    if (streq(kind, "AdmissionReview") && streq(version, "admission.k8s.io/v1beta1"))
        return err_set(reterr, -EINVAL, NULL,
                       "failed to call webhook: converting (v1beta1.AdmissionReview) to "
                       "(v1.AdmissionReview): unknown conversion");
    if (!str_empty(kind) && !str_empty(version))
        return err_set(reterr, -EINVAL, NULL,
                       "failed to call webhook: no kind \"%.64s\" is registered for version "
                       "\"%.64s\"",
                       kind, version);
    return err_set(reterr, -EINVAL, NULL,
                   INVALID "expected webhook response of admission.k8s.io/v1, "
                           "Kind=AdmissionReview, got %.64s/, Kind=%.64s",
                   version ? version : "", kind ? kind : "");
}

static int check_head(const json_t *review, const char *uid, struct err *reterr)
{
    const json_t *response = json_object_get(review, "response");
    if (!json_is_object(review))
        return err_set(reterr, -EINVAL, NULL,
                       "failed to call webhook: couldn't get version/kind; json parse error: it is "
                       "no object");
    if (json_object_get(review, "kind") && check_kind(review, reterr) < 0)
        return -EINVAL;
    if (!json_is_object(response))
        return err_set(reterr, -EINVAL, NULL, INVALID "webhook response was absent");
    const char *said = json_key_str(response, "uid");
    if (!streq(said, uid))
        return err_set(reterr, -EINVAL, NULL,
                       INVALID "expected response.uid=\"%.64s\", got \"%.64s\"", uid,
                       said ? said : "");
    return check_kind(review, reterr);
}

static int check_patch(const json_t *response, bool mutating, struct err *reterr)
{
    const char *patch = json_key_str(response, "patch"),
               *type = json_key_str(response, "patchType");
    const char *wrong =
        !mutating && !str_empty(patch) ? "validating webhook may not return response.patch"
        : !mutating && type            ? "validating webhook may not return response.patchType"
        : !str_empty(patch) && !type ? "webhook returned response.patch but not response.patchType"
        : str_empty(patch) && type   ? "webhook returned response.patchType but not response.patch"
        : type && !*type             ? "webhook returned invalid response.patchType of \"\""
                                     : NULL;
    return wrong ? err_set(reterr, -EINVAL, NULL, INVALID "%s", wrong) : 0;
}

/* Its form; what it does to the object comes later. */
static int read_patch(const json_t *response, struct webhook_answer *a, struct err *reterr)
{
    const char *patch = json_key_str(response, "patch"),
               *type = json_key_str(response, "patchType");
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *list = NULL;
    struct err err = {0};
    if (str_empty(patch))
        return 0;
    if (base64_decode(str_from(patch), &text) < 0)
        return err_set(reterr, -EINVAL, NULL,
                       "failed to call webhook: response.patch is not base64");
    if (json_parse(buf_str(&text), WEBHOOK_ANSWER_BYTES_MAX, NULL, &list, &err) < 0 ||
        !json_is_array(list))
        return err_set(reterr, -EINVAL, NULL, "received undecodable patch in webhook response: %s",
                       err.code ? err_text(&err) : "it is no list of operations");
    if (!json_array_size(list))
        return 0;
    if (!streq(type, "JSONPatch"))
        return err_set(reterr, -EINVAL, NULL, "unsupported patch type \"%.64s\"", type);
    a->patch = TAKE(list);
    return 0;
}

static json_t *texts(const json_t *list)
{
    json_t *ret = NULL, *v;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        if (!json_is_string(v) || i >= WEBHOOK_WARNINGS_MAX)
            continue;
        ret = ret ? ret : json_array();
        json_array_append(ret, v);
    }
    return ret;
}

int webhook_answer_read(struct str body, const char *uid, bool mutating, struct webhook_answer *ret,
                        struct err *reterr)
{
    AUTO_JSON json_t *review = NULL;
    struct webhook_answer a = {0};
    struct err err = {0};
    if (!body.n)
        return err_set(reterr, -EINVAL, NULL,
                       "failed to call webhook: 0-length response with status code: 200");
    if (json_parse(body, WEBHOOK_ANSWER_BYTES_MAX, NULL, &review, &err) < 0)
        return err_set(reterr, -EINVAL, NULL,
                       "failed to call webhook: couldn't get version/kind; json parse error: %s",
                       err_text(&err));
    const json_t *response = json_object_get(review, "response"), *allowed;
    int r = check_head(review, uid, reterr);
    allowed = json_object_get(response, "allowed");
    if (r == 0 && allowed && !json_is_boolean(allowed))
        r = err_set(reterr, -EINVAL, NULL,
                    "failed to call webhook: response.allowed is not true or false");
    if (r == 0)
        r = check_patch(response, mutating, reterr);
    if (r == 0)
        r = read_patch(response, &a, reterr);
    if (r < 0)
        return -EINVAL;
    a.allowed = json_is_true(allowed);
    a.status = json_is_object(json_object_get(response, "status"))
                   ? json_incref(json_object_get(response, "status"))
                   : NULL;
    a.warnings = texts(json_object_get(response, "warnings"));
    *ret = a;
    return 0;
}
