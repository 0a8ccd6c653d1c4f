/* fairlead logs: the log of a container, or of several pods' one, as it is or followed.
 *
 * Several are asked at once and printed one after the other; followed ones are mixed by whole
 * lines. The exit code is that of the first that failed. */
#include <errno.h>
#include <stdio.h>

#include "cli/pod_choice.h"
#include "codec/url.h"

enum { FOLLOW_MAX = 5, SELECTED_TAIL = 10 }; /* kubectl's */

struct logs_args {
    struct cli_session session;
    const char *container, *selector;
    bool follow, previous, timestamps;
    int64_t tail;
    uint64_t since_ms;
};

struct stream {
    bool done;
    bool by_lines; /* others print between */
    int code;
    int status;
    struct buf part; /* of a line */
    struct buf error;
};

static void on_head(struct http_call *call, int status, void *user)
{
    (void)call;
    ((struct stream *)user)->status = status;
}

static void print(struct stream *s, struct str piece)
{
    struct str out = piece;
    if (s->by_lines) {
        size_t end = piece.n;
        while (end && piece.p[end - 1] != '\n')
            end--;
        if (!end) {
            buf_add_str(&s->part, piece);
            return;
        }
        fwrite(s->part.p ? s->part.p : "", 1, s->part.n, stdout);
        buf_clear(&s->part);
        buf_add_str(&s->part, str_sub(piece, end, piece.n));
        out = str_sub(piece, 0, end);
    }
    fwrite(out.p, 1, out.n, stdout);
    fflush(stdout);
}

static void on_data(struct http_call *call, struct str piece, void *user)
{
    struct stream *s = user;
    (void)call;
    if (s->status == 200)
        print(s, piece);
    else
        buf_add_str(&s->error, piece);
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct stream *s = user;
    (void)call;
    s->done = true;
    fwrite(s->part.p ? s->part.p : "", 1, s->part.n, stdout);
    s->code = code < 0 ? program_fail(EXIT_UNREACHABLE, NULL, "logs: %s", text) : EXIT_OK;
    if (code == 0 && s->status != 200) {
        struct cli_answer a = {s->status, s->error};
        s->code = cli_server_error(&a);
    }
}

static void target_of(const struct logs_args *a, const char *pod, struct buf *ret)
{
    const struct kube_resource pods = {
        .plural = "pods", .kind = "Pod", .group_version = "v1", .namespaced = true};
    AUTO_CHARS char *path = kube_resource_path(&pods, a->session.namespace_, pod);
    int64_t tail = a->tail < 0 && a->selector ? SELECTED_TAIL : a->tail;
    buf_addf(ret, "%s/log?follow=%s&previous=%s&timestamps=%s", path, a->follow ? "true" : "false",
             a->previous ? "true" : "false", a->timestamps ? "true" : "false");
    if (tail >= 0)
        buf_addf(ret, "&tailLines=%lld", (long long)tail);
    if (a->since_ms)
        buf_addf(ret, "&sinceSeconds=%llu", (unsigned long long)(a->since_ms + 999) / 1000);
    if (a->container) {
        buf_add_cstr(ret, "&container=");
        url_encode(str_from(a->container), ret);
    }
}

static void begin(struct logs_args *a, const char *pod, struct stream *s)
{
    static const struct http_call_ops ops = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    AUTO_DONE(buf) struct buf target = {0};
    const struct http_header accept = {STR("Accept"), STR("*/*")};
    target_of(a, pod, &target);
    const struct http_request r = {
        .method = "GET", .target = buf_cstr(&target), .headers = &accept, .n_headers = 1};
    (void)http_call_start(kube_client_http(a->session.client), &r, &ops, s);
}

/* The pods one after the other; followed, all at once. */
static int run(struct logs_args *a, char *const *pods, size_t n)
{
    struct stream *streams = xcalloc(n + 1, sizeof(*streams));
    int code = EXIT_OK;
    for (size_t i = 0; i < n; i++) {
        streams[i].by_lines = a->follow && n > 1;
        begin(a, pods[i], &streams[i]);
        while (!a->follow && !streams[i].done)
            loop_turn(a->session.loop, -1);
    }
    for (size_t i = 0; i < n; i++) {
        while (!streams[i].done)
            loop_turn(a->session.loop, -1);
        code = code ? code : streams[i].code;
        buf_done(&streams[i].part);
        buf_done(&streams[i].error);
    }
    free(streams);
    return code;
}

static int run_selected(struct logs_args *a)
{
    AUTO_JSON json_t *list = NULL;
    VEC(char *) names = {0};
    json_t *pod;
    size_t i;
    int code = cli_pods_select(&a->session, a->selector, &list);
    if (code >= 0)
        return code;
    json_array_foreach(list, i, pod)
        vec_push(&names, (char *)(uintptr_t)json_at_str(pod, "metadata.name"));
    if (!names.n)
        fprintf(stderr, "No resources found in %s namespace.\n", a->session.namespace_);
    code = a->follow && names.n > FOLLOW_MAX
               ? program_fail(EXIT_FAILED, "select fewer, or leave -f out",
                              "-l %s selects %zu pods; %d can be followed at once", a->selector,
                              names.n, FOLLOW_MAX)
               : run(a, names.v, names.n);
    vec_done(&names);
    return code;
}

int cli_logs(int argc, char **argv)
{
    struct logs_args a = {.tail = -1};
    struct arg args[] = {
        CLI_SESSION_ARGS(&a.session),
        {"follow", 'f', ARG_BOOL, &a.follow, NULL, "go on as it grows", 0, 0, false},
        {"container", 'c', ARG_STRING, &a.container, "NAME", "container of the pod", 0, 0, false},
        {"selector", 'l', ARG_STRING, &a.selector, "SEL",
         "of all pods with these labels (the last 10 lines of each)", 0, 0, false},
        {"previous", 'p', ARG_BOOL, &a.previous, NULL, "the one before the last restart", 0, 0,
         false},
        {"timestamps", 0, ARG_BOOL, &a.timestamps, NULL, "a time before each line", 0, 0, false},
        {"since", 0, ARG_DURATION, &a.since_ms, "D", "only what is not older", 0, 0, false},
        {"tail", 0, ARG_INT, &a.tail, "N", "only the last N lines", -1, INT64_MAX, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead logs",
                              "prints the log of a pod's container",
                              "POD | TYPE/NAME | -l SELECTOR [flags]",
                              "  fairlead logs web -f\n  fairlead logs web -c proxy --tail 20\n"
                              "  fairlead logs deploy/web --previous\n  fairlead logs -l app=web\n",
                              args,
                              false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    char *pod = NULL;
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (rest.n != (a.selector ? 0 : 1))
        return program_fail(EXIT_USAGE_ERROR, "fairlead logs POD",
                            a.selector ? "name a pod or a selector, not both" : "name one pod");
    code = cli_session_open(&a.session);
    if (code >= 0)
        return code;
    if (a.selector) {
        code = run_selected(&a);
    } else if ((code = cli_pod_choose(&a.session, rest.v[0], &pod)) < 0) {
        code = run(&a, &pod, 1);
    }
    free(pod);
    cli_session_close(&a.session);
    return code;
}
