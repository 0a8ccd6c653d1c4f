/* The report of the Ingresses. What control says of an Ingress by findings is taken over; snippets
 * are read for what stands for their directives. */
#include "model/migrate.h"

#include "base/vec.h"
#include "model/ingress_annotations.h"
#include "model/migrate_priv.h"
#include "model/snippet.h"

/* ---- notes ---- */

static void subject_done(struct migrate_subject *s)
{
    VEC_FOREACH (n, s) {
        free(n->field);
        free(n->message);
        free(n->action);
    }
    free(s->v);
    free(s->object);
}

void migrate_report_done(struct migrate_report *r)
{
    for (size_t i = 0; i < r->n_ingresses; i++)
        subject_done(&r->ingresses[i]);
    for (size_t i = 0; i < r->n_controllers; i++)
        subject_done(&r->controllers[i]);
    free(r->ingresses);
    free(r->controllers);
    *r = (struct migrate_report){0};
}

/* ---- annotations ---- */

/* Where what works still shows a difference: docs/ingress-nginx.md says the same. */
static const struct {
    const char *name, *what;
} differences[] = {
    {"enable-cors", "CORS headers go to requests with an allowed Origin alone; ingress-nginx sends "
                    "* to those without one, too"},
    {"proxy-read-timeout",
     "it is the time in which an endpoint must say something; then another is tried"},
    {"custom-headers",
     "a field that is not allowed, or has a variable, is left out, and one Event tells; "
     "ingress-nginx answers 503"},
    {"custom-http-errors", "the request for an error's answer goes without its body; without a "
                           "default-backend it has no effect"},
    {"session-cookie-expires", "it is sent as Max-Age, which browsers heed first"},
    {"session-cookie-change-on-failure",
     "the cookie names a pod, as in mode persistent, and follows to the one that answered"},
    {"load-balance", "ewma prefers the pod with fewer requests under way, of two"},
    {"mirror-target", "copies go out when the request is whole, and nobody waits for them"},
    {"upstream-hash-by", "a request without what is hashed goes to any pod, not all to one"},
    {"from-to-www-redirect", "the redirect has no port"},
    {"proxy-ssl-verify", "the name must stand in the certificate's alternative names; without "
                         "proxy-ssl-name it is NAME.NAMESPACE.svc of the Service"},
    {"rewrite-target", "the path that captures are taken from is in its normal form"},
    {"proxy-redirect-from", "expressions and variables are not taken"},
    {"limit-rate", "it holds without proxy-buffering, too"},
    {"permanent-redirect", "the answer is a line of text, not an HTML page"},
    {"temporal-redirect", "the answer is a line of text, not an HTML page"},
};

static const char *difference_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(differences); i++)
        if (streq(differences[i].name, name))
            return differences[i].what;
    return NULL;
}

static const struct finding *finding_of(const struct findings *f, const char *field)
{
    for (size_t i = 0; f && i < f->n; i++)
        if (streq(f->v[i].field, field))
            return &f->v[i];
    return NULL;
}

/* ---- snippets ---- */

static char *action_of(const struct snippet_advice *a)
{
    AUTO_DONE(buf) struct buf b = {0};
    const char *state = a->annotation ? migrate_annotation_state(a->annotation) : NULL;
    if (a->annotation) {
        buf_addf(&b, "%s%s", INGRESS_NGINX_PREFIX, a->annotation);
        if (a->value)
            buf_addf(&b, ": \"%s\"", a->value);
        if (a->note)
            buf_addf(&b, "; %s", a->note);
        if (!streq(state, "read"))
            buf_addf(&b, " (not done yet)");
    } else if (a->note) {
        buf_add_cstr(&b, a->note);
    }
    return b.n ? buf_take_cstr(&b) : NULL;
}

static void add_directive(struct migrate_subject *s, const char *field, const struct snippet *all,
                          size_t at)
{
    static const char *const words[] = {[SNIPPET_TYPED] = "an annotation says it",
                                        [SNIPPET_NEEDLESS] = "it is so anyway",
                                        [SNIPPET_NOTHING] = "nothing says it"};
    const struct snippet_directive *d = &all->v[at];
    struct snippet_advice a;
    AUTO_DONE(buf) struct buf text = {0};
    snippet_advise(all, at, &a);
    buf_add_cstr(&text, d->name);
    for (size_t i = 0; i < d->n_args; i++)
        buf_addf(&text, " %.60s", d->args[i]);
    AUTO_CHARS char *action = action_of(&a);
    migrate_note_add(s, MIGRATE_CHANGE, field, action, "line %u, %.200s%s: %s", d->line,
                     buf_cstr(&text), d->block ? " {…}" : "", words[a.fate]);
    free(a.value);
}

/* What stands in a condition is part of it. */
static void add_snippet(struct migrate_subject *s, const char *field, const char *text)
{
    AUTO_DONE(snippet) struct snippet snippet = {0};
    struct err err = {0};
    int code = snippet_parse(str_from(text), &snippet, &err);
    migrate_note_add(s, MIGRATE_CHANGE, field, "remove it when what it says is said otherwise",
                     "a snippet is text for another server's configuration: it has no effect here");
    for (size_t i = 0; i < snippet.n; i++) {
        const struct snippet_directive *d = &snippet.v[i];
        add_directive(s, field, &snippet, i);
        while (streq(d->name, "if") && d->block && i + 1 < snippet.n &&
               snippet.v[i + 1].depth > d->depth)
            i++;
    }
    if (code < 0)
        migrate_note_add(s, MIGRATE_CHANGE, field, "read it yourself",
                         "the rest cannot be read: %s", err_text(&err));
}

static void add_annotation(struct migrate_subject *s, const struct ingress_annotation *a,
                           const struct findings *found)
{
    AUTO_CHARS char *field =
        xasprintf("metadata.annotations[%s%.128s]", INGRESS_NGINX_PREFIX, a->name);
    const struct finding *f = finding_of(found, field);
    const char *state = migrate_annotation_state(a->name), *differs = difference_of(a->name);
    bool read = state && (streq(state, "read") || streq(state, "protects"));
    if (!state)
        migrate_note_add(s, MIGRATE_WORKS, field, "remove it, or correct its name",
                         "no annotation of ingress-nginx: without effect, as there");
    else if (streq(state, "refused"))
        add_snippet(s, field, a->value);
    else if (read && f)
        migrate_note_add(s, f->severity == FINDING_ERROR ? MIGRATE_CHANGE : MIGRATE_DIFFERS, field,
                         "correct the value",
                         "%s (ingress-nginx may leave the whole Ingress "
                         "unserved for it)",
                         f->message);
    else if (read && differs)
        migrate_note_add(s, MIGRATE_DIFFERS, field, NULL, "%s", differs);
    else if (read)
        migrate_note_add(s, MIGRATE_WORKS, field, NULL, "works");
    else if (streq(state, "needless"))
        migrate_note_add(s, MIGRATE_WORKS, field, NULL, "nothing to do: %s",
                         ingress_annotation_needless(a->name));
    else if (!f)
        migrate_note_add(s, MIGRATE_WORKS, field, NULL, "it asks for nothing that is not so here");
    else
        migrate_note_add(s, MIGRATE_CHANGE, field, "wait for it, or do it in the backend",
                         streq(state, "guards")
                             ? "not done yet; because it protects, the paths answer 503"
                             : "not done yet: its default is in force");
}

/* ---- one Ingress ---- */

static bool is_of_annotations(const struct finding *f)
{
    return str_starts(str_from(f->field), STR("metadata.annotations["));
}

/* What was amiss before is so afterwards: told, but it is no work of the move. Paths that are not
 * served are. What is wrong with annotations was told with them, but for what shows at a host. */
static void add_finding(struct migrate_subject *s, const struct finding *f, bool of_host)
{
    bool change = f->severity == FINDING_ERROR;
    if (!is_of_annotations(f) || (of_host && change))
        migrate_note_add(s, change ? MIGRATE_CHANGE : MIGRATE_WORKS, f->field, f->hint, "%s",
                         f->message);
}

static void add_findings(const struct ingress_snapshot *snapshot, struct migrate_subject *s,
                         const struct ingress_object *i)
{
    const struct findings *own = ingress_routes_findings(snapshot->routes, str_from(i->key));
    for (size_t n = 0; own && n < own->n; n++)
        add_finding(s, &own->v[n], false);
    for (size_t h = 0; h < snapshot->n_hosts; h++) {
        const struct findings *of = &snapshot->sorted[h]->findings;
        for (size_t n = 0; n < of->n; n++)
            if (streq(of->v[n].object, i->key) && !streq(of->v[n].id, "ServiceNotFound"))
                add_finding(s, &of->v[n], true);
    }
}

static void look_at_ingress(const struct ingress_snapshot *snapshot, const struct ingress_object *i,
                            struct migrate_subject *s)
{
    const struct findings *found = ingress_routes_findings(snapshot->routes, str_from(i->key));
    s->object = xstrdup(i->key);
    for (uint32_t a = 0; a < i->n_annotations; a++)
        add_annotation(s, &i->annotations[a], found);
    add_findings(snapshot, s, i);
}

static int by_object(const void *a, const void *b)
{
    return strcmp(((const struct migrate_subject *)a)->object,
                  ((const struct migrate_subject *)b)->object);
}

void migrate_look(const json_t *objects, const char *class_name, struct migrate_report *ret)
{
    static const char *const controllers[] = {INGRESS_CONTROLLER_NGINX, NULL};
    const struct ingress_options options = {.controllers = controllers, .class_name = class_name};
    AUTO_CHARS char *settings = migrate_settings_name(objects);
    AUTO(ingress_snapshot)
    struct ingress_snapshot *snapshot = ingress_snapshot_new(&options, settings, objects);
    VEC(struct migrate_subject) list = {0};
    const struct ingress_object *i;
    json_t *j;
    size_t n;
    *ret = (struct migrate_report){0};
    for (size_t at = 0; ingress_routes_next(snapshot->routes, &at, &i);) {
        struct migrate_subject *s = vec_add(&list);
        look_at_ingress(snapshot, i, s);
        ret->counts[s->verdict]++;
    }
    json_array_foreach((json_t *)(uintptr_t)objects, n, j) ret->others +=
        streq(json_key_str(j, "kind"), "Ingress");
    if (list.n)
        qsort(list.v, list.n, sizeof(*list.v), by_object);
    ret->others -= MIN(ret->others, list.n);
    ret->ingresses = list.v;
    ret->n_ingresses = list.n;
    migrate_look_at_controllers(objects, ret);
}
