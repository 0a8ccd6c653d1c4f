#include "cli/explain_mesh.h"

#include <stdio.h>

#include "base/program.h"
#include "model/mesh_explain.h"

const struct workload *cli_explain_find_pod(const struct mesh_snapshot *s, const char *ns,
                                            const char *word)
{
    const char *slash = strchr(word, '/'), *name = slash ? slash + 1 : word;
    AUTO_CHARS char *key = xasprintf("%s/%s", ns, name);
    const struct workload *w = workloads_find(s->pods, str_from(key)), *best = NULL;
    for (size_t at = 0; !best && workloads_next(s->pods, &at, &w);)
        if (streq(w->key, key) && (!slash || str_starts(str_from(word), STR("po"))))
            best = w;
    for (size_t at = 0; !best && workloads_next(s->pods, &at, &w);)
        if (str_is(workload_namespace(w), ns) && str_is(workload_owner(s->pods, w), name))
            best = w;
    return best ? best : workloads_find(s->pods, str_from(key));
}

static const char *word_of(const json_t *j, const char *name)
{
    const char *text = json_key_str(j, name);
    return text ? text : "";
}

static void print_workload(const json_t *w)
{
    json_t *p;
    size_t i;
    printf("    %s (%lld pod%s, port %lld): %s, %s%s%s\n", word_of(w, "name"),
           (long long)json_integer_value(json_object_get(w, "pods")),
           json_integer_value(json_object_get(w, "pods")) == 1 ? "" : "s",
           (long long)json_integer_value(json_object_get(w, "port")), word_of(w, "tls"),
           word_of(w, "verdict"),
           *word_of(w, "by")                           ? " by "
           : streq(word_of(w, "verdict"), "forbidden") ? ": none that allows fits"
                                                       : "",
           word_of(w, "by"));
    json_array_foreach(json_object_get(w, "policies"), i, p)
        printf("      %s %s %s%s%s%s%s%s\n", streq(word_of(p, "matches"), "yes") ? "=>" : " -",
               word_of(p, "action"), word_of(p, "object"), *word_of(p, "field") ? " " : "",
               word_of(p, "field"), json_is_true(json_object_get(p, "dryRun")) ? " (dry run)" : "",
               *word_of(p, "why") ? ": " : "", word_of(p, "why"));
}

static void print_destination(const json_t *d)
{
    long long weight = json_integer_value(json_object_get(d, "weight"));
    json_t *w;
    size_t i;
    printf("  to %s%s%s port %lld", word_of(d, "host"), *word_of(d, "subset") ? " subset " : "",
           word_of(d, "subset"), (long long)json_integer_value(json_object_get(d, "port")));
    if (weight)
        printf(" (%lld)", weight);
    printf(": %s, TLS %s\n", word_of(d, "balance"), word_of(d, "tls"));
    json_array_foreach(json_object_get(d, "workloads"), i, w) print_workload(w);
}

static void print_text(const json_t *j, const struct explain_request *q, uint16_t port)
{
    const json_t *to = json_object_get(j, "to");
    json_t *one;
    size_t i;
    printf(STR_FMT " " STR_FMT ":%u" STR_FMT " from %s\n", STR_ARG(q->method), STR_ARG(q->host),
           port, STR_ARG(q->path), word_of(j, "from"));
    printf("as: %s\n", word_of(j, "principal"));
    if (json_key_str(j, "nobody")) {
        printf("for: nobody: %s\n", word_of(j, "nobody"));
        return;
    }
    printf("for: %s %s, %s\n", word_of(to, "kind"), word_of(to, "host"), word_of(to, "protocol"));
    json_array_foreach(json_object_get(j, "steps"), i, one) printf(
        "  %s %s%s%s   (%s %s %s)\n", json_is_true(json_object_get(one, "matches")) ? "=>" : " -",
        word_of(one, "match"), *word_of(one, "why") ? ": no, " : "", word_of(one, "why"),
        json_at_str(one, "origin.kind"), json_at_str(one, "origin.object"),
        json_at_str(one, "origin.field"));
    printf("answer: %s\n", word_of(j, "action"));
    json_array_foreach(json_object_get(j, "destinations"), i, one) print_destination(one);
    json_array_foreach(json_object_get(j, "findings"), i, one)
        printf("warning: %s %s: %s\n", word_of(one, "object"), word_of(one, "field"),
               word_of(one, "message"));
}

int cli_explain_from(const char *word, const char *namespace_, const char *output,
                     const json_t *objects, const struct explain_request *q, uint16_t port)
{
    AUTO(mesh_snapshot) struct mesh_snapshot *s = mesh_snapshot_of(objects);
    struct mesh_explain_call c = {.from = cli_explain_find_pod(s, namespace_, word),
                                  .trust_domain = "cluster.local",
                                  .q = *q,
                                  .port = port};
    if (!c.from)
        return program_fail(EXIT_FAILED, "give POD, or deploy/NAME",
                            "--from: there is no pod of %s in namespace %s", word, namespace_);
    AUTO_JSON json_t *j = mesh_explain(s, objects, &c);
    if (streq(output, "json")) {
        AUTO_DONE(buf) struct buf text = {0};
        json_write_indented(&text, j);
        printf("%s\n", buf_cstr(&text));
    } else {
        print_text(j, q, port);
    }
    return EXIT_OK;
}
