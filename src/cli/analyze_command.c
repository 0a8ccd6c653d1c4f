/* fairlead analyze: everything there is to say about the Ingresses of a cluster, or of files. */
#include <stdio.h>

#include "base/time.h"
#include "cli/certificate_source.h"
#include "cli/cli_output.h"
#include "cli/object_source.h"
#include "model/analysis.h"

struct analyze_args {
    struct cli_session session;
    struct arg_list files, directories, suppressed;
    const char *output, *class_name, *failure, *level;
    bool all;
};

static const char *const severities[] = {"info", "warning", "error"};

/* "info", "warning", "error"; negative: none of them. */
static int severity_of(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(severities); i++)
        if (streq(word, severities[i]))
            return (int)i;
    return -1;
}

/* ---- what is told ---- */

/* CODE, or CODE=OBJECT. */
static bool is_suppressed(const struct analyze_args *a, const char *code, const char *object)
{
    for (size_t i = 0; i < a->suppressed.n; i++) {
        struct str of, which = str_cut(str_from(a->suppressed.v[i]), '=', &of);
        if (str_is(which, code) && (!of.p || str_is(of, object)))
            return true;
    }
    return false;
}

static bool is_shown(const struct analyze_args *a, const struct finding *f, const char *code)
{
    struct str name, ns = str_cut(str_from(f->object), '/', &name);
    bool here =
        a->files.n || a->directories.n || a->all || !name.p || str_is(ns, a->session.namespace_);
    return here && (int)f->severity >= severity_of(a->level) && !is_suppressed(a, code, f->object);
}

static json_t *finding_json(struct object_source *s, const struct finding *f,
                            const struct analysis_code *c)
{
    AUTO_CHARS char *place = object_source_place(s, c->kind, f->object, f->field);
    AUTO_CHARS char *docs = xasprintf("docs/analyze.md#%s", c->code);
    for (char *p = docs; *p; p++)
        if (p > strchr(docs, '#') && *p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:s*,s:s*,s:s}", "code", c->code, "id", f->id,
                     "severity", severities[f->severity], "kind", c->kind, "object", f->object,
                     "field", json_text(str_from(f->field)), "message",
                     json_text(str_from(f->message)), "hint", f->hint, "place", place, "docs",
                     docs);
}

/* The worst severity that is told; negative: nothing. */
static int collect(const struct analyze_args *a, struct object_source *s, const struct findings *f,
                   json_t *list)
{
    static const struct analysis_code unlisted = {"FL0000", "", "Ingress", "", ""};
    int worst = -1;
    for (size_t i = 0; i < f->n; i++) {
        const struct analysis_code *c = analysis_code_find(f->v[i].id);
        c = c ? c : &unlisted;
        if (!is_shown(a, &f->v[i], c->code))
            continue;
        worst = MAX(worst, (int)f->v[i].severity);
        json_array_append_new(list, finding_json(s, &f->v[i], c));
    }
    return worst;
}

static void print_text(const json_t *list)
{
    json_t *f;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, f)
    {
        const char *place = json_key_str(f, "place"), *hint = json_key_str(f, "hint"),
                   *field = json_key_str(f, "field");
        printf("%s [%s] %s %s%s%s%s%s%s: %s\n", json_key_str(f, "severity"),
               json_key_str(f, "code"), json_key_str(f, "kind"), json_key_str(f, "object"),
               place ? " (" : "", place ? place : "", place ? ")" : "", *field ? " " : "", field,
               json_key_str(f, "message"));
        if (hint)
            printf("  hint: %s\n", hint);
        printf("  docs: %s\n", json_key_str(f, "docs"));
    }
}

static void print(const struct analyze_args *a, json_t *list)
{
    AUTO_JSON json_t *all = json_pack("{s:s,s:s,s:O}", "apiVersion", "fairlead.dev/v1", "kind",
                                      "Analysis", "findings", list);
    if (!streq(a->output, "text"))
        cli_print_object(a->output, all);
    else
        print_text(list);
    if (!json_array_size(list))
        fprintf(stderr, "nothing is to be told\n");
}

/* ---- the command ---- */

static int read_objects(struct analyze_args *a, struct object_source *s)
{
    int code = -1;
    if (!a->files.n && !a->directories.n) {
        code = cli_session_open(&a->session);
        return code < 0 ? object_source_read_cluster(s, &a->session, OBJECTS_FOR_ANALYSIS) : code;
    }
    if (a->files.n)
        code = object_source_read_files(s, &a->files, false, a->session.namespace_);
    if (code < 0 && a->directories.n)
        code = object_source_read_files(s, &a->directories, true, a->session.namespace_);
    if (code < 0)
        object_source_imply_classes(s);
    return code;
}

static int analyze(const struct analyze_args *a, struct object_source *s)
{
    static const char *const controllers[] = {"fairlead.dev/ingress", INGRESS_CONTROLLER_NGINX,
                                              NULL};
    const char *usual = s->files.n ? "nginx" : "fairlead";
    const struct ingress_options options = {.controllers = controllers,
                                            .class_name = a->class_name ? a->class_name : usual};
    AUTO_DONE(certificate_source) struct certificate_source certificates = {0};
    AUTO_DONE(findings) struct findings findings = {0};
    AUTO_JSON json_t *list = json_array();
    certificate_source_read(&certificates, s->list);
    const struct analysis_input in = {.ingress = &options,
                                      .objects = s->list,
                                      .certificates = certificates.v,
                                      .n_certificates = certificates.n,
                                      .knows_classes = s->knows_classes,
                                      .knows_services = s->knows_services,
                                      .knows_endpoints = s->knows_endpoints,
                                      .knows_pods = s->knows_pods,
                                      .knows_secrets = s->knows_secrets,
                                      .knows_passwords = s->knows_passwords,
                                      .now_s = time_real_s()};
    analysis_run(&in, &findings);
    int worst = collect(a, s, &findings, list);
    print(a, list);
    return worst >= severity_of(a->failure) ? EXIT_FINDINGS : EXIT_OK;
}

static int run(struct analyze_args *a)
{
    struct object_source s = {0};
    if (severity_of(a->failure) < 0 || severity_of(a->level) < 0)
        return program_fail(EXIT_USAGE_ERROR, "info, warning, error", "\"%s\" is no severity",
                            severity_of(a->failure) < 0 ? a->failure : a->level);
    int code = cli_check_output(a->output, "text");
    if (code < 0)
        code = read_objects(a, &s);
    if (code < 0)
        code = analyze(a, &s);
    object_source_done(&s);
    return code;
}

int cli_analyze(int argc, char **argv)
{
    struct analyze_args a = {.output = "text", .failure = "error", .level = "info"};
    struct arg args[] = {
        {"filename", 'f', ARG_STRINGS, &a.files, "FILE",
         "manifests instead of the cluster; a file, a directory, - (repeat)", 0, 0, false},
        {"recursive", 'R', ARG_STRINGS, &a.directories, "DIR",
         "the same, with all directories below (repeat)", 0, 0, false},
        {"all-namespaces", 'A', ARG_BOOL, &a.all, NULL, "tell of all namespaces", 0, 0, false},
        {"failure-threshold", 0, ARG_STRING, &a.failure, "LEVEL",
         "the least severity for which the exit code is 2: info, warning, error (default error)", 0,
         0, false},
        {"output-threshold", 0, ARG_STRING, &a.level, "LEVEL",
         "the least severity that is told (default info)", 0, 0, false},
        {"suppress", 'S', ARG_STRINGS, &a.suppressed, "CODE[=OBJECT]",
         "do not tell this code, of an object or at all (repeat)", 0, 0, false},
        {"ingress-class", 0, ARG_STRING, &a.class_name, "NAME",
         "as control's: what kubernetes.io/ingress.class may say without an IngressClass (default "
         "fairlead; nginx with -f)",
         0, 0, false},
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "text, json or yaml (default text)", 0, 0,
         false},
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {"fairlead analyze",
                              "says what is wrong with Ingresses, in a cluster or in files",
                              "[-f FILE… | -R DIR] [flags]",
                              "  fairlead analyze -A\n"
                              "  fairlead analyze -f manifests/ --failure-threshold warning\n"
                              "  fairlead analyze -R deploy -o json\n"
                              "  kustomize build . | fairlead analyze -f - -S FL0210\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    arg_list_done(&a.files);
    arg_list_done(&a.directories);
    arg_list_done(&a.suppressed);
    return code;
}
