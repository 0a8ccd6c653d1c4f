/* The words of a schema: those that mean nothing go, and are told as unknown fields, as if the
 * definition's message table (kube/schemas) had them all. In place. */
#include "lab/apiserver/crd_format.h"
#include "lab/apiserver/custom_registry.h"

static const char known[] =
    "id|$schema|$ref|description|type|format|title|default|maximum|exclusiveMaximum|minimum|"
    "exclusiveMinimum|maxLength|minLength|pattern|maxItems|minItems|uniqueItems|multipleOf|enum|"
    "maxProperties|minProperties|required|items|allOf|oneOf|anyOf|not|properties|"
    "additionalProperties|patternProperties|dependencies|additionalItems|definitions|externalDocs|"
    "example|nullable|x-kubernetes-preserve-unknown-fields|x-kubernetes-embedded-resource|"
    "x-kubernetes-int-or-string|x-kubernetes-list-map-keys|x-kubernetes-list-type|"
    "x-kubernetes-map-type|x-kubernetes-validations";

struct words {
    struct schema_findings *findings;
    struct buf path;
};

static void decode_schema(struct words *w, json_t *s);

static void into(struct words *w, json_t *s, const char *name, const char *key)
{
    size_t was = w->path.n;
    buf_addf(&w->path, ".%s", name);
    if (key)
        buf_addf(&w->path, "%s%s", *key == '[' ? "" : ".", key);
    decode_schema(w, s);
    w->path.n = was;
}

static void into_list(struct words *w, json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        AUTO_CHARS char *key = xasprintf("[%zu]", i);
        into(w, item, name, key);
    }
}

static void decode_schema(struct words *w, json_t *s)
{
    const char *word, *name;
    json_t *v, *of;
    void *next;
    json_object_foreach_safe(s, next, word, v)
    {
        if (!value_is_listed(known, word)) {
            if (w->findings)
                schema_findings_add(w->findings, "unknown field \"%s.%s\"", buf_cstr(&w->path),
                                    word);
            json_object_del(s, word);
        } else if (json_is_null(v) && !streq(word, "default") && !streq(word, "example")) {
            json_object_del(s, word);
        } else if (streq(word, "properties")) {
            json_object_foreach(v, name, of) into(w, of, word, name);
        } else if (streq(word, "allOf") || streq(word, "anyOf") || streq(word, "oneOf")) {
            into_list(w, v, word);
        } else if (streq(word, "items") || streq(word, "additionalProperties") ||
                   streq(word, "not")) {
            into(w, v, word, NULL);
        }
    }
}

void decode_crd(json_t *object, struct schema_findings *f)
{
    json_t *v;
    size_t i;
    json_array_foreach(json_at(object, "spec.versions"), i, v)
    {
        struct words w = {.findings = f};
        buf_addf(&w.path, "spec.versions[%zu].schema.openAPIV3Schema", i);
        decode_schema(&w, json_at(v, "schema.openAPIV3Schema"));
        buf_done(&w.path);
    }
}

static void warn_formats(const json_t *s, void (*fn)(void *user, const char *text), void *user)
{
    const char *format = json_key_str(s, "format"), *word;
    json_t *v, *of;
    size_t i;
    if (!str_empty(format) && !crd_format_is_known(format)) {
        AUTO_CHARS char *m = xasprintf("unrecognized format \"%.100s\"", format);
        fn(user, m);
    }
    json_object_foreach((json_t *)(uintptr_t)s, word, v)
    {
        const char *name;
        if (streq(word, "properties"))
            json_object_foreach(v, name, of) warn_formats(of, fn, user);
        else if (streq(word, "items") || streq(word, "additionalProperties"))
            warn_formats(v, fn, user);
        else if (streq(word, "allOf") || streq(word, "anyOf") || streq(word, "oneOf"))
            json_array_foreach(v, i, of) warn_formats(of, fn, user);
    }
}

void warn_of_formats(const json_t *object, void (*fn)(void *user, const char *text), void *user)
{
    json_t *v;
    size_t i;
    json_array_foreach(json_at(object, "spec.versions"), i, v)
        warn_formats(json_at(v, "schema.openAPIV3Schema"), fn, user);
}
