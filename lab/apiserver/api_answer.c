/* Answers: objects, Status errors, warnings. The words are those of kube-apiserver, because kubectl
 * shows them to people. */
#include <stdio.h>

#include "codec/yaml.h"
#include "lab/apiserver/api_priv.h"

void api_request_free(struct api_request *r)
{
    api_user_done(&r->user);
    free(r->ns);
    free(r->name);
    free(r->subresource);
    buf_done(&r->warnings);
    json_decref(r->managed);
    free(r);
}

/* What a client sent comes back in it, so its length is bounded, one and all. */
void api_warn(struct api_request *r, const char *text)
{
    struct str s = str_from(text);
    if (r->warnings.n > API_WARNINGS_BYTES_MAX)
        return;
    if (s.n > API_WARNING_BYTES_MAX) {
        s.n = API_WARNING_BYTES_MAX;
        while (s.n && (s.p[s.n] & 0xc0) == 0x80)
            s.n--; /* not in the middle of a character */
    }
    AUTO_DONE(buf) struct buf line = {0};
    buf_add_cstr(&line, "299 - ");
    json_write_string(&line, s);
    buf_add_char(&line, '\n');
    if (!str_contains(buf_str(&r->warnings), buf_str(&line))) /* once is enough */
        buf_add_str(&r->warnings, buf_str(&line));
}

size_t api_headers(struct api_request *r, struct http_header headers[API_HEADERS_MAX], size_t n)
{
    struct str rest = buf_str(&r->warnings);
    headers[n++] = (struct http_header){STR("Audit-Id"), str_from(r->audit_id)};
    headers[n++] = (struct http_header){STR("Cache-Control"), STR("no-cache, private")};
    headers[n++] = (struct http_header){STR("Date"), str_from(r->date)};
    while (rest.p && rest.n && n < API_HEADERS_MAX) {
        struct str line = str_cut(rest, '\n', &rest);
        if (line.n)
            headers[n++] = (struct http_header){STR("Warning"), line};
    }
    return n;
}

/* Answers and ends the request. */
static void reply(struct api_request *r, int status, struct bytes *body)
{
    struct http_header headers[API_HEADERS_MAX];
    size_t n = 0;
    headers[n++] = (struct http_header){STR("Content-Type"), r->yaml ? STR("application/yaml")
                                                                     : STR("application/json")};
    if (status == 429)
        headers[n++] = (struct http_header){STR("Retry-After"), STR("1")};
    if (status == 401)
        headers[n++] = (struct http_header){STR("WWW-Authenticate"), STR("Bearer")};
    n = api_headers(r, headers, n);
    http_exchange_reply_bytes(r->exchange, status, headers, n, body);
    api_request_free(r);
}

/* The same in the form that was asked for; our own compact JSON in. */
static struct bytes *in_form(const struct api_request *r, struct str json)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *tree = NULL;
    if ((!r->yaml && !r->pretty) || json_parse(json, 0, NULL, &tree, NULL) < 0)
        return bytes_new(json);
    if (r->yaml)
        yaml_write(&b, tree);
    else
        json_write_indented(&b, tree);
    return bytes_new(buf_str(&b));
}

void api_reply_json(struct api_request *r, int status, struct str json)
{
    struct bytes *body = in_form(r, json);
    reply(r, status, body);
    bytes_unref(body);
}

void api_reply_object(struct api_request *r, int status, const json_t *object)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_write(&b, object);
    api_reply_json(r, status, buf_str(&b));
}

void api_reply_stored(struct api_request *r, int status, const struct object *o)
{
    if (r->view == API_VIEW_JSON && !api_kind_is_form(r->kind) && !r->yaml && !r->pretty &&
        !o->managed) {
        reply(r, status, o->json);
        return;
    }
    AUTO_DONE(buf) struct buf b = {0};
    api_view_write(&b, r->view, r->kind, (struct object *)(uintptr_t)o, true);
    api_reply_json(r, status, buf_str(&b));
}

static json_t *status_new(int code, const char *reason, const char *message, const json_t *details)
{
    json_t *s = json_pack("{s:s,s:s,s:{},s:s,s:o}", "kind", "Status", "apiVersion", "v1",
                          "metadata", "status", "Failure", "message", json_text(str_from(message)));
    if (!str_empty(reason))
        json_put_str(s, "reason", reason);
    if (details)
        json_object_set_new(s, "details", json_deep_copy(details));
    json_put_int(s, "code", code);
    return s;
}

void api_status_body(struct buf *b, int code, const char *reason, const char *message)
{
    AUTO_JSON json_t *s = status_new(code, reason, message, NULL);
    json_write(b, s);
}

void api_status(struct api_request *r, int code, const char *reason, const json_t *details,
                const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf message = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&message, fmt, ap);
    va_end(ap);
    AUTO_JSON json_t *s = status_new(code, reason, buf_cstr(&message), details);
    api_reply_object(r, code, s);
}

json_t *api_details(const struct api_request *r, const char *name)
{
    json_t *d = json_object();
    if (name)
        json_put_str(d, "name", name);
    if (r->kind && *r->kind->group)
        json_put_str(d, "group", r->kind->group);
    if (r->kind)
        json_put_str(d, "kind", r->kind->plural);
    return d;
}

void api_not_found(struct api_request *r, const char *name)
{
    AUTO_JSON json_t *details = api_details(r, name);
    AUTO_CHARS char *copy = xstrdup(name); /* it may belong to r */
    api_status(r, 404, "NotFound", details, "%s \"%s\" not found", api_kind_resource(r->kind),
               copy);
}

void api_conflict(struct api_request *r)
{
    AUTO_CHARS char *name = xstrdup(r->name);
    AUTO_JSON json_t *details = api_details(r, name);
    api_status(r, 409, "Conflict", details,
               "Operation cannot be fulfilled on %s \"%s\": the object has been modified; please "
               "apply your changes to the latest version and try again",
               api_kind_resource(r->kind), name);
}

void api_too_many(struct api_request *r, const char *why)
{
    AUTO_JSON json_t *details = json_pack("{s:i}", "retryAfterSeconds", 1);
    api_status(r, 429, "TooManyRequests", details, "%s, please try again later", why);
}

void api_invalid_as(struct api_request *r, const char *group, const char *kind, const char *name,
                    const struct api_causes *causes)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *details = json_object();
    AUTO_CHARS char *copy = xstrdup(name ? name : "");
    json_t *list = json_array();
    if (name)
        json_put_str(details, "name", copy);
    if (*group)
        json_put_str(details, "group", group);
    json_put_str(details, "kind", kind);
    for (size_t i = 0; i < causes->n; i++) {
        const struct api_cause *c = &causes->v[i];
        buf_addf(&text, "%s%s: %s", i ? ", " : "", c->field, c->message);
        json_array_append_new(list, json_pack("{s:s,s:o,s:o}", "reason", c->reason, "message",
                                              json_text(str_from(c->message)), "field",
                                              json_text(str_from(c->field))));
    }
    json_object_set_new(details, "causes", list);
    bool many = causes->n > 1;
    api_status(r, 422, "Invalid", details, "%s%s%s \"%s\" is invalid: %s%s%s", kind,
               *group ? "." : "", group, copy, many ? "[" : "", buf_cstr(&text), many ? "]" : "");
}

void api_invalid(struct api_request *r, const char *name, const struct api_causes *causes)
{
    api_invalid_as(r, r->kind->group, r->kind->kind, name, causes);
}
