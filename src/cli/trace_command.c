/* fairlead trace: the last traces that the control plane keeps, and one of them as a waterfall. */
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "cli/cli_output.h"
#include "cli/traffic_source.h"
#include "cli/view_token.h"

enum { BAR = 40, DEPTH_MAX = 32 };

struct trace_args {
    struct cli_session session;
    struct arg_list words;
    const char *output, *control_namespace, *file;
};

static void add_list(const char *control, json_t *answer, void *user)
{
    (void)control;
    if (json_is_array(answer))
        json_array_extend(user, answer);
}

static int get(struct trace_args *a, const char *path, json_t *to)
{
    json_t *j = NULL;
    int code;
    if (a->file) {
        code = cli_json_file(a->file, "give what /debug/traces of the control plane answers", &j);
        if (code < 0)
            add_list(NULL, j, to);
        json_decref(j);
        return code;
    }
    code = cli_session_open(&a->session);
    return code >= 0 ? code
                     : control_ask_each(&a->session, a->control_namespace, path, add_list, to);
}

static json_int_t number(const json_t *j, const char *key)
{
    return json_integer_value(json_object_get(j, key));
}

static int by_begin(const void *a, const void *b)
{
    json_int_t x = number(*(json_t *const *)a, "timestamp"),
               y = number(*(json_t *const *)b, "timestamp");
    return x < y ? -1 : x > y;
}

/* ---- all of them ---- */

/* Of one trace that two replicas know of. */
static void join(json_t *to, const json_t *more)
{
    json_int_t begin = MIN(number(to, "timestamp"), number(more, "timestamp")),
               end = MAX(number(to, "timestamp") + number(to, "duration"),
                         number(more, "timestamp") + number(more, "duration"));
    if (number(more, "timestamp") == begin) { /* whoever began it says what it is */
        json_object_set(to, "service", json_object_get(more, "service"));
        json_object_set(to, "name", json_object_get(more, "name"));
    }
    json_object_set_new(to, "spans", json_integer(number(to, "spans") + number(more, "spans")));
    json_object_set_new(to, "timestamp", json_integer(begin));
    json_object_set_new(to, "duration", json_integer(end - begin));
    if (json_is_true(json_object_get(more, "error")))
        json_object_set_new(to, "error", json_true());
}

static json_t *join_list(const json_t *list)
{
    json_t *all = json_array(), *one, *other;
    size_t i, k;
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        json_t *same = NULL;
        json_array_foreach(all, k, other) if (streq(json_key_str(other, "traceId"),
                                                    json_key_str(one, "traceId"))) same = other;
        if (same)
            join(same, one);
        else
            json_array_append(all, one);
    }
    return all;
}

static void print_list(const json_t *list)
{
    static const char *const names[] = {"TRACE",    "SERVICE", "REQUEST", "SPANS",
                                        "DURATION", "ERROR",   "AGE",     NULL};
    struct cli_table t = {.names = names};
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        char took[16], age[24];
        time_format_human(MAX(time_real_s() - number(one, "timestamp") / 1000000, 0), age);
        cli_table_add(&t, json_key_str(one, "traceId"));
        cli_table_add(&t, json_key_str(one, "service"));
        cli_table_add(&t, json_key_str(one, "name"));
        cli_table_addf(&t, "%lld", (long long)number(one, "spans"));
        cli_table_add(&t, traffic_format_ms((double)number(one, "duration") / 1000, took));
        cli_table_add(&t, json_is_true(json_object_get(one, "error")) ? "error" : NULL);
        cli_table_add(&t, age);
    }
    cli_table_print(&t, false);
}

/* ---- one of them ---- */

struct waterfall {
    json_t **spans; /* by when they began */
    size_t n;
    bool *shown;
    json_int_t begin, end;
};

static bool is_child(const json_t *span, const json_t *parent)
{
    const char *id = json_key_str(span, "parentId");
    return id && streq(id, json_key_str(parent, "id"));
}

static bool has_parent(const struct waterfall *w, const json_t *span)
{
    for (size_t i = 0; i < w->n; i++)
        if (is_child(span, w->spans[i]))
            return true;
    return false;
}

static void print_bar(const struct waterfall *w, const json_t *span)
{
    char bar[BAR + 1];
    double whole = (double)MAX(w->end - w->begin, 1);
    json_int_t begin = number(span, "timestamp") - w->begin, took = number(span, "duration");
    int from = (int)((double)begin / whole * BAR),
        to = (int)((double)(begin + took) / whole * BAR + 0.5);
    from = MIN(MAX(from, 0), BAR - 1);
    to = MIN(MAX(to, from + 1), BAR);
    memset(bar, ' ', BAR);
    memset(bar + from, '=', (size_t)(to - from));
    bar[BAR] = '\0';
    printf("|%s|", bar);
}

static void print_span(const struct waterfall *w, const json_t *span, int depth)
{
    const json_t *tags = json_object_get(span, "tags");
    const char *method = json_key_str(tags, "http.method"), *url = json_key_str(tags, "http.url"),
               *status = json_key_str(tags, "http.status_code"), *name = json_key_str(span, "name");
    const char *kind = json_key_str(span, "kind");
    AUTO_CHARS char *text =
        xasprintf("%*s%s %s  %s %s", 2 * depth, "", json_at_str(span, "localEndpoint.serviceName"),
                  streq(kind, "CLIENT") ? "->" : "<-", method ? method : "", url ? url : name);
    char took[16];
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            *c = '?';
    print_bar(w, span);
    printf("  %8s  %s  %s%s\n", traffic_format_ms((double)number(span, "duration") / 1000, took),
           status ? status : "---", text, json_object_get(tags, "error") ? "  error" : "");
}

static void print_tree(struct waterfall *w, size_t at, int depth)
{
    w->shown[at] = true;
    print_span(w, w->spans[at], depth);
    for (size_t i = 0; i < w->n && depth < DEPTH_MAX; i++)
        if (!w->shown[i] && is_child(w->spans[i], w->spans[at]))
            print_tree(w, i, depth + 1);
}

static void print_waterfall(const char *id, const json_t *list)
{
    struct waterfall w = {.n = json_array_size(list)};
    char took[16];
    w.spans = xcalloc(w.n, sizeof(json_t *));
    w.shown = xcalloc(w.n, sizeof(bool));
    for (size_t i = 0; i < w.n; i++) {
        json_t *s = w.spans[i] = json_array_get(list, i);
        json_int_t begin = number(s, "timestamp"), end = begin + number(s, "duration");
        w.begin = i ? MIN(w.begin, begin) : begin;
        w.end = MAX(w.end, end);
    }
    qsort(w.spans, w.n, sizeof(json_t *), by_begin);
    printf("trace %s: %s, %zu spans\n", id,
           traffic_format_ms((double)(w.end - w.begin) / 1000, took), w.n);
    for (size_t i = 0; i < w.n; i++) /* roots, and those whose parents are not told of */
        if (!w.shown[i] && !has_parent(&w, w.spans[i]))
            print_tree(&w, i, 0);
    for (size_t i = 0; i < w.n; i++) /* of a circle */
        if (!w.shown[i])
            print_tree(&w, i, 0);
    free(w.spans);
    free(w.shown);
}

/* ---- the command ---- */

static bool is_id(const char *text)
{
    size_t n = strlen(text);
    return (n == 16 || n == 32) && strspn(text, "0123456789abcdefABCDEF") == n;
}

static int run(struct trace_args *a)
{
    AUTO_JSON json_t *list = json_array();
    const char *id = a->words.n ? a->words.v[0] : NULL;
    int code = cli_check_output(a->output, "text");
    if (code >= 0)
        return code;
    if (a->words.n > 1 || (id && !is_id(id)))
        return program_fail(EXIT_USAGE_ERROR, "fairlead trace lists them",
                            "give one trace's id: 16 or 32 hexadecimal digits");
    AUTO_CHARS char *path = id ? xasprintf("/debug/traces/%s", id) : xstrdup("/debug/traces");
    code = get(a, path, list);
    if (code >= 0)
        return code;
    if (id && !json_array_size(list))
        return program_fail(EXIT_FAILED, "fairlead trace lists those that are kept",
                            "trace %s is not known, or no more", id);
    if (!id) {
        json_t *joined = join_list(list);
        json_decref(list);
        list = joined;
    }
    if (!streq(a->output, "text"))
        cli_print_object(a->output, list);
    else if (id)
        print_waterfall(id, list);
    else
        print_list(list);
    return EXIT_OK;
}

int cli_trace(int argc, char **argv)
{
    struct trace_args a = {.output = "text", .control_namespace = "fairlead-system"};
    struct arg args[] = {
        {"output", 'o', ARG_STRING, &a.output, "FORMAT",
         "text, json (Zipkin's v2) or yaml (default text)", 0, 0, false},
        {"filename", 'f', ARG_STRING, &a.file, "FILE",
         "an answer of /debug/traces that was kept, - is stdin", 0, 0, false},
        {"control-namespace", 0, ARG_STRING, &a.control_namespace, "NS",
         "where the control plane's pods are (default fairlead-system)", 0, 0, false},
        VIEW_ARGS(&a.session),
        CLI_SESSION_ARGS(&a.session),
        {.name = NULL},
    };
    const struct program p = {"fairlead trace",
                              "lists the last traces; of one prints the waterfall",
                              "[ID] [flags]",
                              "  fairlead trace\n"
                              "  fairlead trace 4bf92f3577b34da6a3ce929d0e0e4736\n"
                              "  fairlead trace 4bf92f3577b34da6a3ce929d0e0e4736 -o json\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    if (code < 0)
        code = run(&a);
    if (a.session.client)
        cli_session_close(&a.session);
    arg_list_done(&a.words);
    return code;
}
