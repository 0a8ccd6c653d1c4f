/* KubeProxyConfiguration: the table of its fields (proxy_fields.def) says which there are, of what
 * type, and what becomes of them. The tree of values is the truth; readers ask by path. Pure. */
#include "agent/proxy_config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/time.h"
#include "codec/yaml.h"

#define GROUP   "kubeproxy.config.k8s.io"
#define VERSION GROUP "/v1alpha1"
#define KIND    "KubeProxyConfiguration"

enum { PATH_MAX_BYTES = 512, NOTES_MAX = 100, NOTE_BYTES = 600, DEPTH_MAX = 8 };

enum field_type {
    BOOL,
    OPT_BOOL,
    COUNT,
    OPT_COUNT,
    NUMBER,
    STRING,
    DURATION,
    OPT_DURATION,
    STRINGS,
    GATES,
    ANY
};
enum field_state { HEEDED, NONE, IPTABLES, IPVS, WINDOWS };

static const struct proxy_field fields[] = {
#define F(path, type, fallback, state, text) {path, fallback, text, type, state},
#include "agent/proxy_fields.def"
#undef F
};

const struct proxy_field *proxy_fields(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(fields);
    return fields;
}

const char *proxy_field_state(const struct proxy_field *f)
{
    static const char *const words[] = {[HEEDED] = "heeded",
                                        [NONE] = "no effect",
                                        [IPTABLES] = "of mode iptables",
                                        [IPVS] = "of mode ipvs",
                                        [WINDOWS] = "of Windows"};
    return words[f->state];
}

/* ---- notes ---- */

void proxy_config_note(struct proxy_config *c, enum proxy_note_kind kind, const char *path,
                       const char *fmt, ...)
{
    char text[NOTE_BYTES];
    va_list ap;
    if (c->notes.n >= NOTES_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    vec_push(&c->notes, ((struct proxy_note){kind, xstrdup(path), xstrdup(text)}));
}

bool proxy_config_has_errors(const struct proxy_config *c)
{
    VEC_FOREACH (n, &c->notes)
        if (n->kind == PROXY_NOTE_ERROR)
            return true;
    return false;
}

/* ---- defaults ---- */

static void put_default(json_t *tree, const struct proxy_field *f)
{
    json_t *v = json_loads(f->fallback, JSON_DECODE_ANY, NULL);
    ASSERT(v);
    json_put(tree, f->path, v);
}

void proxy_config_init(struct proxy_config *c, const char *mode)
{
    *c = (struct proxy_config){.tree = json_object(), .given = json_object()};
    json_put_str(c->tree, "apiVersion", VERSION);
    json_put_str(c->tree, "kind", KIND);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        put_default(c->tree, &fields[i]);
    json_put_str(c->tree, "mode", mode);
}

void proxy_config_done(struct proxy_config *c)
{
    json_decref(c->tree);
    json_decref(c->given);
    VEC_FOREACH (n, &c->notes) {
        free(n->path);
        free(n->text);
    }
    vec_done(&c->notes);
}

/* ---- values ---- */

const char *proxy_config_text(const struct proxy_config *c, const char *path)
{
    const char *v = json_at_str(c->tree, path);
    return v ? v : "";
}

int64_t proxy_config_count(const struct proxy_config *c, const char *path)
{
    return json_at_int(c->tree, path, 0);
}

bool proxy_config_bool(const struct proxy_config *c, const char *path)
{
    return json_at_bool(c->tree, path, false);
}

uint64_t proxy_config_ms(const struct proxy_config *c, const char *path)
{
    uint64_t ms = 0;
    if (time_parse_duration(str_from(proxy_config_text(c, path)), &ms) < 0)
        return 0;
    return ms;
}

bool proxy_config_has(const struct proxy_config *c, const char *path)
{
    return json_at(c->given, path) != NULL;
}

bool proxy_config_gate(const struct proxy_config *c, const char *name, bool fallback)
{
    const json_t *v = json_object_get(json_at(c->tree, "featureGates"), name);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

const char *proxy_config_section(const struct proxy_config *c)
{
    const char *mode = proxy_config_text(c, "mode");
    return streq(mode, "nftables") || streq(mode, "ipvs") ? mode : "iptables";
}

/* ---- types ---- */

static bool is_strings(const json_t *v)
{
    size_t i;
    json_t *one;
    if (!json_is_array(v))
        return false;
    json_array_foreach((json_t *)(uintptr_t)v, i, one) if (!json_is_string(one)) return false;
    return true;
}

static bool is_gates(const json_t *v)
{
    const char *name;
    json_t *one;
    if (!json_is_object(v))
        return false;
    json_object_foreach((json_t *)(uintptr_t)v, name, one) if (!json_is_boolean(one)) return false;
    return true;
}

static bool is_duration(const json_t *v)
{
    uint64_t ms;
    const char *text = json_string_value(v);
    return text && time_parse_duration(str_from(*text == '-' ? text + 1 : text), &ms) == 0;
}

/* Whether the value is of the field's type; else what it should be. */
static const char *type_error(const struct proxy_field *f, const json_t *v)
{
    json_int_t n = json_integer_value(v);
    switch ((enum field_type)f->type) {
    case BOOL:
    case OPT_BOOL:
        return json_is_boolean(v) ? NULL : "true or false";
    case COUNT:
    case OPT_COUNT:
        return json_is_integer(v) && n >= INT32_MIN && n <= INT32_MAX ? NULL
                                                                      : "a whole number of 32 bits";
    case NUMBER:
        return json_is_number(v) ? NULL : "a number";
    case STRING:
        return json_is_string(v) ? NULL : "a string";
    case DURATION:
    case OPT_DURATION:
        return is_duration(v) ? NULL : "a duration such as 30s or 1h0m0s";
    case STRINGS:
        return is_strings(v) ? NULL : "a list of strings";
    case GATES:
        return is_gates(v) ? NULL : "names with true or false";
    case ANY:
        break;
    }
    return NULL;
}

/* ---- the tree of a file ---- */

static const struct proxy_field *field_at(struct str path, bool *ret_is_section)
{
    *ret_is_section = false;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct str f = str_from(fields[i].path);
        if (str_eq(f, path))
            return &fields[i];
        if (str_starts(f, path) && f.p[path.n] == '.')
            *ret_is_section = true;
    }
    return NULL;
}

/* Zero is "not given" but for kube-proxy's pointers. */
static bool is_zero(const struct proxy_field *f, const json_t *v)
{
    uint64_t ms;
    if (json_is_null(v))
        return true;
    if (f->type == COUNT || f->type == NUMBER || (f->type == ANY && json_is_number(v)))
        return json_number_value(v) == 0; /* no rounding: 0 is 0 */
    if (f->type == STRING)
        return !*json_string_value(v);
    return f->type == DURATION && time_parse_duration(str_from(json_string_value(v)), &ms) == 0 &&
           ms == 0;
}

static void take_value(struct proxy_config *c, const struct proxy_field *f, json_t *v)
{
    const char *ought = json_is_null(v) ? NULL : type_error(f, v);
    if (ought) {
        AUTO_DONE(buf) struct buf b = {0};
        json_write(&b, v);
        proxy_config_note(c, PROXY_NOTE_ERROR, f->path, "%.60s is not %s", buf_cstr(&b), ought);
        return;
    }
    if (!is_zero(f, v))
        json_put(c->tree, f->path, json_incref(v));
}

static void take_object(struct proxy_config *c, const char *prefix, json_t *object, unsigned depth)
{
    const char *name;
    json_t *v;
    json_object_foreach(object, name, v)
    {
        char path[PATH_MAX_BYTES];
        bool is_section, cut;
        if (!*prefix && (streq(name, "apiVersion") || streq(name, "kind")))
            continue;
        cut = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", name) >=
                  (int)sizeof(path) ||
              strchr(name, '.');
        const struct proxy_field *f = cut ? NULL : field_at(str_from(path), &is_section);
        if (f)
            take_value(c, f, v);
        else if (cut || !is_section)
            proxy_config_note(c, PROXY_NOTE_WARNING, path, "unknown field");
        else if (json_is_object(v) && depth < DEPTH_MAX)
            take_object(c, path, v, depth + 1);
        else if (!json_is_null(v))
            proxy_config_note(c, PROXY_NOTE_ERROR, path, "is not an object");
    }
}

/* Given, and different from what holds without it: worth a word. */
static void tell_ineffective(struct proxy_config *c)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct proxy_field *f = &fields[i];
        const json_t *v = json_at(c->given, f->path);
        AUTO_JSON json_t *fallback = json_loads(f->fallback, JSON_DECODE_ANY, NULL);
        if (f->state == HEEDED || !v || type_error(f, v) || is_zero(f, v) ||
            json_equal(v, fallback))
            continue;
        if (streq(f->path, "iptables.localhostNodePorts"))
            continue;
        proxy_config_note(c, PROXY_NOTE_TOLD, f->path, "%s%s%s", proxy_field_state(f),
                          *f->text ? ": " : "", f->text);
    }
}

static void tell_gates(struct proxy_config *c)
{
    static const char *const ours[] = {"KubeProxyNFTablesLocalhostNodePorts",
                                       "MultiCIDRServiceAllocator"};
    const char *name;
    json_t *v;
    json_object_foreach(json_at(c->tree, "featureGates"), name, v)
    {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(ours); i++)
            known = known || streq(name, ours[i]);
        if (!known) {
            AUTO_CHARS char *path = xasprintf("featureGates.%.200s", name);
            proxy_config_note(c, PROXY_NOTE_TOLD, path, "no effect");
        }
    }
}

static int check_type(const json_t *object, struct err *reterr)
{
    const char *version = json_key_str(object, "apiVersion"), *kind = json_key_str(object, "kind");
    if (!json_is_object(object))
        return err_set(reterr, -EINVAL, NULL,
                       "not an object; a " KIND " of " VERSION " is expected");
    if (str_empty(kind))
        return err_set(reterr, -EINVAL, "kind", "missing; expected " KIND);
    if (str_empty(version))
        return err_set(reterr, -EINVAL, "apiVersion", "missing; expected " VERSION);
    if (!streq(version, VERSION) || !streq(kind, KIND))
        return err_set(reterr, -EINVAL, NULL,
                       "no kind \"%.80s\" is known for version \"%.80s\"; expected " KIND
                       " of " VERSION,
                       kind, version);
    return 0;
}

int proxy_config_read(struct proxy_config *c, struct str text, struct err *reterr)
{
    AUTO_JSON json_t *object = NULL;
    if (text.n > PROXY_CONFIG_BYTES_MAX)
        return err_set(reterr, -E2BIG, NULL, "over %d bytes", PROXY_CONFIG_BYTES_MAX);
    int r = yaml_parse(text, &object, reterr);
    if (r == 0)
        r = check_type(object, reterr);
    if (r < 0)
        return r;
    json_decref(c->given);
    c->given = json_incref(object);
    c->from_file = true;
    json_put_str(c->tree, "mode", "");
    take_object(c, "", object, 0);
    tell_ineffective(c);
    tell_gates(c);
    return proxy_config_has_errors(c) ? -EINVAL : 0;
}
