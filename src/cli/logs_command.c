/* fairlead logs: the log of a container, as it is or followed. */
#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"
#include "codec/url.h"

struct stream {
    bool done;
    int code;
    int status;
    struct buf error;
};

static void on_head(struct http_call *call, int status, void *user)
{
    (void)call;
    ((struct stream *)user)->status = status;
}

static void on_data(struct http_call *call, struct str piece, void *user)
{
    struct stream *s = user;
    (void)call;
    if (s->status == 200) {
        fwrite(piece.p, 1, piece.n, stdout);
        fflush(stdout);
    } else {
        buf_add_str(&s->error, piece);
    }
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct stream *s = user;
    (void)call;
    s->done = true;
    s->code = code < 0 ? program_fail(EXIT_UNREACHABLE, NULL, "logs: %s", text) : EXIT_OK;
}

static int run(struct cli_session *s, const char *target)
{
    static const struct http_call_ops ops = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    struct http_header accept = {STR("Accept"), STR("*/*")};
    struct http_request r = {.method = "GET", .target = target, .headers = &accept, .n_headers = 1};
    struct stream stream = {0};
    (void)http_call_start(kube_client_http(s->client), &r, &ops, &stream);
    while (!stream.done)
        loop_turn(s->loop, -1);
    if (stream.code == EXIT_OK && stream.status != 200) {
        struct cli_answer a = {stream.status, stream.error};
        stream.code = cli_server_error(&a);
    }
    buf_done(&stream.error);
    return stream.code;
}

int cli_logs(int argc, char **argv)
{
    struct cli_session s = {0};
    const char *container = NULL;
    bool follow = false, previous = false, timestamps = false;
    int64_t tail = -1;
    uint64_t since_ms = 0;
    struct arg args[] = {
        CLI_SESSION_ARGS(&s),
        {"follow", 'f', ARG_BOOL, &follow, NULL, "go on as it grows", 0, 0, false},
        {"container", 'c', ARG_STRING, &container, "NAME", "container of the pod", 0, 0, false},
        {"previous", 'p', ARG_BOOL, &previous, NULL, "the one before the last restart", 0, 0,
         false},
        {"timestamps", 0, ARG_BOOL, &timestamps, NULL, "a time before each line", 0, 0, false},
        {"since", 0, ARG_DURATION, &since_ms, "D", "only what is not older", 0, 0, false},
        {"tail", 0, ARG_INT, &tail, "N", "only the last N lines", -1, INT64_MAX, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead logs",
                              "prints the log of a pod's container",
                              "POD [flags]",
                              "  fairlead logs web -f\n  fairlead logs web -c proxy --tail 20\n"
                              "  fairlead logs web --previous\n",
                              args,
                              false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    AUTO_DONE(buf) struct buf target = {0};
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (rest.n != 1)
        return program_fail(EXIT_USAGE_ERROR, "fairlead logs POD", "name one pod");
    code = cli_session_open(&s);
    if (code >= 0)
        return code;
    const char *pod = str_starts(str_from(rest.v[0]), STR("pod/")) ? rest.v[0] + 4 : rest.v[0];
    const struct kube_resource pods = {
        .plural = "pods", .kind = "Pod", .group_version = "v1", .namespaced = true};
    AUTO_CHARS char *path = kube_resource_path(&pods, s.namespace_, pod);
    buf_addf(&target, "%s/log?follow=%s&previous=%s&timestamps=%s", path, follow ? "true" : "false",
             previous ? "true" : "false", timestamps ? "true" : "false");
    if (tail >= 0)
        buf_addf(&target, "&tailLines=%lld", (long long)tail);
    if (since_ms)
        buf_addf(&target, "&sinceSeconds=%llu", (unsigned long long)(since_ms + 999) / 1000);
    if (container) {
        buf_add_cstr(&target, "&container=");
        url_encode(str_from(container), &target);
    }
    code = run(&s, buf_cstr(&target));
    cli_session_close(&s);
    return code;
}
