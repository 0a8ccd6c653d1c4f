/* JSON patch and merge patch. Pure functions on trees; values of the patch are copied before they
 * enter the object, so that patch and object never share a part that a later step changes. */
#include "kube/patch.h"

#include <errno.h>

#include "base/assert.h"

void patch_apply_merge(json_t *object, const json_t *patch)
{
    const char *key;
    json_t *v;
    ASSERT(json_is_object(object));
    json_object_foreach((json_t *)(uintptr_t)patch, key, v)
    {
        if (json_is_null(v)) {
            json_object_del(object, key);
            continue;
        }
        if (!json_is_object(v)) {
            json_object_set_new(object, key, json_deep_copy(v));
            continue;
        }
        json_t *at = json_object_get(object, key);
        if (!json_is_object(at)) {
            at = json_object();
            json_object_set_new(object, key, at);
        }
        patch_apply_merge(at, v);
    }
}

/* One reference token, with ~1 and ~0 decoded (RFC 6901). */
static char *take_token(struct str *rest)
{
    struct str raw = str_cut(*rest, '/', rest);
    char *out = str_dup(raw);
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] == '~' && i + 1 < raw.n && (raw.p[i + 1] == '0' || raw.p[i + 1] == '1'))
            out[n++] = raw.p[++i] == '0' ? '~' : '/';
        else
            out[n++] = raw.p[i];
    }
    out[n] = '\0';
    return out;
}

static bool array_index(const json_t *array, const char *token, bool may_append, size_t *ret)
{
    uint64_t at;
    size_t n = json_array_size(array);
    if (may_append && streq(token, "-")) {
        *ret = n;
        return true;
    }
    if (str_to_u64(str_from(token), &at) < 0 || at > n || (at == n && !may_append))
        return false;
    *ret = (size_t)at;
    return true;
}

static json_t *child(json_t *parent, const char *token)
{
    size_t i;
    if (json_is_object(parent))
        return json_object_get(parent, token);
    if (json_is_array(parent) && array_index(parent, token, false, &i))
        return json_array_get(parent, i);
    return NULL;
}

/* The container of the place that path names, and its last token. */
static int find_parent(json_t *root, const char *path, json_t **ret_parent, char **ret_token,
                       struct err *reterr)
{
    struct str rest = str_from(path);
    if (path[0] != '/')
        return err_set(reterr, -EINVAL, NULL, "json patch path \"%.120s\" must begin with a slash",
                       path);
    rest = str_sub(rest, 1, rest.n);
    json_t *at = root;
    for (unsigned depth = 0;; depth++) {
        if (depth == JSON_DEPTH_MAX) /* nothing shall grow deeper than what can be read again */
            return err_set(reterr, -EINVAL, NULL, "json patch path \"%.40s…\" is too deep", path);
        char *token = take_token(&rest);
        if (!rest.p) {
            *ret_parent = at;
            *ret_token = token;
            return 0;
        }
        json_t *next = child(at, token);
        free(token);
        if (!json_is_object(next) && !json_is_array(next))
            return err_set(reterr, -ENOENT, NULL, "doc is missing path: \"%.120s\": missing value",
                           path);
        at = next;
    }
}

static int missing(const char *path, const char *op, struct err *reterr)
{
    return err_set(reterr, -ENOENT, NULL,
                   "%s operation does not apply: doc is missing key: %.120s: missing value", op,
                   path);
}

/* Takes value. */
static int do_add(json_t **root, const char *path, json_t *value, bool replace, struct err *reterr)
{
    json_t *parent;
    AUTO_CHARS char *token = NULL;
    AUTO_JSON json_t *v = value;
    size_t i;
    if (!*path) {
        json_decref(*root);
        *root = TAKE(v);
        return 0;
    }
    int code = find_parent(*root, path, &parent, &token, reterr);
    if (code < 0)
        return code;
    if (json_is_object(parent)) {
        if (replace && !json_object_get(parent, token))
            return missing(path, "replace", reterr);
        json_object_set(parent, token, v);
        return 0;
    }
    if (!json_is_array(parent) || !array_index(parent, token, !replace, &i))
        return missing(path, replace ? "replace" : "add", reterr);
    if (replace)
        json_array_set(parent, i, v);
    else
        json_array_insert(parent, i, v);
    return 0;
}

static int do_remove(json_t **root, const char *path, json_t **ret_removed, struct err *reterr)
{
    json_t *parent;
    AUTO_CHARS char *token = NULL;
    size_t i;
    if (!*path)
        return err_set(reterr, -EINVAL, NULL, "the whole document cannot be removed");
    int code = find_parent(*root, path, &parent, &token, reterr);
    if (code < 0)
        return code;
    json_t *v = child(parent, token);
    if (!v)
        return missing(path, "remove", reterr);
    if (ret_removed)
        *ret_removed = json_incref(v);
    if (json_is_object(parent))
        json_object_del(parent, token);
    else if (array_index(parent, token, false, &i))
        json_array_remove(parent, i);
    return 0;
}

static json_t *find(json_t *root, const char *path)
{
    json_t *parent;
    AUTO_CHARS char *token = NULL;
    if (!*path)
        return root;
    if (find_parent(root, path, &parent, &token, NULL) < 0)
        return NULL;
    return child(parent, token);
}

static int do_test(json_t *root, const char *path, const json_t *want, struct err *reterr)
{
    const json_t *have = find(root, path);
    bool same = have ? json_equal(have, want) : json_is_null(want);
    if (!same)
        return err_set(reterr, -ENOENT, NULL, "testing value %.120s failed: test failed", path);
    return 0;
}

/* Takes what a copy of v costs from *left; false: there is not enough. */
static bool take_cost(const json_t *v, size_t *left)
{
    const char *key;
    json_t *member;
    size_t i, cost = 16 + (json_is_string(v) ? json_string_length(v) : 0);
    if (cost > *left)
        return false;
    *left -= cost;
    if (json_is_array(v))
        json_array_foreach((json_t *)(uintptr_t)v, i,
                           member) if (!take_cost(member, left)) return false;
    if (json_is_object(v))
        json_object_foreach((json_t *)(uintptr_t)v, key,
                            member) if (!take_cost(member, left)) return false;
    return true;
}

/* Copies double what is there each time, so all of a patch together have a limit. */
static int do_copy(json_t **root, const char *from, const char *path, size_t *left,
                   struct err *reterr)
{
    const json_t *source = find(*root, from);
    if (!source)
        return missing(from, "copy", reterr);
    if (!take_cost(source, left))
        return err_set(reterr, -EINVAL, NULL, "the patch copies more than %d bytes",
                       PATCH_COPIED_BYTES_MAX);
    return do_add(root, path, json_deep_copy(source), false, reterr);
}

static int apply_operation(json_t **root, const json_t *op, size_t *left, struct err *reterr)
{
    const char *name = json_at_str(op, "op"), *path = json_at_str(op, "path"),
               *from = json_at_str(op, "from");
    const json_t *value = json_object_get(op, "value");
    json_t *moved = NULL;
    int code;
    if (!name || !path)
        return err_set(reterr, -EINVAL, NULL, "a JSON patch operation needs op and path");
    if (streq(name, "remove"))
        return do_remove(root, path, NULL, reterr);
    if (streq(name, "add") || streq(name, "replace") || streq(name, "test")) {
        if (!value)
            return err_set(reterr, -EINVAL, NULL, "a JSON patch operation \"%.20s\" needs a value",
                           name);
        if (streq(name, "test"))
            return do_test(*root, path, value, reterr);
        return do_add(root, path, json_deep_copy(value), streq(name, "replace"), reterr);
    }
    if (!streq(name, "move") && !streq(name, "copy"))
        return err_set(reterr, -EINVAL, NULL, "unexpected JSON patch operation \"%.20s\"", name);
    if (!from)
        return err_set(reterr, -EINVAL, NULL, "a JSON patch operation \"%.20s\" needs from", name);
    if (streq(name, "copy"))
        return do_copy(root, from, path, left, reterr);
    if (str_starts(str_from(path), str_from(from)) && path[strlen(from)] == '/')
        return err_set(reterr, -EINVAL, NULL, "a value cannot be moved into itself");
    code = do_remove(root, from, &moved, reterr);
    return code < 0 ? code : do_add(root, path, moved, false, reterr);
}

int patch_apply_json(json_t **object, const json_t *patch, struct err *reterr)
{
    size_t i;
    json_t *op;
    size_t left = PATCH_COPIED_BYTES_MAX;
    if (!json_is_array(patch))
        return err_set(reterr, -EINVAL, NULL, "a JSON patch must be a list of operations");
    if (json_array_size(patch) > PATCH_OPERATIONS_MAX)
        return err_set(reterr, -E2BIG, NULL,
                       "The allowed maximum operations in a JSON patch is %d, got %zu",
                       PATCH_OPERATIONS_MAX, json_array_size(patch));
    json_array_foreach((json_t *)(uintptr_t)patch, i, op)
    {
        int code = apply_operation(object, op, &left, reterr);
        if (code < 0)
            return code;
    }
    return 0;
}
