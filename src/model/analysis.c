/* The whole of an analysis, and whose an Ingress is. */
#include <stdio.h>

#include "model/analysis_priv.h"

static const struct analysis_code codes[] = {
#define CODE(code, id, kind, severity, what) {code, id, kind, severity, what},
#include "model/analysis_codes.def"
#undef CODE
};

const struct analysis_code *analysis_code_row(size_t n)
{
    return n < ARRAY_LEN(codes) ? &codes[n] : NULL;
}

const struct analysis_code *analysis_code_find(const char *id)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (streq(codes[i].id, id))
            return &codes[i];
    return NULL;
}

/* ---- what the control plane says ---- */

/* Of what is absent nothing is said where not all is known. */
static bool is_to_be_told(const struct analysis *a, const struct finding *f)
{
    return !streq(f->id, "ServiceNotFound") || a->in->knows_services;
}

static void copy(const struct analysis *a, const struct findings *from)
{
    for (size_t i = 0; from && i < from->n; i++) {
        const struct finding *f = &from->v[i];
        if (is_to_be_told(a, f))
            finding_add(a->out, f->severity, f->id, f->object, f->field, f->hint, "%s", f->message);
    }
}

static void say_what_control_says(const struct analysis *a)
{
    const struct ingress_object *i;
    for (size_t at = 0; ingress_routes_next(a->snapshot->routes, &at, &i);)
        copy(a, ingress_routes_findings(a->snapshot->routes, str_from(i->key)));
    for (size_t h = 0; h < a->snapshot->n_hosts; h++)
        copy(a, &a->snapshot->sorted[h]->findings);
}

/* ---- classes ---- */

static const json_t *find_class(const struct analysis *a, const char *name)
{
    json_t *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)a->in->objects, i,
                       j) if (analysis_is(j, "IngressClass") &&
                              streq(json_at_str(j, "metadata.name"), name)) return j;
    return NULL;
}

static void check_class(const struct analysis *a, const json_t *j)
{
    AUTO(ingress_object) struct ingress_object *i = ingress_object_decode(j);
    if (!i || ingress_routes_find(a->snapshot->routes, str_from(i->key)))
        return;
    const char *name = i->class_ ? i->class_ : i->class_annotation;
    const char *field = i->class_ ? "spec.ingressClassName"
                        : name    ? "metadata.annotations[kubernetes.io/ingress.class]"
                                  : "spec.ingressClassName";
    const json_t *c = name ? find_class(a, name) : NULL;
    if (c)
        finding_add(a->out, FINDING_INFO, "ClassOfAnother", i->key, field, NULL,
                    "class %s is served by %s: nothing more is said of this Ingress", name,
                    json_at_str(c, "spec.controller") ? json_at_str(c, "spec.controller")
                                                      : "nobody");
    else if (name && a->in->knows_classes)
        finding_add(a->out, FINDING_WARNING, "ClassNotFound", i->key, field,
                    "create the IngressClass, or name one that is there: kubectl get "
                    "ingressclasses",
                    "there is no IngressClass %s: nobody serves this Ingress", name);
    else if (name)
        finding_add(a->out, FINDING_INFO, "ClassOfAnother", i->key, field,
                    "add the IngressClass to what is looked at",
                    "class %s is not known: nothing more is said of this Ingress", name);
    else
        finding_add(a->out, a->in->knows_classes ? FINDING_WARNING : FINDING_INFO, "ClassMissing",
                    i->key, field, "name a class", "this Ingress is of no class");
}

static bool is_default_class(const json_t *j)
{
    return analysis_is(j, "IngressClass") &&
           streq(json_key_str(json_at(j, "metadata.annotations"),
                              "ingressclass.kubernetes.io/is-default-class"),
                 "true");
}

void analysis_classes(const struct analysis *a)
{
    const char *first = NULL;
    json_t *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)a->in->objects, i, j)
    {
        if (analysis_is(j, "Ingress"))
            check_class(a, j);
        if (!is_default_class(j))
            continue;
        const char *name = json_at_str(j, "metadata.name");
        if (first && !streq(first, name))
            finding_add(a->out, FINDING_WARNING, "ClassesDefault", name,
                        "metadata.annotations[ingressclass.kubernetes.io/is-default-class]",
                        "leave it on one of them", "class %s is marked as the default, too", first);
        first = first ? first : name;
    }
}

/* ---- the whole ---- */

static int by_object(const void *x, const void *y)
{
    const struct finding *a = x, *b = y;
    int d = strcmp(a->object, b->object);
    const char *code_a = analysis_code_find(a->id) ? analysis_code_find(a->id)->code : a->id,
               *code_b = analysis_code_find(b->id) ? analysis_code_find(b->id)->code : b->id;
    d = d ? d : strcmp(code_a, code_b);
    d = d ? d : strcmp(a->field, b->field);
    return d ? d : strcmp(a->message, b->message);
}

void analysis_run(const struct analysis_input *in, struct findings *ret)
{
    AUTO(ingress_snapshot)
    struct ingress_snapshot *s = ingress_snapshot_new(in->ingress, NULL, in->objects);
    const struct analysis a = {in, s, ret};
    analysis_certificates(&a); /* first: it tells hosts of absent Secrets, as control does */
    say_what_control_says(&a);
    analysis_classes(&a);
    analysis_routes(&a);
    analysis_services(&a);
    analysis_settings(&a);
    analysis_mesh(&a);
    analysis_addresses(&a);
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_object);
}
