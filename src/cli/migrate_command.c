/* fairlead migrate ingress-nginx: what works, what differs, what is to be changed. */
#include <stdio.h>

#include "cli/cli_output.h"
#include "cli/object_source.h"
#include "model/migrate.h"

struct migrate_args {
    struct cli_session session;
    struct arg_list files, words;
    const char *output, *class_name;
};

static const char *const words[] = {
    [MIGRATE_WORKS] = "works", [MIGRATE_DIFFERS] = "differs", [MIGRATE_CHANGE] = "change"};

/* ---- as data ---- */

static json_t *subject_json(struct object_source *source, const struct migrate_subject *s,
                            bool ingress)
{
    json_t *notes = json_array();
    for (size_t i = 0; i < s->n; i++) {
        const struct migrate_note *n = &s->v[i];
        AUTO_CHARS char *place =
            ingress ? object_source_place(source, "Ingress", s->object, n->field) : NULL;
        json_array_append_new(
            notes,
            json_pack("{s:s,s:o,s:o,s:o*,s:s*}", "verdict", words[n->verdict], "field",
                      json_text(str_from(n->field)), "message", json_text(str_from(n->message)),
                      "action", n->action ? json_text(str_from(n->action)) : NULL, "place", place));
    }
    return json_pack("{s:s,s:s,s:o}", "object", s->object, "verdict", words[s->verdict], "notes",
                     notes);
}

static json_t *report_json(struct object_source *source, const struct migrate_report *r)
{
    json_t *ingresses = json_array(), *controllers = json_array();
    for (size_t i = 0; i < r->n_ingresses; i++)
        json_array_append_new(ingresses, subject_json(source, &r->ingresses[i], true));
    for (size_t i = 0; i < r->n_controllers; i++)
        json_array_append_new(controllers, subject_json(source, &r->controllers[i], false));
    return json_pack("{s:s,s:s,s:{s:I,s:I,s:I,s:I,s:I},s:o,s:o}", "apiVersion", "fairlead.dev/v1",
                     "kind", "MigrationReport", "summary", "ingresses", (json_int_t)r->n_ingresses,
                     "works", (json_int_t)r->counts[MIGRATE_WORKS], "differs",
                     (json_int_t)r->counts[MIGRATE_DIFFERS], "change",
                     (json_int_t)r->counts[MIGRATE_CHANGE], "ofOtherClasses", (json_int_t)r->others,
                     "controllers", controllers, "ingresses", ingresses);
}

/* ---- as text ---- */

/* A field that stands in the line before is not repeated. */
static void print_subject(const char *kind, const json_t *s)
{
    const char *before = NULL;
    json_t *n;
    size_t i;
    printf("\n%s%s: %s\n", kind, json_key_str(s, "object"), json_key_str(s, "verdict"));
    json_array_foreach(json_object_get(s, "notes"), i, n)
    {
        const char *place = json_key_str(n, "place"), *action = json_key_str(n, "action"),
                   *field = json_key_str(n, "field"), *message = json_key_str(n, "message");
        if (streq(field, before))
            printf("          %s\n", message);
        else
            printf("  %-7s %s%s%s%s: %s\n", json_key_str(n, "verdict"), field, place ? " (" : "",
                   place ? place : "", place ? ")" : "", message);
        before = field;
        if (action)
            printf("          -> %s\n", action);
    }
}

static void print_text(const json_t *report)
{
    const json_t *sum = json_object_get(report, "summary");
    json_t *s;
    size_t i;
    printf("%lld Ingresses of ingress-nginx: %lld work, %lld differ, %lld need a change; %lld of "
           "other classes\n",
           (long long)json_at_int(sum, "ingresses", 0), (long long)json_at_int(sum, "works", 0),
           (long long)json_at_int(sum, "differs", 0), (long long)json_at_int(sum, "change", 0),
           (long long)json_at_int(sum, "ofOtherClasses", 0));
    json_array_foreach(json_object_get(report, "controllers"), i, s) print_subject("", s);
    json_array_foreach(json_object_get(report, "ingresses"), i, s) print_subject("Ingress ", s);
}

/* ---- the command ---- */

static int report(const struct migrate_args *a, struct object_source *s)
{
    struct migrate_report r;
    bool work;
    migrate_look(s->list, a->class_name, &r);
    AUTO_JSON json_t *j = report_json(s, &r);
    work = r.counts[MIGRATE_CHANGE];
    for (size_t i = 0; i < r.n_controllers; i++)
        work = work || r.controllers[i].verdict == MIGRATE_CHANGE;
    migrate_report_done(&r);
    if (streq(a->output, "text"))
        print_text(j);
    else
        cli_print_object(a->output, j);
    return work ? EXIT_FINDINGS : EXIT_OK;
}

static int run(struct migrate_args *a)
{
    struct object_source s = {0};
    if (a->words.n != 1 || !streq(a->words.v[0], "ingress-nginx"))
        return program_fail(EXIT_USAGE_ERROR, "fairlead migrate ingress-nginx",
                            "name what to move from: ingress-nginx");
    int code = cli_check_output(a->output, "text");
    if (code < 0 && a->files.n) {
        code = object_source_read_files(&s, &a->files, false, a->session.namespace_);
        object_source_imply_classes(&s);
    } else if (code < 0) {
        code = cli_session_open(&a->session);
        code = code < 0 ? object_source_read_cluster(&s, &a->session, OBJECTS_FOR_MIGRATION) : code;
    }
    if (code < 0)
        code = report(a, &s);
    object_source_done(&s);
    return code;
}

int cli_migrate(int argc, char **argv)
{
    struct migrate_args a = {.output = "text", .class_name = "nginx"};
    struct arg args[] = {
        {"filename", 'f', ARG_STRINGS, &a.files, "FILE",
         "manifests instead of the cluster: Ingresses, IngressClasses, the controller's Deployment "
         "and ConfigMaps (repeat)",
         0, 0, false},
        {"ingress-class", 0, ARG_STRING, &a.class_name, "NAME",
         "what kubernetes.io/ingress.class says for ingress-nginx (default nginx)", 0, 0, false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "text, json or yaml (default text)", 0, 0,
         false},
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {"fairlead migrate",
                              "says what it takes to move from ingress-nginx: what works, what "
                              "differs, what is to be changed",
                              "ingress-nginx [-f FILE…] [flags]",
                              "  fairlead migrate ingress-nginx\n"
                              "  fairlead migrate ingress-nginx -f manifests/ -o json\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    arg_list_done(&a.files);
    arg_list_done(&a.words);
    return code;
}
