/* The environment of containers. Pure: objects in, variables out. Follows the order kubelet
 * documents: service variables and the like first (the caller has put them in), then envFrom in
 * order, then env in order, each seeing those before. */
#include "lab/node/pod_env.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "codec/base64.h"

void env_done(struct env *e)
{
    VEC_FOREACH (var, &e->vars) {
        free(var->name);
        free(var->value);
    }
    vec_done(&e->vars);
}

static struct env_var *env_find(const struct env *e, struct str name)
{
    for (size_t i = 0; i < e->vars.n; i++)
        if (str_is(name, e->vars.v[i].name))
            return &e->vars.v[i];
    return NULL;
}

void env_set(struct env *e, const char *name, const char *value)
{
    struct env_var *var = env_find(e, str_from(name));
    if (!var) {
        var = vec_add(&e->vars);
        *var = (struct env_var){.name = xstrdup(name)};
    }
    char *copy = xstrdup(value);
    free(var->value);
    var->value = copy;
    var->is_runtime = false;
}

void env_set_runtime(struct env *e, const char *name, const char *value)
{
    env_set(e, name, value);
    env_find(e, str_from(name))->is_runtime = true;
}

const char *env_get(const struct env *e, const char *name)
{
    const struct env_var *var = env_find(e, str_from(name));
    return var ? var->value : NULL;
}

char *env_expand(const struct env *e, const char *text)
{
    struct buf b = {0};
    for (const char *p = text; *p; p++) {
        const char *end = p[0] == '$' && p[1] == '(' ? strchr(p, ')') : NULL;
        if (p[0] == '$' && p[1] == '$') {
            buf_add_char(&b, '$');
            p++;
        } else if (end) {
            const struct env_var *var = env_find(e, str_of(p + 2, (size_t)(end - p - 2)));
            if (var && !var->is_runtime)
                buf_add_cstr(&b, var->value);
            else
                buf_add(&b, p, (size_t)(end - p + 1));
            p = end;
        } else {
            buf_add_char(&b, *p);
        }
    }
    return buf_take_cstr(&b);
}

char **env_to_envp(const struct env *e)
{
    VEC(char *) out = {0};
    for (size_t i = 0; i < e->vars.n; i++)
        vec_push(&out, xasprintf("%s=%s", e->vars.v[i].name, e->vars.v[i].value));
    vec_push(&out, NULL);
    return out.v;
}

/* ---- fields ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* key="value" lines in the order of the keys. */
static char *all_pairs(const json_t *map)
{
    struct buf b = {0};
    VEC(const char *) keys = {0};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) vec_push(&keys, key);
    if (keys.n)
        qsort(keys.v, keys.n, sizeof(*keys.v), compare_keys);
    VEC_FOREACH (k, &keys) {
        buf_addf(&b, "%s%s=", b.n ? "\n" : "", *k);
        json_write_string(&b, str_from(json_key_str(map, *k)));
    }
    vec_done(&keys);
    return buf_take_cstr(&b);
}

/* metadata.labels['x'] and metadata.annotations['x']. */
static char *subscripted_field(const json_t *pod, const char *path)
{
    static const char *const maps[] = {"metadata.labels", "metadata.annotations"};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        size_t n = strlen(maps[i]), end = strlen(path);
        if (strncmp(path, maps[i], n) != 0)
            continue;
        const json_t *map = json_at(pod, maps[i]);
        if (!path[n]) {
            return all_pairs(map);
        }
        if (end < n + 4 || strncmp(path + n, "['", 2) != 0 || strcmp(path + end - 2, "']") != 0)
            return NULL;
        AUTO_CHARS char *key = xstrndup(path + n + 2, end - n - 4);
        const char *value = json_key_str(map, key);
        return xstrdup(value ? value : "");
    }
    return NULL;
}

char *pod_field(const json_t *pod, const char *path)
{
    static const char *const known[] = {"metadata.name", "metadata.namespace",      "metadata.uid",
                                        "spec.nodeName", "spec.serviceAccountName", "status.podIP",
                                        "status.hostIP"};
    static const char *const lists[][2] = {{"status.podIPs", "ip"}, {"status.hostIPs", "ip"}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (streq(path, known[i])) {
            const char *value = json_at_str(pod, path);
            return xstrdup(value ? value : "");
        }
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (!streq(path, lists[i][0]))
            continue;
        struct buf b = {0};
        json_t *item;
        size_t at;
        json_array_foreach(json_at(pod, path), at, item)
            buf_addf(&b, "%s%s", at ? "," : "", json_key_str(item, lists[i][1]));
        return buf_take_cstr(&b);
    }
    return subscripted_field(pod, path);
}

/* 250m, 1, 64Mi, 1G … as a plain number times 1000. */
static double quantity(const char *text)
{
    static const struct {
        const char *suffix;
        double factor;
    } suffixes[] = {{"Ki", 1024.0},       {"Mi", 1048576.0},
                    {"Gi", 1073741824.0}, {"Ti", 1099511627776.0},
                    {"m", 1e-3},          {"k", 1e3},
                    {"M", 1e6},           {"G", 1e9},
                    {"T", 1e12},          {"", 1}};
    char *end;
    double v = strtod(text, &end);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (streq(end, suffixes[i].suffix))
            return v * suffixes[i].factor;
    return v;
}

char *container_resource(const json_t *container, const char *resource, const char *divisor)
{
    AUTO_CHARS char *path = xasprintf("resources.%s", resource);
    const char *text = json_at_str(container, path);
    double value, unit = str_empty(divisor) || streq(divisor, "0") ? 1 : quantity(divisor);
    if (text)
        value = quantity(text);
    else if (streq(resource, "limits.cpu"))
        value = (double)sysconf(_SC_NPROCESSORS_ONLN);
    else if (streq(resource, "limits.memory"))
        value = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    else if (strncmp(resource, "requests.", 9) == 0 || strncmp(resource, "limits.", 7) == 0)
        value = 0;
    else
        return NULL;
    double whole = value / unit;
    uint64_t rounded = (uint64_t)whole;
    return xasprintf("%llu", (unsigned long long)((double)rounded < whole ? rounded + 1 : rounded));
}

/* ---- ConfigMaps and Secrets ---- */

char *config_value(const json_t *object, const char *kind, const char *key, size_t *ret_bytes)
{
    const char *plain = json_key_str(json_at(object, "data"), key), *binary = NULL;
    struct buf b = {0};
    if (streq(kind, "ConfigMap") && plain) {
        buf_add_cstr(&b, plain);
    } else {
        binary = streq(kind, "Secret") ? plain : json_key_str(json_at(object, "binaryData"), key);
        if (!binary || base64_decode(str_from(binary), &b) < 0) {
            buf_done(&b);
            return NULL;
        }
    }
    if (ret_bytes)
        *ret_bytes = b.n;
    return buf_take_cstr(&b);
}

static int env_from(struct env *e, const json_t *source, env_lookup_fn *lookup, void *user,
                    struct err *reterr)
{
    static const char *const refs[][2] = {{"configMapRef", "ConfigMap"}, {"secretRef", "Secret"}};
    const char *prefix = json_key_str(source, "prefix");
    for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
        const json_t *ref = json_at(source, refs[i][0]);
        const char *name = ref ? json_key_str(ref, "name") : NULL, *key;
        json_t *value;
        if (!name)
            continue;
        const json_t *object = lookup(refs[i][1], name, user);
        if (!object && !json_at_bool(ref, "optional", false))
            return err_set(reterr, -ENOENT, NULL, "%s \"%s\" not found", i ? "secret" : "configmap",
                           name);
        json_object_foreach(json_at(object, "data"), key, value)
        {
            AUTO_CHARS char *full = xasprintf("%s%s", prefix ? prefix : "", key);
            AUTO_CHARS char *text = config_value(object, refs[i][1], key, NULL);
            env_set(e, full, text ? text : "");
        }
    }
    return 0;
}

/* valueFrom of one variable. *ret NULL: optional and absent. */
static int env_value_from(const json_t *from, const json_t *pod, const json_t *container,
                          env_lookup_fn *lookup, void *user, char **ret, struct err *reterr)
{
    static const char *const refs[][2] = {{"configMapKeyRef", "ConfigMap"},
                                          {"secretKeyRef", "Secret"}};
    const char *path = json_at_str(from, "fieldRef.fieldPath"),
               *resource = json_at_str(from, "resourceFieldRef.resource");
    *ret = NULL;
    if (path || resource) {
        *ret = path ? pod_field(pod, path)
                    : container_resource(container, resource,
                                         json_at_str(from, "resourceFieldRef.divisor"));
        return *ret ? 0
                    : err_set(reterr, -EINVAL, NULL, "unsupported field \"%s\"",
                              path ? path : resource);
    }
    for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
        const json_t *ref = json_at(from, refs[i][0]);
        const char *name = ref ? json_key_str(ref, "name") : NULL,
                   *key = ref ? json_key_str(ref, "key") : NULL;
        if (!name || !key)
            continue;
        const json_t *object = lookup(refs[i][1], name, user);
        *ret = object ? config_value(object, refs[i][1], key, NULL) : NULL;
        if (*ret || json_at_bool(ref, "optional", false))
            return 0;
        if (!object)
            return err_set(reterr, -ENOENT, NULL, "%s \"%s\" not found", i ? "secret" : "configmap",
                           name);
        return err_set(reterr, -ENOENT, NULL, "couldn't find key %s in %s %s", key, refs[i][1],
                       name);
    }
    return 0;
}

int env_of_container(struct env *e, const json_t *pod, const json_t *container,
                     env_lookup_fn *lookup, void *user, struct err *reterr)
{
    json_t *item;
    size_t i;
    int r = 0;
    json_array_foreach(json_at(container, "envFrom"), i,
                       item) if ((r = env_from(e, item, lookup, user, reterr)) < 0) return r;
    json_array_foreach(json_at(container, "env"), i, item)
    {
        const char *name = json_key_str(item, "name"), *value = json_key_str(item, "value");
        const json_t *from = json_at(item, "valueFrom");
        AUTO_CHARS char *text = NULL;
        if (!name)
            continue;
        if (from)
            r = env_value_from(from, pod, container, lookup, user, &text, reterr);
        else
            text = env_expand(e, value ? value : "");
        if (r < 0)
            return r;
        if (text)
            env_set(e, name, text);
    }
    return 0;
}
