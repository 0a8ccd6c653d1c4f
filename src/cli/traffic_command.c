/* fairlead edges, graph, top: the last minute of traffic, as sidecars have told the control plane.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_output.h"
#include "cli/traffic_source.h"
#include "cli/view_token.h"

struct traffic_args {
    struct cli_session session;
    struct traffic_choice choice;
    struct arg_list words;
    const char *output;
    bool once;
};

static const char *percent(double share, char ret[16])
{
    snprintf(ret, 16, "%.2f%%", share * 100);
    return ret;
}

static bool is_tcp(const struct traffic_edge *e)
{
    return streq(e->protocol, "tcp");
}

static int by_names(const void *a, const void *b)
{
    const struct traffic_edge *x = a, *y = b;
    const char *const pairs[][2] = {{x->source_ns, y->source_ns},
                                    {x->source, y->source},
                                    {x->destination_ns, y->destination_ns},
                                    {x->destination, y->destination},
                                    {x->service, y->service},
                                    {x->protocol, y->protocol}};
    int d = 0;
    for (size_t i = 0; !d && i < ARRAY_LEN(pairs); i++)
        d = strcmp(pairs[i][0], pairs[i][1]);
    return d;
}

static void sort(struct traffic_edges *e)
{
    if (e->v.n)
        qsort(e->v.v, e->v.n, sizeof(*e->v.v), by_names);
}

static json_t *edge_json(const struct traffic_edge *e)
{
    json_t *j = json_pack("{s:{s:s,s:s},s:{s:s,s:s},s:s,s:s,s:s}", "source", "workload", e->source,
                          "namespace", e->source_ns, "destination", "workload", e->destination,
                          "namespace", e->destination_ns, "service", e->service, "protocol",
                          e->protocol, "security", e->security);
    if (e->has_client)
        json_object_set_new(j, "client", traffic_to_json(&e->client));
    if (e->has_server)
        json_object_set_new(j, "server", traffic_to_json(&e->server));
    return j;
}

static json_t *list_json(const char *kind, const struct traffic_edges *e)
{
    json_t *items = json_array();
    VEC_FOREACH (one, &e->v)
        json_array_append_new(items, edge_json(one));
    return json_pack("{s:s,s:s,s:i,s:o}", "apiVersion", "cli.fairlead.dev/v1", "kind", kind,
                     "windowSeconds", TRAFFIC_WINDOW_S, "items", items);
}

/* ---- edges ---- */

static const char *secured(const struct traffic_edge *e)
{
    return streq(e->security, "mutual_tls") ? "mutual TLS"
           : streq(e->security, "none")     ? "plain"
                                            : "unknown";
}

static void add_numbers(struct cli_table *t, const struct traffic *n, bool tcp)
{
    static const double shares[] = {0.5, 0.95, 0.99};
    char text[16];
    cli_table_add(t, tcp ? NULL : percent(traffic_success(n), text));
    if (tcp)
        cli_table_add(t, NULL);
    else
        cli_table_addf(t, "%.1f", traffic_rate(n));
    for (size_t i = 0; i < ARRAY_LEN(shares); i++)
        cli_table_add(t, tcp ? NULL : traffic_format_ms(traffic_percentile(n, shares[i]), text));
}

static void print_edges(const struct traffic_edges *all, bool wide)
{
    static const char *const narrow_names[] = {"SRC", "DST", "SRC_NS", "DST_NS", "SECURED", NULL};
    static const char *const wide_names[] = {
        "SRC",     "DST", "SRC_NS",      "DST_NS",      "SECURED",     "SERVICE", "PROTOCOL",
        "SUCCESS", "RPS", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99", NULL};
    struct cli_table t = {.names = wide ? wide_names : narrow_names};
    VEC_FOREACH (e, &all->v) {
        cli_table_add(&t, e->source);
        cli_table_add(&t, e->destination);
        cli_table_add(&t, e->source_ns);
        cli_table_add(&t, e->destination_ns);
        cli_table_add(&t, secured(e));
        if (!wide)
            continue;
        cli_table_add(&t, e->service);
        cli_table_add(&t, e->protocol);
        add_numbers(&t, traffic_edge_numbers(e), is_tcp(e));
    }
    cli_table_print(&t, false);
}

static int show_edges(struct traffic_args *a, struct traffic_edges *all)
{
    if (streq(a->output, "table") || streq(a->output, "wide")) {
        print_edges(all, streq(a->output, "wide"));
        return EXIT_OK;
    }
    AUTO_JSON json_t *j = list_json("EdgeList", all);
    cli_print_object(a->output, j);
    return EXIT_OK;
}

/* ---- graph ---- */

static void numbers_text(const struct traffic_edge *e, const char *between, struct buf *b)
{
    const struct traffic *n = traffic_edge_numbers(e);
    char success[16], p95[16];
    if (is_tcp(e))
        buf_addf(b, "%llu connections%s%.0f B/s", (unsigned long long)n->connections, between,
                 (double)(n->sent_bytes + n->received_bytes) / (double)MAX(n->seconds, 1u));
    else
        buf_addf(b, "%.1f rps%s%s%sp95 %s", traffic_rate(n), between,
                 percent(traffic_success(n), success), between,
                 traffic_format_ms(traffic_percentile(n, 0.95), p95));
}

static void print_text(const struct traffic_edges *all)
{
    const struct traffic_edge *before = NULL;
    VEC_FOREACH (e, &all->v) {
        AUTO_DONE(buf) struct buf numbers = {0};
        numbers_text(e, "  ", &numbers);
        if (!before || !streq(before->source, e->source) || !streq(before->source_ns, e->source_ns))
            printf("%s.%s\n", e->source, e->source_ns);
        printf("  -> %s.%s  %s  %s  %s\n", e->destination, e->destination_ns, e->protocol,
               buf_cstr(&numbers), secured(e));
        before = e;
    }
}

/* As DOT has strings. */
static void add_dot(struct buf *b, const char *name, const char *ns, const char *between)
{
    const char *const parts[] = {name, ns};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        buf_add_cstr(b, i ? between : "");
        for (const char *c = parts[i]; *c; c++) {
            if (*c == '"' || *c == '\\')
                buf_add_char(b, '\\');
            buf_add_char(b, *c);
        }
    }
}

static void print_dot(const struct traffic_edges *all)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_add_cstr(&b, "digraph fairlead {\n  rankdir=LR;\n  node [shape=box];\n");
    VEC_FOREACH (e, &all->v) {
        double success = traffic_success(traffic_edge_numbers(e));
        buf_add_cstr(&b, "  \"");
        add_dot(&b, e->source, e->source_ns, ".");
        buf_add_cstr(&b, "\" -> \"");
        add_dot(&b, e->destination, e->destination_ns, ".");
        buf_add_cstr(&b, "\" [label=\"");
        numbers_text(e, "\\n", &b);
        buf_addf(&b, "\",color=%s,style=%s];\n", success < 0.9 ? "red" : "black",
                 streq(e->security, "mutual_tls") ? "bold" : "dashed");
    }
    buf_add_cstr(&b, "}\n");
    fputs(buf_cstr(&b), stdout);
}

static void add_node(json_t *nodes, const char *name, const char *ns)
{
    AUTO_CHARS char *id = xasprintf("%s.%s", name, ns);
    json_t *node;
    size_t i;
    json_array_foreach(nodes, i, node) if (streq(json_key_str(node, "id"), id)) return;
    json_array_append_new(nodes,
                          json_pack("{s:s,s:s,s:s}", "id", id, "workload", name, "namespace", ns));
}

static int show_graph(struct traffic_args *a, struct traffic_edges *all)
{
    if (streq(a->output, "text")) {
        print_text(all);
    } else if (streq(a->output, "dot")) {
        print_dot(all);
    } else {
        AUTO_JSON json_t *j = list_json("Graph", all);
        json_t *nodes = json_array();
        VEC_FOREACH (e, &all->v) {
            add_node(nodes, e->source, e->source_ns);
            add_node(nodes, e->destination, e->destination_ns);
        }
        json_object_set_new(j, "nodes", nodes);
        cli_print_object("json", j);
    }
    return EXIT_OK;
}

/* ---- top ---- */

struct busy {
    const char *name, *ns;
    struct traffic numbers;
};
struct busy_list {
    VEC(struct busy) v;
};

/* What is asked of a workload: as it tells itself, where it does. */
static void add_busy(struct busy_list *list, const struct traffic_edge *e)
{
    struct busy *to = NULL;
    VEC_FOREACH (b, &list->v)
        if (streq(b->name, e->destination) && streq(b->ns, e->destination_ns))
            to = b;
    if (!to) {
        to = vec_add(&list->v);
        to->name = e->destination;
        to->ns = e->destination_ns;
    }
    traffic_add(&to->numbers, e->has_server ? &e->server : &e->client);
}

static int by_rate(const void *a, const void *b)
{
    const struct busy *x = a, *y = b;
    double dx = traffic_rate(&x->numbers), dy = traffic_rate(&y->numbers);
    int d = strcmp(x->ns, y->ns);
    return dx != dy ? (dx < dy) - (dx > dy) : d ? d : strcmp(x->name, y->name);
}

static void print_top(const struct busy_list *list)
{
    static const char *const names[] = {"NAME",        "NAMESPACE",   "SUCCESS",
                                        "RPS",         "LATENCY_P50", "LATENCY_P95",
                                        "LATENCY_P99", "TCP_CONN",    NULL};
    struct cli_table t = {.names = names};
    VEC_FOREACH (b, &list->v) {
        cli_table_add(&t, b->name);
        cli_table_add(&t, b->ns);
        add_numbers(&t, &b->numbers, !b->numbers.requests && b->numbers.connections);
        cli_table_addf(&t, "%llu", (unsigned long long)b->numbers.connections);
    }
    cli_table_print(&t, false);
}

static void print_top_object(const char *output, const struct busy_list *list)
{
    json_t *items = json_array();
    VEC_FOREACH (b, &list->v)
        json_array_append_new(items, json_pack("{s:s,s:s,s:o}", "workload", b->name, "namespace",
                                               b->ns, "numbers", traffic_to_json(&b->numbers)));
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:s,s:i,s:o}", "apiVersion", "cli.fairlead.dev/v1", "kind", "TopList",
                  "windowSeconds", TRAFFIC_WINDOW_S, "items", items);
    cli_print_object(output, j);
}

static int show_top(struct traffic_args *a, struct traffic_edges *all)
{
    struct busy_list list = {0};
    VEC_FOREACH (e, &all->v)
        add_busy(&list, e);
    if (list.v.n)
        qsort(list.v.v, list.v.n, sizeof(*list.v.v), by_rate);
    if (streq(a->output, "table"))
        print_top(&list);
    else
        print_top_object(a->output, &list);
    vec_done(&list.v);
    return EXIT_OK;
}

/* ---- what they share ---- */

typedef int show_fn(struct traffic_args *a, struct traffic_edges *all);

static int show_once(struct traffic_args *a, show_fn *show)
{
    struct traffic_edges all;
    int code = traffic_edges_get(&a->session, &a->choice, &all);
    if (code < 0) {
        sort(&all);
        code = show(a, &all);
    }
    traffic_edges_done(&all);
    return code;
}

/* -1, or the exit code, told. */
static int check_form(const char *output, const char *command, const char *const forms[])
{
    AUTO_DONE(buf) struct buf hint = {0};
    for (size_t i = 0; forms[i]; i++) {
        if (streq(forms[i], output))
            return -1;
        buf_addf(&hint, "%s%s", i ? ", " : "", forms[i]);
    }
    return program_fail(EXIT_USAGE_ERROR, buf_cstr(&hint), "-o: \"%s\" is not known to fairlead %s",
                        output, command);
}

static int run(struct traffic_args *a, const char *command, const char *const forms[],
               show_fn *show, bool again)
{
    if (a->words.n > 1)
        return program_fail(EXIT_USAGE_ERROR, NULL, "fairlead %s: name one workload, or none",
                            command);
    int code = check_form(a->output, command, forms);
    if (code >= 0)
        return code;
    a->choice.target = a->words.n ? a->words.v[0] : NULL;
    code = show_once(a, show);
    while (again && code == EXIT_OK) {
        fflush(stdout);
        sleep(1);
        fputs("\033[H\033[J", stdout); /* the same place again */
        code = show_once(a, show);
    }
    return code;
}

static int end(struct traffic_args *a, int code)
{
    if (a->session.client)
        cli_session_close(&a->session);
    arg_list_done(&a->words);
    return code;
}

#define TRAFFIC_ARGS(a)                                                                            \
    {"all-namespaces",                                                                             \
     'A',                                                                                          \
     ARG_BOOL,                                                                                     \
     &(a)->choice.all_namespaces,                                                                  \
     NULL,                                                                                         \
     "of all namespaces",                                                                          \
     0,                                                                                            \
     0,                                                                                            \
     false},                                                                                       \
        {"filename", 'f',                                                                          \
         ARG_STRING, &(a)->choice.file,                                                            \
         "FILE",     "an answer of /debug/edges that was kept, - is stdin",                        \
         0,          0,                                                                            \
         false},                                                                                   \
        {"control-namespace",                                                                      \
         0,                                                                                        \
         ARG_STRING,                                                                               \
         &(a)->choice.control_namespace,                                                           \
         "NS",                                                                                     \
         "where the control plane's pods are (default fairlead-system)",                           \
         0,                                                                                        \
         0,                                                                                        \
         false},                                                                                   \
        VIEW_ARGS(&(a)->session), CLI_SESSION_ARGS(&(a)->session),                                 \
    {                                                                                              \
        .name = NULL                                                                               \
    }

int cli_edges(int argc, char **argv)
{
    static const char *const forms[] = {"table", "wide", "json", "yaml", NULL};
    struct traffic_args a = {.output = "table", .choice = {.control_namespace = "fairlead-system"}};
    struct arg args[] = {{"output", 'o', ARG_STRING, &a.output, "FORMAT",
                          "table, wide, json or yaml (default table)", 0, 0, false},
                         TRAFFIC_ARGS(&a)};
    const struct program p = {"fairlead edges",
                              "says who has called whom in the last minute",
                              "[TYPE/NAME] [flags]",
                              "  fairlead edges -A\n"
                              "  fairlead edges deploy/cart -o wide\n"
                              "  fairlead edges svc/reviews -n shop\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    return end(&a, code < 0 ? run(&a, "edges", forms, show_edges, false) : code);
}

int cli_graph(int argc, char **argv)
{
    static const char *const forms[] = {"text", "json", "dot", NULL};
    struct traffic_args a = {.output = "text", .choice = {.control_namespace = "fairlead-system"}};
    struct arg args[] = {{"output", 'o', ARG_STRING, &a.output, "FORMAT",
                          "text, json or dot (default text)", 0, 0, false},
                         TRAFFIC_ARGS(&a)};
    const struct program p = {"fairlead graph",
                              "shows who has called whom in the last minute as a graph",
                              "[TYPE/NAME] [flags]",
                              "  fairlead graph -A\n"
                              "  fairlead graph -n shop -o dot | dot -Tsvg > shop.svg\n"
                              "  fairlead graph deploy/cart -o json\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    return end(&a, code < 0 ? run(&a, "graph", forms, show_graph, false) : code);
}

int cli_top(int argc, char **argv)
{
    static const char *const forms[] = {"table", "json", "yaml", NULL};
    struct traffic_args a = {.output = "table", .choice = {.control_namespace = "fairlead-system"}};
    struct arg args[] = {
        {"output", 'o', ARG_STRING, &a.output, "FORMAT", "table, json or yaml (default table)", 0,
         0, false},
        {"once", 0, ARG_BOOL, &a.once, NULL, "print it once, as without a terminal", 0, 0, false},
        TRAFFIC_ARGS(&a)};
    const struct program p = {"fairlead top",
                              "shows what is asked of workloads, the busiest first, again each "
                              "second",
                              "[TYPE/NAME] [flags]",
                              "  fairlead top -A\n"
                              "  fairlead top -n shop --once\n"
                              "  fairlead top deploy/cart\n",
                              args,
                              false};
    int code = program_start(&p, argc, argv, &a.words, NULL);
    if (code >= 0)
        return end(&a, code);
    bool again = !a.once && !a.choice.file && streq(a.output, "table") && isatty(STDOUT_FILENO);
    return end(&a, run(&a, "top", forms, show_top, again));
}
