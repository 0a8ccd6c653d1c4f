/* The embedded chart: which files it has, and what they give. */
#include "chart/chart.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/vec.h"
#include "chart/files.inc"
#include "codec/yaml.h"
#include "kube/manifest.h"

#define TEMPLATES "templates/"
#define NOTES     "templates/NOTES.txt"

const struct chart_file *chart_files(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(files);
    return files;
}

struct str chart_file_text(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (streq(files[i].name, name))
            return files[i].text;
    return STR("");
}

static json_t *yaml_file(const char *name)
{
    json_t *j = NULL;
    struct err err = {0};
    ASSERT(yaml_parse(chart_file_text(name), &j, &err) == 0 && j);
    return j;
}

json_t *chart_metadata(void)
{
    return yaml_file("Chart.yaml");
}

json_t *chart_values(void)
{
    return yaml_file("values.yaml");
}

json_t *chart_schema(void)
{
    json_t *j = NULL;
    struct err err = {0};
    ASSERT(json_parse(chart_file_text("values.schema.json"), 0, NULL, &j, &err) == 0);
    return j;
}

/* ---- order ---- */

enum chart_step chart_step_of(const json_t *o)
{
    static const struct {
        const char *kind;
        enum chart_step step;
    } steps[] = {{"Namespace", CHART_NAMESPACES},
                 {"CustomResourceDefinition", CHART_DEFINITIONS},
                 {"ServiceAccount", CHART_RIGHTS},
                 {"ClusterRole", CHART_RIGHTS},
                 {"ClusterRoleBinding", CHART_RIGHTS},
                 {"Role", CHART_RIGHTS},
                 {"RoleBinding", CHART_RIGHTS},
                 {"NetworkPolicy", CHART_RIGHTS},
                 {"DaemonSet", CHART_AGENTS},
                 {"MutatingWebhookConfiguration", CHART_WEBHOOKS},
                 {"ValidatingWebhookConfiguration", CHART_WEBHOOKS}};
    const char *kind = json_key_str(o, "kind"), *name = json_at_str(o, "metadata.name");
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (streq(steps[i].kind, kind))
            return steps[i].step;
    if (streq(kind, "Deployment"))
        return name && str_ends(str_from(name), STR("-control")) ? CHART_CONTROL : CHART_GATEWAYS;
    return CHART_SETTINGS;
}

bool chart_keeps(const json_t *o)
{
    return streq(json_key_str(json_at(o, "metadata.annotations"), "helm.sh/resource-policy"),
                 "keep");
}

/* ---- objects ---- */

struct document {
    json_t *object;
    char *text;
    enum chart_step step;
    size_t order;
};

struct documents {
    VEC(struct document) all;
};

static void documents_done(struct documents *d)
{
    VEC_FOREACH (x, &d->all) {
        json_decref(x->object);
        free(x->text);
    }
    vec_done(&d->all);
}

static int compare(const void *a, const void *b)
{
    const struct document *x = a, *y = b;
    if (x->step != y->step)
        return x->step < y->step ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int add_document(struct documents *d, const char *file, struct str text, struct err *reterr)
{
    AUTO_JSON json_t *objects = json_array();
    AUTO_DONE(buf) struct buf whole = {0}; /* a block of text at its end keeps its last newline */
    while (text.n && (text.p[0] == '\n' || text.p[0] == ' '))
        text = str_sub(text, 1, text.n);
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == ' '))
        text.n--;
    buf_add_str(&whole, text);
    buf_add_char(&whole, '\n');
    if (manifest_parse(buf_str(&whole), file, objects, reterr) < 0)
        return reterr ? reterr->code : -EINVAL;
    if (json_array_size(objects) > 1)
        return err_set(reterr, -EINVAL, NULL, "%s: a document with several objects", file);
    if (!json_array_size(objects))
        return 0;
    json_t *o = json_array_get(objects, 0);
    vec_push(&d->all, ((struct document){json_incref(o),
                                         file ? xasprintf("---\n# Source: %s/%s\n" STR_FMT "\n",
                                                          CHART_RELEASE, file, STR_ARG(text))
                                              : NULL,
                                         chart_step_of(o), d->all.n}));
    return 0;
}

/* Documents are parted by lines of ---. */
static int add_documents(struct documents *d, const char *file, struct str text, struct err *reterr)
{
    size_t from = 0;
    for (size_t at = 0; at <= text.n;) {
        const char *end = at < text.n ? memchr(text.p + at, '\n', text.n - at) : NULL;
        size_t next = end ? (size_t)(end - text.p) + 1 : text.n + 1;
        struct str line = str_sub(text, at, MIN(next, text.n));
        bool parts = str_starts(line, STR("---"));
        if (parts || next > text.n) {
            int r = add_document(d, file, str_sub(text, from, parts ? at : text.n), reterr);
            if (r < 0)
                return r;
            from = MIN(next, text.n);
        }
        at = next;
    }
    return 0;
}

static json_t *sorted(struct documents *d, struct buf *manifest)
{
    json_t *objects = json_array();
    if (d->all.n)
        qsort(d->all.v, d->all.n, sizeof(*d->all.v), compare);
    VEC_FOREACH (x, &d->all) {
        json_array_append(objects, x->object);
        if (manifest)
            buf_add_cstr(manifest, x->text);
    }
    return objects;
}

int chart_parse_manifest(struct str manifest, json_t **ret, struct err *reterr)
{
    AUTO_DONE(documents) struct documents d = {0};
    struct err err = {0};
    int r = add_documents(&d, NULL, manifest, &err);
    if (r == 0)
        *ret = sorted(&d, NULL);
    else if (reterr)
        *reterr = err;
    return r;
}

/* ---- rendering ---- */

static json_t *data_of(json_t *values)
{
    AUTO_JSON json_t *metadata = chart_metadata();
    return json_pack("{s:O,s:{s:s,s:s},s:{s:s,s:s},s:{}}", "Values", values, "Release", "Name",
                     CHART_RELEASE, "Namespace", CHART_NAMESPACE, "Chart", "Name",
                     json_key_str(metadata, "name"), "AppVersion",
                     json_key_str(metadata, "appVersion"), "Files");
}

static int compile(struct templates *t, struct err *reterr)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (!str_starts(str_from(files[i].name), STR(TEMPLATES)))
            continue;
        int r = templates_add(t, files[i].name, files[i].text, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int render_all(const struct templates *t, json_t *data, struct documents *d,
                      struct buf *notes, struct err *reterr)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(files) && r == 0; i++) {
        AUTO_DONE(buf) struct buf text = {0};
        const char *name = files[i].name;
        if (!str_starts(str_from(name), STR(TEMPLATES "")) ||
            name[strlen(TEMPLATES)] == '_') /* only what others include */
            continue;
        bool is_notes = streq(name, NOTES);
        r = templates_render(t, name, data, is_notes ? notes : &text, reterr);
        if (r == 0 && !is_notes)
            r = add_documents(d, name, buf_str(&text), reterr);
    }
    return r;
}

int chart_render(json_t *values, struct chart_output *ret, struct err *reterr)
{
    AUTO(templates) struct templates *t = templates_new(files, ARRAY_LEN(files));
    AUTO_DONE(documents) struct documents d = {0};
    AUTO_JSON json_t *data = data_of(values);
    struct err err = {0};
    *ret = (struct chart_output){0};
    int r = compile(t, &err);
    r = r < 0 ? r : render_all(t, data, &d, &ret->notes, &err);
    if (r == 0)
        ret->objects = sorted(&d, &ret->manifest);
    else if (reterr)
        *reterr = err;
    return r;
}

void chart_output_done(struct chart_output *o)
{
    json_decref(o->objects);
    buf_done(&o->manifest);
    buf_done(&o->notes);
    *o = (struct chart_output){0};
}
