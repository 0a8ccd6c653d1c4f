/* The controller's flags and ConfigMaps. */
#include "base/vec.h"
#include "model/migrate_priv.h"

enum where { CONFIGMAP, FLAG };
enum fate { SAME, EACH, MISSING };

static const struct setting {
    enum where where;
    const char *key;
    enum fate fate;
    const char *annotation, *note;
} settings[] = {
#define SETTING(where, key, fate, annotation, note) {where, key, fate, annotation, note},
#include "model/migrate_settings.def"
#undef SETTING
};

static const struct setting *find_setting(enum where where, struct str key)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (settings[i].where == where && str_is(key, settings[i].key))
            return &settings[i];
    return NULL;
}

static void add_setting(struct migrate_subject *s, enum where where, const char *field,
                        struct str key)
{
    const struct setting *row = find_setting(where, key);
    const char *note = row && row->note ? row->note : NULL;
    if (!row) {
        migrate_note_add(s, MIGRATE_CHANGE, field, "look up what it did", "not known here");
    } else if (row->fate == SAME) {
        migrate_note_add(s, MIGRATE_WORKS, field, NULL, "%s", note ? note : "nothing to do");
    } else if (row->fate == EACH) {
        bool done = streq(migrate_annotation_state(row->annotation), "read");
        AUTO_CHARS char *action = xasprintf("nginx.ingress.kubernetes.io/%s %s%s", row->annotation,
                                            note ? note : "", done ? "" : " (not done yet)");
        migrate_note_add(s, MIGRATE_CHANGE, field, action,
                         "settings of the whole controller are not read");
    } else {
        migrate_note_add(s, MIGRATE_CHANGE, field, NULL, "not done%s%s", note ? ": " : "",
                         note ? note : "");
    }
}

/* ---- which objects ---- */

static bool is_kind(const json_t *j, const char *kind)
{
    return streq(json_key_str(j, "kind"), kind);
}

static bool is_controller(const json_t *container)
{
    const char *image = json_key_str(container, "image");
    return image &&
           (strstr(image, "ingress-nginx/controller") || strstr(image, "nginx-ingress-controller"));
}

static char *key_of(const json_t *j)
{
    const char *ns = json_at_str(j, "metadata.namespace"), *name = json_at_str(j, "metadata.name");
    return xasprintf("%s/%s", ns ? ns : "default", name ? name : "");
}

static void set_subject(struct migrate_subject *s, const char *kind, const char *key)
{
    s->object = xasprintf("%s %s", kind, key);
}

static const json_t *find_map(const json_t *objects, struct str key)
{
    json_t *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, j)
    {
        AUTO_CHARS char *own = key_of(j);
        if (is_kind(j, "ConfigMap") && str_is(key, own))
            return j;
    }
    return NULL;
}

/* ---- what is read ---- */

typedef VEC(struct migrate_subject) subjects;

static void look_at_map(const json_t *objects, struct str key, subjects *to)
{
    const json_t *map = find_map(objects, key);
    AUTO_CHARS char *name = str_dup(key);
    const char *entry;
    json_t *value;
    struct migrate_subject *s = vec_add(to);
    set_subject(s, "ConfigMap", name);
    if (!map)
        migrate_note_add(s, MIGRATE_CHANGE, "data", "give it with -f, or look in the cluster",
                         "it is not among what is looked at");
    json_object_foreach(json_object_get(map, "data"), entry, value)
    {
        AUTO_CHARS char *field = xasprintf("data[%.128s]", entry);
        add_setting(s, CONFIGMAP, field, str_from(entry));
    }
}

static void look_at_ports(const json_t *objects, struct str key, const char *protocol, subjects *to)
{
    const json_t *map = find_map(objects, key);
    AUTO_CHARS char *name = str_dup(key);
    const char *entry;
    json_t *value;
    struct migrate_subject *s = vec_add(to);
    set_subject(s, "ConfigMap", name);
    json_object_foreach(json_object_get(map, "data"), entry, value)
    {
        AUTO_CHARS char *field = xasprintf("data[%.128s]", entry);
        migrate_note_add(s, MIGRATE_CHANGE, field, "give that Service the type LoadBalancer",
                         "%s port %.40s to %.200s is not served by the gateways", protocol, entry,
                         json_string_value(value) ? json_string_value(value) : "?");
    }
}

/* $(POD_NAMESPACE) is the controller's own. */
static char *resolve(struct str value, const char *ns)
{
    struct str variable = STR("$(POD_NAMESPACE)");
    return str_starts(value, variable)
               ? xasprintf("%s" STR_FMT, ns, STR_ARG(str_sub(value, variable.n, value.n)))
               : str_dup(value);
}

static void look_at_flag(const json_t *objects, const char *ns, const char *text,
                         struct migrate_subject *s, subjects *to)
{
    struct str value, flag = str_cut(str_from(text), '=', &value);
    if (!str_starts(flag, STR("--")))
        return;
    flag = str_sub(flag, 2, flag.n);
    AUTO_CHARS char *field =
        xasprintf("args[--" STR_FMT "]", (int)MIN(flag.n, (size_t)128), flag.p);
    AUTO_CHARS char *target = resolve(value.p ? value : STR(""), ns);
    add_setting(s, FLAG, field, flag);
    if (str_is(flag, "configmap"))
        look_at_map(objects, str_from(target), to);
    else if (str_is(flag, "tcp-services-configmap"))
        look_at_ports(objects, str_from(target), "TCP", to);
    else if (str_is(flag, "udp-services-configmap"))
        look_at_ports(objects, str_from(target), "UDP", to);
}

static void look_at_workload(const json_t *objects, const json_t *j, const json_t *container,
                             subjects *to)
{
    const char *ns = json_at_str(j, "metadata.namespace");
    AUTO_CHARS char *key = key_of(j);
    struct migrate_subject s = {0};
    json_t *text;
    size_t i;
    set_subject(&s, json_key_str(j, "kind"), key);
    json_array_foreach(json_object_get(container, "args"), i, text) if (json_string_value(text))
        look_at_flag(objects, ns ? ns : "default", json_string_value(text), &s, to);
    vec_push(to, s);
}

/* Without the controller itself: those that usual installations call so. */
static void look_for_maps(const json_t *objects, subjects *to)
{
    static const char *const names[] = {"ingress-nginx-controller", "nginx-configuration"};
    json_t *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, j) for (size_t n = 0; n < ARRAY_LEN(names);
                                                                n++)
    {
        AUTO_CHARS char *key = key_of(j);
        if (is_kind(j, "ConfigMap") && streq(json_at_str(j, "metadata.name"), names[n]))
            look_at_map(objects, str_from(key), to);
    }
}

static int by_object(const void *a, const void *b)
{
    return strcmp(((const struct migrate_subject *)a)->object,
                  ((const struct migrate_subject *)b)->object);
}

void migrate_look_at_controllers(const json_t *objects, struct migrate_report *ret)
{
    subjects list = {0};
    json_t *j, *container;
    size_t i, c;
    json_array_foreach((json_t *)(uintptr_t)objects, i,
                       j) if (is_kind(j, "Deployment") || is_kind(j, "DaemonSet"))
        json_array_foreach(json_at(j, "spec.template.spec.containers"), c,
                           container) if (is_controller(container))
            look_at_workload(objects, j, container, &list);
    if (!list.n)
        look_for_maps(objects, &list);
    if (list.n)
        qsort(list.v, list.n, sizeof(*list.v), by_object);
    ret->controllers = list.v;
    ret->n_controllers = list.n;
}
