/* metav1.Status for failures, with the reasons and sentences of a real API server. Owns the strings of one answer. */
#include "kube/status.h"

#include <stdarg.h>

#include "kube/kinds.h"

void api_status_done(struct api_status *s)
{
    free(s->message);
    free(s->name);
    free(s->uid);
    field_errors_done(&s->causes);
    *s = (struct api_status){0};
}

const char *api_reason(int code)
{
    static const struct {
        int code;
        const char *reason;
    } reasons[] = {
        {400, "BadRequest"},      {401, "Unauthorized"},         {403, "Forbidden"},
        {404, "NotFound"},        {405, "MethodNotAllowed"},     {406, "NotAcceptable"},
        {409, "Conflict"},        {410, "Expired"},              {413, "RequestEntityTooLarge"},
        {415, "UnsupportedMediaType"}, {422, "Invalid"},         {429, "TooManyRequests"},
        {500, "InternalError"},   {503, "ServiceUnavailable"},   {504, "Timeout"},
    };
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].code == code)
            return reasons[i].reason;
    return "";
}

int api_status_set(struct api_status *s, int code, const char *reason, const char *fmt, ...)
{
    struct buf text = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    api_status_done(s);
    s->code = code;
    s->reason = reason ? reason : api_reason(code);
    s->message = buf_take_cstr(&text);
    return code;
}

/* pods, deployments.apps */
static char *resource_name(const struct kind *k)
{
    return *k->group ? xasprintf("%s.%s", k->plural, k->group) : xstrdup(k->plural);
}

static int about(struct api_status *s, const struct kind *k, const char *name)
{
    s->kind = k->plural;
    s->group = k->group;
    s->name = xstrdup(name ? name : "");
    return s->code;
}

int api_not_found(struct api_status *s, const struct kind *k, const char *name)
{
    AUTO_CHARS char *resource = resource_name(k);
    api_status_set(s, 404, NULL, "%s \"%s\" not found", resource, name);
    return about(s, k, name);
}

int api_already_exists(struct api_status *s, const struct kind *k, const char *name)
{
    AUTO_CHARS char *resource = resource_name(k);
    api_status_set(s, 409, "AlreadyExists", "%s \"%s\" already exists", resource, name);
    return about(s, k, name);
}

int api_conflict(struct api_status *s, const struct kind *k, const char *name, const char *why)
{
    AUTO_CHARS char *resource = resource_name(k);
    api_status_set(s, 409, NULL, "Operation cannot be fulfilled on %s \"%s\": %s", resource, name, why);
    return about(s, k, name);
}

int api_forbidden(struct api_status *s, const struct kind *k, const char *name, const char *why)
{
    AUTO_CHARS char *resource = resource_name(k);
    api_status_set(s, 403, NULL, "%s \"%s\" is forbidden: %s", resource, name, why);
    return about(s, k, name);
}

int api_invalid(struct api_status *s, const struct kind *k, const char *name, struct field_errors *errors)
{
    AUTO_DONE(buf) struct buf text = {0};
    field_errors_format(errors, &text);
    api_status_set(s, 422, NULL, "%s%s%s \"%s\" is invalid: %s", k->kind, *k->group ? "." : "", k->group,
                   name ? name : "", buf_cstr(&text));
    about(s, k, name);
    s->kind = k->kind;
    s->causes = *errors;
    *errors = (struct field_errors){0};
    return s->code;
}

static json_t *details(const struct api_status *s)
{
    json_t *d = json_object();
    if (!str_empty(s->name))
        json_put_str(d, "name", s->name);
    if (!str_empty(s->group))
        json_put_str(d, "group", s->group);
    if (s->kind)
        json_put_str(d, "kind", s->kind);
    if (!str_empty(s->uid))
        json_put_str(d, "uid", s->uid);
    if (s->causes.n) {
        json_t *causes = json_array();
        for (size_t i = 0; i < s->causes.n; i++) {
            json_t *c = json_object();
            json_put_str(c, "reason", s->causes.v[i].reason);
            json_put_str(c, "message", s->causes.v[i].message);
            json_put_str(c, "field", s->causes.v[i].field);
            json_array_append_new(causes, c);
        }
        json_object_set_new(d, "causes", causes);
    }
    if (s->retry_after_s)
        json_put_int(d, "retryAfterSeconds", s->retry_after_s);
    return d;
}

json_t *api_status_json(const struct api_status *s)
{
    json_t *j = json_object();
    json_put_str(j, "kind", "Status");
    json_put_str(j, "apiVersion", "v1");
    json_object_set_new(j, "metadata", json_object());
    json_put_str(j, "status", "Failure");
    json_put_str(j, "message", s->message ? s->message : "");
    if (!str_empty(s->reason))
        json_put_str(j, "reason", s->reason);
    json_t *d = details(s);
    if (json_object_size(d))
        json_object_set_new(j, "details", d);
    else
        json_decref(d);
    json_put_int(j, "code", s->code);
    return j;
}
