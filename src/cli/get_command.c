/* fairlead get: tables from the server (the same that kubectl prints), or the objects themselves.
 */
#include <errno.h>
#include <stdio.h>

#include "base/vec.h"
#include "cli/cli.h"
#include "codec/url.h"
#include "codec/yaml.h"

#define TABLE_ACCEPT "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

struct get_options {
    const char *output, *selector, *field_selector;
    bool all, no_headers, watch;
    bool with_namespace; /* a NAMESPACE column */
    bool several;        /* more than one type: names carry their kind, tables stand apart */
    const char *prefix;  /* "pod/", or NULL */
    bool printed;        /* a table stands above */
    char version[24];    /* what was listed is of this version */
};

/* One thing to get. */
struct target {
    struct kube_resource resource;
    char *name; /* NULL: all of them */
};
struct targets {
    struct target *v;
    size_t n;
    size_t cap;
};

static void add_param(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, "%c%s=", memchr(b->p, '?', b->n) ? '&' : '?', name);
    url_encode(str_from(value), b);
}

/* ---- tables ---- */

/* How the columns of a table are shown: those left out have no width; the last one is not padded.
 */
struct layout {
    size_t width[64];
    bool shown[64];
    size_t n;
    size_t last;
    size_t ns_width;
};

/* The text of a cell; the caller frees. The first may carry the kind: "pod/web". */
static char *cell_text(const json_t *row, size_t k, const struct get_options *o)
{
    const json_t *cell = json_array_get(json_object_get(row, "cells"), k);
    if (json_is_integer(cell))
        return xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(cell));
    const char *text = json_is_string(cell) ? json_string_value(cell) : "<none>";
    return xasprintf("%s%s", k == 0 && o->prefix ? o->prefix : "", text);
}

static void lay_out(const json_t *table, const struct get_options *o, struct layout *l)
{
    json_t *columns = json_object_get(table, "columnDefinitions"), *row;
    size_t i, k;
    *l = (struct layout){.n = MIN(json_array_size(columns), ARRAY_LEN(l->width)),
                         .ns_width = o->no_headers ? 0 : strlen("NAMESPACE")};
    for (k = 0; k < l->n; k++) {
        const json_t *column = json_array_get(columns, k);
        l->shown[k] = json_at_int(column, "priority", 0) == 0 || streq(o->output, "wide");
        if (l->shown[k])
            l->last = k;
        if (!o->no_headers)
            l->width[k] = strlen(json_key_str(column, "name"));
    }
    json_array_foreach(json_object_get(table, "rows"), i, row)
    {
        const char *ns = json_at_str(row, "object.metadata.namespace");
        l->ns_width = MAX(l->ns_width, ns ? strlen(ns) : 0);
        for (k = 0; k < l->n; k++) {
            AUTO_CHARS char *text = cell_text(row, k, o);
            l->width[k] = MAX(l->width[k], strlen(text));
        }
    }
}

static void upper(char *s)
{
    for (; *s; s++)
        *s = (char)(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
}

static void print_table(const json_t *table, const struct get_options *o)
{
    json_t *columns = json_object_get(table, "columnDefinitions"),
           *rows = json_object_get(table, "rows"), *row;
    struct layout l;
    lay_out(table, o, &l);
    for (size_t line = o->no_headers ? 1 : 0; line <= json_array_size(rows); line++) {
        row = line ? json_array_get(rows, line - 1) : NULL;
        if (o->with_namespace) {
            const char *ns = row ? json_at_str(row, "object.metadata.namespace") : "NAMESPACE";
            printf("%-*s", (int)l.ns_width + 3, ns ? ns : "");
        }
        for (size_t k = 0; k < l.n; k++) {
            if (!l.shown[k])
                continue;
            AUTO_CHARS char *text = row ? cell_text(row, k, o)
                                        : xstrdup(json_key_str(json_array_get(columns, k), "name"));
            if (!row)
                upper(text);
            size_t width = MAX(l.width[k] + 3, (size_t)6); /* kubectl's narrowest */
            printf("%-*s", k == l.last ? 0 : (int)width, text);
        }
        putchar('\n');
    }
}

/* ---- jsonpath, the small part that scripts use ---- */

static void print_value(const json_t *v)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (json_is_string(v))
        fputs(json_string_value(v), stdout);
    else if (v) {
        json_write(&b, v);
        fwrite(b.p, 1, b.n, stdout);
    }
}

/* .a.b[0].c, .items[*].metadata.name; values are separated by a space. */
static void walk_path(const json_t *v, struct str path, bool *first)
{
    while (path.n && path.p[0] == '.')
        path = str_sub(path, 1, path.n);
    if (!v)
        return;
    if (!path.n) {
        if (!*first)
            putchar(' ');
        *first = false;
        print_value(v);
        return;
    }
    if (path.p[0] == '[') {
        struct str rest, index = str_cut(str_sub(path, 1, path.n), ']', &rest);
        uint64_t at;
        size_t i;
        json_t *item;
        if (str_is(index, "*"))
            json_array_foreach((json_t *)(uintptr_t)v, i, item) walk_path(item, rest, first);
        else if (str_to_u64(index, &at) == 0)
            walk_path(json_array_get(v, at), rest, first);
        else if (index.n > 2)
            walk_path(json_object_getn(v, index.p + 1, index.n - 2), rest, first); /* ['key'] */
        return;
    }
    size_t n = 0;
    while (n < path.n && path.p[n] != '.' && path.p[n] != '[')
        n++;
    walk_path(json_object_getn(v, path.p, n), str_sub(path, n, path.n), first);
}

static void print_jsonpath(const json_t *object, const char *template)
{
    struct str rest = str_from(template);
    while (rest.p && rest.n) {
        struct str inside, text = str_cut(rest, '{', &inside);
        fwrite(text.p, 1, text.n, stdout);
        if (!inside.p)
            break;
        struct str expression = str_cut(inside, '}', &rest);
        if (str_is(expression, "\"\\n\""))
            putchar('\n');
        else {
            bool first = true;
            walk_path(object, expression, &first);
        }
    }
}

/* ---- output ---- */

/* "deployment.apps/"; the caller frees. */
static char *kind_prefix(const struct kube_resource *r)
{
    const char *group = strchr(r->group_version, '/');
    char *text = xasprintf("%s%s%.*s/", r->kind, group ? "." : "",
                           group ? (int)(group - r->group_version) : 0, r->group_version);
    for (char *c = text; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    return text;
}

static void print_names(const json_t *object, const struct kube_resource *r)
{
    json_t *items = json_object_get(object, "items"), *item;
    AUTO_CHARS char *prefix = kind_prefix(r);
    size_t i;
    AUTO_JSON json_t *one = items ? NULL : json_pack("[O]", object);
    json_array_foreach(items ? items : one, i, item)
        printf("%s%s\n", prefix, json_at_str(item, "metadata.name"));
}

/* A server leaves out what the list says already; a person applies the items again. */
static void name_items(const json_t *list, const struct kube_resource *r)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        AUTO_JSON json_t *named =
            json_pack("{s:s,s:s}", "apiVersion", r->group_version, "kind", r->kind);
        json_object_update(named, item);
        json_object_clear(item);
        json_object_update(item, named);
    }
}

/* As kubectl: who manages which field is for programs. */
static void drop_managed(json_t *object)
{
    size_t i;
    json_t *item;
    json_del(object, "metadata.managedFields");
    json_array_foreach(json_object_get(object, "items"), i, item)
        json_del(item, "metadata.managedFields");
}

static void print_objects(json_t *object, const struct get_options *o,
                          const struct kube_resource *r)
{
    AUTO_DONE(buf) struct buf b = {0};
    name_items(object, r);
    if (streq(o->output, "json") || streq(o->output, "yaml"))
        drop_managed(object);
    if (streq(o->output, "json")) {
        json_write_indented(&b, object);
        buf_add_char(&b, '\n');
    } else if (streq(o->output, "yaml")) {
        yaml_write(&b, object);
    } else if (streq(o->output, "name")) {
        print_names(object, r);
    } else {
        print_jsonpath(object, o->output + strlen("jsonpath="));
    }
    if (b.n)
        fwrite(b.p, 1, b.n, stdout);
}

static bool output_is_table(const char *output)
{
    return streq(output, "table") || streq(output, "wide");
}

static void show_table(struct get_options *o, const struct kube_resource *r, const json_t *table)
{
    AUTO_CHARS char *prefix = o->several ? kind_prefix(r) : NULL;
    struct get_options own = *o;
    own.prefix = prefix;
    own.with_namespace = o->all && r->namespaced;
    if (o->printed && !o->no_headers)
        putchar('\n');
    print_table(table, &own);
    o->printed = true;
}

static int get_once(struct cli_session *s, struct get_options *o, const struct kube_resource *r,
                    const char *name)
{
    AUTO_CHARS char *path = kube_resource_path(r, o->all ? NULL : s->namespace_, name);
    AUTO_DONE(buf) struct buf target = {0};
    AUTO_JSON json_t *object = NULL;
    struct cli_answer a;
    struct err err = {0};
    buf_add_cstr(&target, path);
    if (o->selector)
        add_param(&target, "labelSelector", o->selector);
    if (o->field_selector)
        add_param(&target, "fieldSelector", o->field_selector);
    bool table = output_is_table(o->output);
    if (cli_request(s, "GET", buf_cstr(&target), table ? TABLE_ACCEPT : NULL, NULL, (struct str){0},
                    &a, &err) < 0)
        return cli_unreachable(s, &err);
    int code = EXIT_OK;
    if (a.status != 200)
        code = cli_server_error(&a);
    else if (json_parse(buf_str(&a.body), 0, NULL, &object, &err) < 0)
        code = program_fail(EXIT_FAILED, NULL, "the server's answer: %s", err_text(&err));
    else if (!table)
        print_objects(object, o, r);
    else if (json_array_size(json_object_get(object, "rows")))
        show_table(o, r, object);
    const char *version = json_at_str(object, "metadata.resourceVersion");
    snprintf(o->version, sizeof(o->version), "%s", version ? version : "");
    buf_done(&a.body);
    return code;
}

/* ---- watch ---- */

struct watching {
    const struct get_options *o;
    struct buf line;
    json_t *columns; /* servers say them once */
    bool done;
    int code;
    int status;
};

static void on_watch_head(struct http_call *call, int status, void *user)
{
    (void)call;
    ((struct watching *)user)->status = status;
}

/* object: the Table of an event. */
static void show_event(struct watching *w, json_t *object)
{
    struct get_options plain = *w->o;
    json_t *columns = json_object_get(object, "columnDefinitions");
    if (json_array_size(columns)) {
        json_decref(w->columns);
        w->columns = json_incref(columns);
    } else if (w->columns) {
        json_object_set(object, "columnDefinitions", w->columns);
    }
    if (!json_array_size(json_object_get(object, "rows")))
        return;
    plain.no_headers = true;
    print_table(object, &plain);
    fflush(stdout);
}

static void on_watch_data(struct http_call *call, struct str piece, void *user)
{
    struct watching *w = user;
    (void)call;
    buf_add_str(&w->line, piece);
    for (;;) {
        const char *end = w->line.n ? memchr(w->line.p, '\n', w->line.n) : NULL;
        if (!end)
            return;
        AUTO_JSON json_t *event = NULL;
        size_t n = (size_t)(end - w->line.p);
        if (json_parse(str_of(w->line.p, n), 0, NULL, &event, NULL) == 0 &&
            json_is_object(json_at(event, "object")))
            show_event(w, json_at(event, "object"));
        buf_consume(&w->line, n + 1);
    }
}

static void on_watch_done(struct http_call *call, int code, const char *text, void *user)
{
    struct watching *w = user;
    (void)call;
    w->done = true;
    w->code = code < 0 ? program_fail(EXIT_UNREACHABLE, NULL, "watch: %s", text) : EXIT_OK;
}

static int watch(struct cli_session *s, struct get_options *o, const struct kube_resource *r,
                 const char *name)
{
    static const struct http_call_ops ops = {
        .on_head = on_watch_head, .on_data = on_watch_data, .on_done = on_watch_done};
    AUTO_CHARS char *path = kube_resource_path(r, o->all ? NULL : s->namespace_, NULL);
    AUTO_DONE(buf) struct buf target = {0};
    struct http_header accept = {STR("Accept"), STR(TABLE_ACCEPT)};
    o->with_namespace = o->all && r->namespaced;
    struct watching w = {.o = o};
    int code = get_once(s, o, r, name);
    if (code)
        return code;
    fflush(stdout); /* what there is now may be all for long */
    buf_addf(&target, "%s?watch=true&resourceVersion=%s", path, o->version);
    if (o->selector)
        add_param(&target, "labelSelector", o->selector);
    if (name) {
        AUTO_CHARS char *field = xasprintf("metadata.name=%s", name);
        add_param(&target, "fieldSelector", field);
    } else if (o->field_selector) {
        add_param(&target, "fieldSelector", o->field_selector);
    }
    struct http_request request = {
        .method = "GET", .target = buf_cstr(&target), .headers = &accept, .n_headers = 1};
    (void)http_call_start(kube_client_http(s->client), &request, &ops, &w);
    while (!w.done)
        loop_turn(s->loop, -1);
    buf_done(&w.line);
    json_decref(w.columns);
    return w.code;
}

/* ---- what is asked for ---- */

static void targets_done(struct targets *t)
{
    VEC_FOREACH (x, t)
        free(x->name);
    vec_done(t);
}

static int add_target(struct cli_session *s, struct str type, struct str name, struct targets *t,
                      struct err *reterr)
{
    AUTO_CHARS char *word = str_dup(type);
    struct target x = {0};
    int r = kube_resource_find(s->client, word, &x.resource, reterr);
    if (r < 0)
        return r;
    x.name = name.n ? str_dup(name) : NULL;
    vec_push(t, x);
    return 0;
}

/* TYPE, TYPE,TYPE, TYPE NAME…, TYPE/NAME TYPE/NAME…, all. */
static int find_targets(struct cli_session *s, const struct arg_list *words, struct targets *t,
                        struct err *reterr)
{
    static const char everything[] =
        "pods,replicationcontrollers,services,deployments.apps,replicasets.apps";
    int r = 0;
    if (strchr(words->v[0], '/')) {
        for (size_t i = 0; r == 0 && i < words->n; i++) {
            struct str name, type = str_cut(str_from(words->v[i]), '/', &name);
            if (!name.n)
                return err_set(reterr, -EINVAL, NULL, "\"%s\" is not TYPE/NAME", words->v[i]);
            r = add_target(s, type, name, t, reterr);
        }
        return r;
    }
    struct str rest = str_from(streq(words->v[0], "all") ? everything : words->v[0]);
    while (r == 0 && rest.p) {
        struct str type = str_cut(rest, ',', &rest);
        for (size_t i = 1; r == 0 && i < words->n; i++)
            r = add_target(s, type, str_from(words->v[i]), t, reterr);
        if (r == 0 && words->n == 1)
            r = add_target(s, type, (struct str){0}, t, reterr);
    }
    return r;
}

static bool several_types(const struct targets *t)
{
    VEC_FOREACH (x, t)
        if (!streq(x->resource.plural, t->v[0].resource.plural) ||
            !streq(x->resource.group_version, t->v[0].resource.group_version))
            return true;
    return false;
}

static int get_all(struct cli_session *s, struct get_options *o, const struct targets *t)
{
    int code = EXIT_OK;
    bool namespaced = false, listed = false;
    VEC_FOREACH (x, t) {
        int one = get_once(s, o, &x->resource, x->name);
        code = one ? one : code;
        namespaced = namespaced || x->resource.namespaced;
        listed = listed || !x->name;
    }
    if (listed && !code && !o->printed && output_is_table(o->output))
        fprintf(stderr,
                namespaced && !o->all ? "No resources found in %s namespace.\n"
                                      : "No resources found\n",
                s->namespace_);
    return code;
}

static int run(struct cli_session *s, struct get_options *o, const struct arg_list *words)
{
    AUTO_DONE(targets) struct targets targets = {0};
    struct err err = {0};
    int r = find_targets(s, words, &targets, &err);
    if (r == -ENOENT || r == -EINVAL)
        return program_fail(r == -ENOENT ? EXIT_FAILED : EXIT_USAGE_ERROR, NULL, "%s",
                            err_text(&err));
    if (r < 0)
        return cli_unreachable(s, &err);
    o->several = several_types(&targets) || streq(words->v[0], "all");
    if (targets.n > 1 && (o->watch || streq(o->output, "json") || streq(o->output, "yaml")))
        return program_fail(EXIT_USAGE_ERROR, NULL,
                            "one thing at a time with --watch, -o json and -o yaml");
    return o->watch ? watch(s, o, &targets.v[0].resource, targets.v[0].name)
                    : get_all(s, o, &targets);
}

int cli_get(int argc, char **argv)
{
    struct cli_session s = {0};
    struct get_options o = {.output = "table"};
    struct arg args[] = {
        CLI_SESSION_ARGS(&s),
        {"all-namespaces", 'A', ARG_BOOL, &o.all, NULL, "all namespaces", 0, 0, false},
        {"selector", 'l', ARG_STRING, &o.selector, "SEL", "label selector", 0, 0, false},
        {"field-selector", 0, ARG_STRING, &o.field_selector, "SEL", "field selector", 0, 0, false},
        {"output", 'o', ARG_STRING, &o.output, "FORM", "table, wide, json, yaml, name, jsonpath=…",
         0, 0, false},
        {"watch", 'w', ARG_BOOL, &o.watch, NULL, "go on printing changes", 0, 0, false},
        {"no-headers", 0, ARG_BOOL, &o.no_headers, NULL, "leave the heading out", 0, 0, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead get",
                              "shows objects of the cluster",
                              "TYPE[,TYPE…] [NAME…] | TYPE/NAME… [flags]",
                              "  fairlead get pods -A\n  fairlead get svc/web -o yaml\n  fairlead "
                              "get pods -w -l app=web\n",
                              args,
                              false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (!rest.n)
        return program_fail(EXIT_USAGE_ERROR, "fairlead get pods", "name a type of resource");
    if (!output_is_table(o.output) && !streq(o.output, "json") && !streq(o.output, "yaml") &&
        !streq(o.output, "name") && !str_starts(str_from(o.output), STR("jsonpath=")))
        return program_fail(EXIT_USAGE_ERROR, NULL,
                            "--output: \"%s\" is none of table, wide, json, yaml, name, jsonpath=…",
                            o.output);
    code = cli_session_open(&s);
    if (code >= 0)
        return code;
    code = run(&s, &o, &rest);
    cli_session_close(&s);
    return code;
}
