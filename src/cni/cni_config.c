#include "cni/cni_config.h"

#include <errno.h>
#include <string.h>

const char *const cni_versions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", NULL};

bool cni_version_is_known(const char *version)
{
    for (size_t i = 0; cni_versions[i]; i++)
        if (streq(version, cni_versions[i]))
            return true;
    return false;
}

static int check(struct cni_config *c, enum cni_error *ret_code, struct err *reterr)
{
    *ret_code = CNI_INVALID_CONFIG;
    if (!json_is_object(c->json))
        return err_set(reterr, -EINVAL, NULL, "the configuration is no object");
    c->version = json_key_str(c->json, "cniVersion");
    c->version = c->version ? c->version : "";
    c->socket = json_key_str(c->json, "socket");
    c->socket = c->socket ? c->socket : CNI_SOCKET;
    c->excluded = json_object_get(c->json, "excludeNamespaces");
    c->prev_result = json_object_get(c->json, "prevResult");
    if (c->prev_result && !json_is_object(c->prev_result))
        return err_set(reterr, -EINVAL, "prevResult", "it is no object");
    *ret_code = CNI_INCOMPATIBLE_VERSION;
    if (!cni_version_is_known(c->version))
        return err_set(reterr, -EINVAL, "cniVersion", "'%s' is none that is known: 0.3.0 to 1.1.0",
                       c->version);
    return 0;
}

int cni_config_read(struct str text, struct cni_config *ret, enum cni_error *ret_code,
                    struct err *reterr)
{
    *ret = (struct cni_config){.version = "", .socket = CNI_SOCKET};
    *ret_code = CNI_NOT_DECODED;
    int r = json_parse(text, CNI_CONFIG_BYTES_MAX, NULL, &ret->json, reterr);
    return r < 0 ? r : check(ret, ret_code, reterr);
}

void cni_config_done(struct cni_config *c)
{
    json_decref(c->json);
    *c = (struct cni_config){0};
}

struct str cni_arg(const char *args, const char *key)
{
    struct str rest = str_from(args);
    while (rest.n) {
        struct str value, one = str_cut(rest, ';', &rest);
        struct str name = str_cut(one, '=', &value);
        if (str_is(name, key))
            return value;
    }
    return STR("");
}

bool cni_namespace_is_excluded(const struct cni_config *c, struct str name)
{
    const json_t *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)c->excluded, i,
                       one) if (json_is_string(one) &&
                                str_is(name, json_string_value(one))) return true;
    return false;
}

/* ---- a network's list of plugins ---- */

static bool is_ours(const json_t *plugin)
{
    return streq(json_key_str(plugin, "type"), CNI_PLUGIN);
}

int cni_list_put(json_t *list, const char *socket, const json_t *excluded, bool *ret_changed,
                 struct err *reterr)
{
    json_t *plugins = json_object_get(list, "plugins"), *one;
    AUTO_JSON json_t *entry = json_pack("{s:s,s:s,s:O}", "type", CNI_PLUGIN, "socket", socket,
                                        "excludeNamespaces", excluded);
    size_t i, n = json_array_size(plugins);
    *ret_changed = false;
    if (!n)
        return err_set(reterr, -EINVAL, "plugins", "it is no list of plugins, or an empty one");
    json_array_foreach(plugins, i, one)
    {
        if (!is_ours(one))
            continue;
        if (i + 1 == n && json_equal(one, entry))
            return 0;
        json_array_remove(plugins, i); /* it may not be the last any more */
        break;
    }
    json_array_append(plugins, entry);
    *ret_changed = true;
    return 0;
}

bool cni_list_remove(json_t *list)
{
    json_t *plugins = json_object_get(list, "plugins"), *one;
    size_t i;
    json_array_foreach(plugins, i, one) if (is_ours(one))
    {
        json_array_remove(plugins, i);
        return true;
    }
    return false;
}
