/* The controller's flags and ConfigMaps. */
#include "base/vec.h"
#include "model/migrate_priv.h"
#include "model/nginx_maps.h"

static const struct {
    const char *name;
    bool done;
    const char *note;
} flags[] = {
#define FLAG(name, done, note) {name, done, note},
#define HARMLESS(key, note)
#include "model/migrate_flags.def"
#undef FLAG
#undef HARMLESS
};

/* Keys of the ConfigMap. */
static const struct {
    const char *key, *note;
} harmless[] = {
#define FLAG(name, done, note)
#define HARMLESS(key, note) {key, note},
#include "model/migrate_flags.def"
#undef FLAG
#undef HARMLESS
};

static void add_flag(struct migrate_subject *s, const char *field, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        const char *note = flags[i].note;
        if (!str_is(name, flags[i].name))
            continue;
        if (flags[i].done)
            migrate_note_add(s, MIGRATE_WORKS, field, NULL, "%s", note ? note : "nothing to do");
        else
            migrate_note_add(s, MIGRATE_CHANGE, field, NULL, "not done%s%s", note ? ": " : "",
                             note ? note : "");
        return;
    }
    migrate_note_add(s, MIGRATE_CHANGE, field, "look up what it did", "not known here");
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

/* Fields are cut where keys are long, at one of two places. */
static const struct finding *finding_of(const struct findings *f, const char *key)
{
    AUTO_CHARS char *longer = xasprintf("data[%.128s]", key);
    AUTO_CHARS char *shorter = xasprintf("data[%.32s]", key);
    for (size_t i = 0; i < f->n; i++)
        if (streq(f->v[i].field, longer) || streq(f->v[i].field, shorter))
            return &f->v[i];
    return NULL;
}

static void add_key(struct migrate_subject *s, const char *key, const struct finding *f)
{
    AUTO_CHARS char *field = xasprintf("data[%.128s]", key);
    const char *note = f ? NULL : "works";
    for (size_t i = 0; f && i < ARRAY_LEN(harmless); i++)
        if (streq(harmless[i].key, key))
            note = harmless[i].note;
    if (note)
        migrate_note_add(s, MIGRATE_WORKS, field, NULL, "%s", note);
    else
        migrate_note_add(s, MIGRATE_CHANGE, field, f->hint, "%s", f->message);
}

/* As the control plane reads it: what it tells is to be changed. */
static void look_at_map(const json_t *objects, struct str key, enum nginx_map what, subjects *to)
{
    const json_t *map = find_map(objects, key);
    AUTO_DONE(findings) struct findings found = {0};
    AUTO_CHARS char *name = str_dup(key);
    const char *entry;
    json_t *value;
    struct migrate_subject *s = vec_add(to);
    set_subject(s, "ConfigMap", name);
    if (!map)
        migrate_note_add(s, MIGRATE_CHANGE, "data", "give it with -f, or look in the cluster",
                         "it is not among what is looked at");
    nginx_map_check(what, name, json_object_get(map, "data"), &found);
    json_object_foreach(json_object_get(map, "data"), entry, value)
        add_key(s, entry, finding_of(&found, entry));
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
    add_flag(s, field, flag);
    if (str_is(flag, "configmap"))
        look_at_map(objects, str_from(target), NGINX_MAP_SETTINGS, to);
    else if (str_is(flag, "tcp-services-configmap"))
        look_at_map(objects, str_from(target), NGINX_MAP_TCP, to);
    else if (str_is(flag, "udp-services-configmap"))
        look_at_map(objects, str_from(target), NGINX_MAP_UDP, to);
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
    json_t *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, j) for (size_t n = 0;
                                                                ingress_settings_names[n]; n++)
    {
        AUTO_CHARS char *key = key_of(j);
        if (is_kind(j, "ConfigMap") &&
            streq(json_at_str(j, "metadata.name"), ingress_settings_names[n]))
            look_at_map(objects, str_from(key), NGINX_MAP_SETTINGS, to);
    }
}

char *migrate_settings_name(const json_t *objects)
{
    static const struct str flag = STR("--configmap=");
    json_t *j, *container, *text;
    size_t i, c, t;
    json_array_foreach((json_t *)(uintptr_t)objects, i, j)
    {
        const char *ns = json_at_str(j, "metadata.namespace");
        if (!is_kind(j, "Deployment") && !is_kind(j, "DaemonSet"))
            continue;
        json_array_foreach(json_at(j, "spec.template.spec.containers"), c, container)
            json_array_foreach(json_object_get(container, "args"), t, text)
        {
            struct str arg = str_from(json_string_value(text) ? json_string_value(text) : "");
            if (is_controller(container) && str_starts(arg, flag))
                return resolve(str_sub(arg, flag.n, arg.n), ns ? ns : "default");
        }
    }
    return NULL;
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
