/* The shapes server-side apply works by. Constant data and pure functions. */
#include "lab/apiserver/apply_type.h"

#include "kube/schema_tables.h"

/* Messages that are one value wherever they stand (x-kubernetes-map-type: atomic of their type in
 * the API's own OpenAPI). */
static const char atomic_messages[] =
    "ConfigMapKeySelector|EndpointAddress|EndpointPort|LabelSelector|LocalObjectReference|"
    "NodeSelector|NodeSelectorTerm|ObjectFieldSelector|ObjectReference|OwnerReference|"
    "ResourceFieldSelector|RoleRef|SecretKeySelector|ServiceBackendPort|TypedLocalObjectReference";

struct apply_type apply_type_of_kind(const struct api_kind *k)
{
    if (k->custom)
        return (struct apply_type){.node = k->custom->schema->root, .root = true, .always = true};
    return (struct apply_type){.object = k->schema, .always = true};
}

static enum apply_shape shape_of_node(const struct crd_node *n, const json_t *value)
{
    if (json_is_object(value))
        return n->map_atomic ? APPLY_LEAF : APPLY_MAP;
    if (json_is_array(value))
        return n->list == CRD_LIST_SET   ? APPLY_SET
               : n->list == CRD_LIST_MAP ? APPLY_KEYED
                                         : APPLY_LEAF;
    return APPLY_LEAF;
}

enum apply_shape apply_shape(const struct apply_type *t, const json_t *value)
{
    const struct schema_field *f = t->field;
    if (t->node)
        return shape_of_node(t->node, value);
    if (f && f->atomic)
        return APPLY_LEAF;
    if (json_is_object(value))
        return t->object && value_is_listed(atomic_messages, t->object->name) ? APPLY_LEAF
                                                                              : APPLY_MAP;
    if (!json_is_array(value) || !f || f->shape != SHAPE_LIST)
        return APPLY_LEAF;
    return f->map_keys ? APPLY_KEYED : f->set ? APPLY_SET : APPLY_LEAF;
}

static struct apply_type member_of_node(const struct apply_type *t, const char *name)
{
    if (t->root && streq(name, "metadata"))
        return (struct apply_type){.object = &schema_object_meta, .always = true};
    const struct crd_node *n = crd_property(t->node, name);
    return (struct apply_type){.node = n ? n : t->node->additional};
}

struct apply_type apply_member(const struct apply_type *t, const char *name)
{
    if (t->node)
        return member_of_node(t, name);
    if (t->field && t->field->shape == SHAPE_MAP) /* a map of messages */
        return (struct apply_type){.object = t->field->type == FIELD_OBJECT ? t->field->of : NULL};
    const struct schema_field *f = t->object ? schema_find(t->object, str_from(name)) : NULL;
    if (!f)
        return (struct apply_type){0};
    bool one = f->shape == SHAPE_ONE && f->type == FIELD_OBJECT;
    return (struct apply_type){.field = f,
                               .object = one ? f->of : NULL,
                               /* a Go server's zero value has structs that are no pointers, and
                                * null of what it does not omit */
                               .always = t->always &&
                                         ((one && !f->pointer) || (!f->omitempty && !f->pointer))};
}

bool apply_is_declared(const struct apply_type *t, const char *name)
{
    static const char common[] = "kind|apiVersion|metadata";
    if (t->node)
        return crd_property(t->node, name) || (t->root && value_is_listed(common, name));
    return t->object && schema_find(t->object, str_from(name));
}

struct apply_type apply_items(const struct apply_type *t)
{
    if (t->node)
        return (struct apply_type){.node = t->node->items};
    return (struct apply_type){.object = t->field && t->field->type == FIELD_OBJECT ? t->field->of
                                                                                    : NULL};
}

/* A key's value; where it is left out, its default. A new reference, NULL: none. */
static json_t *key_value(const struct apply_type *t, const json_t *item, const char *name)
{
    json_t *v = json_object_get(item, name), *def = NULL;
    if (v)
        return json_incref(v);
    if (t->node) {
        const struct crd_node *n = crd_property(t->node->items, name);
        return n ? json_incref(n->def) : NULL;
    }
    const struct schema_field *f = t->field->of ? schema_find(t->field->of, str_from(name)) : NULL;
    if (f && f->def)
        def = json_loads(f->def, JSON_DECODE_ANY, NULL);
    return def;
}

/* By name, as FieldsV1 has them. */
static void add_key(json_t *keys, const struct apply_type *t, const json_t *item, const char *name)
{
    json_t *v = key_value(t, item, name);
    if (v)
        json_object_set_new(keys, name, v);
}

static char *keys_text(const json_t *keys)
{
    char *sorted = json_dumps(keys, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char *text = xasprintf("k:%s", sorted);
    free(sorted);
    return text;
}

char *apply_element_key(const struct apply_type *t, enum apply_shape shape, const json_t *item)
{
    AUTO_JSON json_t *keys = json_object();
    AUTO_DONE(buf) struct buf b = {0};
    if (shape == APPLY_SET || !json_is_object(item)) {
        buf_add_cstr(&b, "v:");
        json_write(&b, item);
        return buf_take_cstr(&b);
    }
    if (t->node) {
        for (size_t i = 0; i < t->node->keys.n; i++)
            add_key(keys, t, item, t->node->keys.v[i]);
    } else {
        struct str rest = str_from(t->field->map_keys);
        while (rest.p) {
            AUTO_CHARS char *name = str_dup(str_cut(rest, ',', &rest));
            add_key(keys, t, item, name);
        }
    }
    return keys_text(keys); /* none of them is a key, too: what it lacks the checks tell */
}
