/* Selections: namespace, label selector, field selector of one list or watch. Matching reads the
 * parsed labels and fields of stored objects, never their JSON. */
#include <errno.h>

#include "codec/url.h"
#include "lab/apiserver/api_priv.h"

int api_selection_parse(struct api_request *r, struct api_selection *ret, struct err *reterr)
{
    AUTO_CHARS char *labels = url_param(r->query, "labelSelector");
    AUTO_CHARS char *fields = url_param(r->query, "fieldSelector");
    *ret = (struct api_selection){.kind = r->kind, .ns = xstrdup(r->ns)};
    int code = 0;
    if (!str_empty(labels))
        code = label_selector_parse(labels, &ret->labels, reterr);
    if (code == 0 && !str_empty(fields))
        code = field_selector_parse(r->kind, fields, &ret->fields, reterr);
    if (code == 0 && r->name) { /* a watch of one object by its path */
        AUTO_CHARS char *one = xasprintf("metadata.name=%s", r->name);
        field_selector_free(ret->fields);
        ret->fields = NULL;
        code = field_selector_parse(r->kind, one, &ret->fields, reterr);
    }
    if (code < 0)
        api_selection_done(ret);
    return code;
}

void api_selection_done(struct api_selection *s)
{
    label_selector_free(s->labels);
    field_selector_free(s->fields);
    free(s->ns);
    *s = (struct api_selection){0};
}

static const char *find_label(void *user, const char *key)
{
    const struct object *o = user;
    for (size_t i = 0; i < o->n_labels; i++)
        if (streq(o->labels[i].key, key))
            return o->labels[i].value;
    return NULL;
}

struct fields_of {
    const struct api_kind
        *kind; /* the form asked for: its paths stand in the order of the stored ones */
    const struct object *object;
};

static const char *find_field(void *user, const char *path)
{
    const struct fields_of *f = user;
    if (streq(path, "metadata.name"))
        return f->object->name;
    if (streq(path, "metadata.namespace"))
        return f->object->ns;
    for (size_t i = 0; i < f->object->n_fields; i++)
        if (streq(f->kind->field_paths[i], path))
            return f->object->fields[i];
    return NULL;
}

bool api_selection_matches(const struct api_selection *s, const struct object *o)
{
    void *user = (void *)(uintptr_t)o;
    if (*s->ns && !streq(s->ns, o->ns))
        return false;
    if (s->labels && !label_selector_match(s->labels, find_label, user))
        return false;
    struct fields_of fields = {s->kind, o};
    return !s->fields || field_selector_match(s->fields, find_field, &fields);
}
