/* The scale subresource of custom kinds: plain paths (".spec.replicas") into the object. Pure. */
#include "lab/apiserver/custom_kind.h"

/* The path without its first dot, as codec/json.h has it; NULL: none is said. */
static const char *path_of(const struct custom_kind *k, const char *which)
{
    const char *path = json_key_str(k->scale, which);
    return path && *path == '.' ? path + 1 : path;
}

int64_t custom_scale_read(const struct custom_kind *k, const json_t *object, int64_t *ret_status,
                          json_t **ret_selector)
{
    const char *spec = path_of(k, "specReplicasPath"), *status = path_of(k, "statusReplicasPath"),
               *selector = path_of(k, "labelSelectorPath");
    *ret_status = status ? json_at_int(object, status, 0) : 0;
    *ret_selector = selector ? json_incref(json_at(object, selector)) : NULL;
    return spec ? json_at_int(object, spec, 0) : 0;
}

void custom_scale_write(const struct custom_kind *k, json_t *object, int64_t replicas)
{
    const char *spec = path_of(k, "specReplicasPath");
    if (!str_empty(spec))
        json_put_int(object, spec, replicas);
}

/* The value at a path of members; NULL: nothing is there. *ret_bad: what stands in the way. */
static const json_t *follow(const json_t *object, const char *path, const json_t **ret_bad)
{
    struct str rest = str_from(path);
    const json_t *v = object;
    *ret_bad = NULL;
    while (v && rest.p) {
        if (!json_is_object(v)) {
            *ret_bad = v;
            return NULL;
        }
        AUTO_CHARS char *name = str_dup(str_cut(rest, '.', &rest));
        v = json_object_get(v, name);
    }
    return v;
}

static void check_path(const struct custom_kind *k, const json_t *object, const char *which,
                       struct field_errors *e)
{
    const char *path = path_of(k, which);
    const json_t *bad, *v = path ? follow(object, path, &bad) : NULL;
    AUTO_JSON json_t *shown = json_integer(json_is_integer(v) ? json_integer_value(v) : 0);
    if (!path || (!v && !bad))
        return;
    if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= INT32_MAX)
        return;
    AUTO_DONE(buf) struct buf text = {0};
    json_write(&text, bad ? bad : v);
    AUTO_CHARS char *detail =
        json_is_integer(v)
            ? xstrdup(json_integer_value(v) < 0 ? "should be a non-negative integer"
                                                : "should be less than or equal to 2147483647")
            : xasprintf(".%s accessor error: %.200s is not of the type int64", path,
                        buf_cstr(&text));
    error_invalid(e, shown, detail, ".%s", path);
}

void custom_scale_check(const struct custom_kind *k, const json_t *object, struct field_errors *e)
{
    check_path(k, object, "specReplicasPath", e);
    check_path(k, object, "statusReplicasPath", e);
}
