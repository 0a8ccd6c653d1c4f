#include "model/inject_probes.h"

#include <errno.h>

#include "base/bytes.h"
#include "model/inject.h"

/* What is asked, and the words of its path: Istio's. */
static const struct {
    const char *field, *word;
} probes[] = {{"readinessProbe", "readyz"},
              {"livenessProbe", "livez"},
              {"startupProbe", "startupz"}},
  hooks[] = {{"postStart", "poststartz"}, {"preStop", "prestopz"}};

static const json_t *named_port(const json_t *container, const char *name)
{
    json_t *p;
    size_t i;
    json_array_foreach(json_object_get(container, "ports"), i, p)
    {
        if (streq(json_key_str(p, "name"), name))
            return json_object_get(p, "containerPort");
    }
    return NULL;
}

/* Its port as a number, in place. */
static int settle_port(json_t *action, const json_t *container, const char *field,
                       struct err *reterr)
{
    const json_t *port = json_object_get(action, "port");
    uint64_t number;
    if (!json_is_string(port))
        return 0;
    const char *text = json_string_value(port);
    if (str_to_u64(str_from(text), &number) == 0 && number <= 65535) {
        json_object_set_new(action, "port", json_integer((json_int_t)number));
        return 0;
    }
    const json_t *found = named_port(container, text);
    if (!found)
        return err_set(reterr, -EINVAL, field, "its container %s has no port \"%.63s\"",
                       json_key_str(container, "name"), text);
    json_object_set(action, "port", (json_t *)(uintptr_t)found);
    return 0;
}

/* The member that says how it is asked, if we can ask it; NULL: it stays. */
static const char *action_of(const json_t *handler)
{
    static const char *const names[] = {"httpGet", "tcpSocket", "grpc"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *action = json_object_get(handler, names[i]);
        if (json_is_object(action))
            return str_empty(json_key_str(action, "host")) ? names[i] : NULL;
    }
    return NULL;
}

/* Of the handler to our table, and in its place the way to us. */
static int rewrite(json_t *handler, const json_t *container, const char *path, const char *field,
                   json_t *table, struct err *reterr)
{
    const char *name = action_of(handler);
    json_t *action = name ? json_object_get(handler, name) : NULL;
    if (!action)
        return 0;
    json_t *was = json_deep_copy(action);
    int r = settle_port(was, container, field, reterr);
    if (r < 0) {
        json_decref(was);
        return r;
    }
    json_t *kept = json_pack("{s:o}", name, was);
    if (json_object_get(handler, "timeoutSeconds"))
        json_object_set(kept, "timeoutSeconds", json_object_get(handler, "timeoutSeconds"));
    json_object_set_new(table, path, kept);
    json_object_del(handler, name);
    json_object_set_new(
        handler, "httpGet",
        json_pack("{s:s,s:i,s:s}", "path", path, "port", INJECT_PROBES_PORT, "scheme", "HTTP"));
    return 0;
}

static int rewrite_container(json_t *container, const char *list, json_t *table, struct err *reterr)
{
    const char *name = json_key_str(container, "name");
    int r = 0;
    if (!name || streq(name, INJECT_PROXY) || streq(name, INJECT_INIT) || streq(name, INJECT_CHECK))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(probes) && r == 0; i++) {
        AUTO_CHARS char *path = xasprintf("/app-health/%s/%s", name, probes[i].word);
        AUTO_CHARS char *field = xasprintf("spec.%s[%s].%s", list, name, probes[i].field);
        r = rewrite(json_object_get(container, probes[i].field), container, path, field, table,
                    reterr);
    }
    for (size_t i = 0; i < ARRAY_LEN(hooks) && r == 0; i++) {
        AUTO_CHARS char *path = xasprintf("/app-lifecycle/%s/%s", name, hooks[i].word);
        AUTO_CHARS char *field = xasprintf("spec.%s[%s].lifecycle.%s", list, name, hooks[i].field);
        json_t *hook = json_object_get(json_object_get(container, "lifecycle"), hooks[i].field);
        if (json_object_get(hook, "httpGet"))
            r = rewrite(hook, container, path, field, table, reterr);
    }
    return r;
}

int inject_probes(json_t *spec, json_t **ret, struct err *reterr)
{
    static const char *const lists[] = {"initContainers", "containers"};
    AUTO_JSON json_t *table = json_object();
    json_t *container;
    size_t i;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        json_array_foreach(json_object_get(spec, lists[l]), i, container)
        {
            int r = rewrite_container(container, lists[l], table, reterr);
            if (r < 0)
                return r;
        }
    *ret = TAKE(table);
    return 0;
}
