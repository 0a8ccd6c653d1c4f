/* What a structural schema does to an object before it is checked: unknown members go (pruning),
 * what is missing gets its default. In place, on trees. */
#include "lab/apiserver/crd_schema.h"

/* ---- pruning ---- */

struct pruner {
    struct schema_findings *findings;
    struct buf path;
};

static void prune_node(struct pruner *p, const struct crd_node *n, json_t *value, bool typed);

static size_t path_add(struct buf *path, const char *name)
{
    size_t was = path->n;
    buf_addf(path, "%s%s", path->n ? "." : "", name);
    return was;
}

/* kind, apiVersion and metadata of an object that stands for itself are not the schema's. */
static bool is_type_meta(const char *name)
{
    return streq(name, "kind") || streq(name, "apiVersion") || streq(name, "metadata");
}

static void prune_object(struct pruner *p, const struct crd_node *n, json_t *object, bool typed)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value)
    {
        const struct crd_node *of = crd_property(n, name);
        if (typed && is_type_meta(name))
            continue;
        if (!of)
            of = n->additional;
        size_t was = path_add(&p->path, name);
        if (of) {
            prune_node(p, of, value, of->embedded);
        } else if (!n->preserve) {
            if (p->findings)
                schema_findings_add(p->findings, "unknown field \"%s\"", buf_cstr(&p->path));
            json_object_del(object, name);
        }
        p->path.n = was;
    }
}

static void prune_node(struct pruner *p, const struct crd_node *n, json_t *value, bool typed)
{
    size_t i;
    json_t *item;
    if (json_is_object(value)) {
        /* a value that may be anything is not looked into */
        if (n->n_properties || n->additional || !n->preserve)
            prune_object(p, n, value, typed);
        return;
    }
    if (!n->items)
        return;
    json_array_foreach(value, i, item)
    {
        size_t was = p->path.n;
        buf_addf(&p->path, "[%zu]", i);
        prune_node(p, n->items, item, n->items->embedded);
        p->path.n = was;
    }
}

void crd_prune(const struct crd_node *n, json_t *value, bool root, struct schema_findings *f)
{
    struct pruner p = {.findings = f};
    prune_node(&p, n, value, root);
    buf_done(&p.path);
}

/* ---- defaults ---- */

static void default_members(const struct crd_node *n, json_t *object)
{
    for (size_t i = 0; i < n->n_properties; i++) {
        const struct crd_property *p = &n->properties[i];
        json_t *value = json_object_get(object, p->name);
        if (json_is_null(value) && !p->node->nullable) {
            json_object_del(object, p->name);
            value = NULL;
        }
        if (!value && p->node->def) {
            value = json_deep_copy(p->node->def);
            json_object_set_new(object, p->name, value);
        }
        if (value)
            crd_default(p->node, value);
    }
}

static void default_others(const struct crd_node *n, json_t *object)
{
    const char *name;
    json_t *value;
    void *next;
    if (!n->additional)
        return;
    json_object_foreach_safe(object, next, name, value)
    {
        if (crd_property(n, name))
            continue;
        if (json_is_null(value) && !n->additional->nullable)
            json_object_del(object, name);
        else
            crd_default(n->additional, value);
    }
}

void crd_default(const struct crd_node *n, json_t *value)
{
    json_t *item;
    size_t i;
    if (json_is_object(value)) {
        default_members(n, value);
        default_others(n, value);
    } else if (n->items) {
        json_array_foreach(value, i, item) crd_default(n->items, item);
    }
}
