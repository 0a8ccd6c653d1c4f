/* Connection, requests, errors: what the commands share. */
#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"

int cli_session_open(struct cli_session *s)
{
    struct err err = {0};
    if (kube_config_load(s->kubeconfig, s->context, &s->config, &err) < 0)
        return program_fail(
            EXIT_FAILED,
            err.code == -ENOENT
                ? "fairlead lab up starts a cluster and says what to export"
                : "mend the file, or name another one with --kubeconfig or KUBECONFIG",
            "%s", err_text(&err));
    if (loop_new(&s->loop, &err) < 0 ||
        kube_client_new(s->loop, s->config, "fairlead/" FAIRLEAD_VERSION, &s->client, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (!s->namespace_)
        s->namespace_ = s->config->namespace_;
    return -1;
}

void cli_session_forget_view(struct cli_session *s)
{
    if (s->view_field)
        explicit_bzero(s->view_field, strlen(s->view_field));
    free(TAKE(s->view_field));
    free(TAKE(s->view_problem));
}

void cli_session_close(struct cli_session *s)
{
    cli_session_forget_view(s);
    kube_client_free(s->client);
    kube_config_free(s->config);
    if (s->loop)
        loop_turn(s->loop, 0);
    loop_free(s->loop);
}

int cli_unreachable(const struct cli_session *s, const struct err *err)
{
    return program_fail(EXIT_UNREACHABLE, "is the cluster up? fairlead lab status",
                        "the server %s cannot be reached: %s", s->config->server, err_text(err));
}

struct waiter {
    bool done;
    int code;
    struct cli_answer *answer;
    struct err *err;
};

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct waiter *w = user;
    w->done = true;
    w->code = code;
    if (code < 0) {
        err_set(w->err, code, NULL, "%s", text);
        return;
    }
    w->answer->status = http_call_status(call);
    buf_add_str(&w->answer->body, http_call_body(call));
}

int cli_request_whole(struct cli_session *s, const struct http_request *r, struct cli_answer *ret,
                      struct err *reterr)
{
    static const struct http_call_ops ops = {.on_done = on_done};
    struct waiter w = {.answer = ret, .err = reterr};
    *ret = (struct cli_answer){0};
    (void)http_call_start(kube_client_http(s->client), r, &ops, &w);
    while (!w.done)
        loop_turn(s->loop, -1);
    return w.code;
}

int cli_request(struct cli_session *s, const char *method, const char *target, const char *accept,
                const char *content_type, struct str body, struct cli_answer *ret,
                struct err *reterr)
{
    struct http_header headers[2] = {
        {STR("Accept"), str_from(accept ? accept : "application/json")},
        {STR("Content-Type"), str_from(content_type ? content_type : "application/json")}};
    struct http_request r = {.method = method,
                             .target = target,
                             .headers = headers,
                             .n_headers = body.n ? 2 : 1,
                             .body = body,
                             .timeout_ms = CLI_REQUEST_MS};
    return cli_request_whole(s, &r, ret, reterr);
}

int cli_server_error(const struct cli_answer *a)
{
    AUTO_JSON json_t *status = NULL;
    if (json_parse(buf_str(&a->body), 0, NULL, &status, NULL) == 0 &&
        json_key_str(status, "message")) {
        const char *reason = json_key_str(status, "reason");
        fprintf(stderr, "Error from server%s%s%s: %s\n", reason ? " (" : "", reason ? reason : "",
                reason ? ")" : "", json_key_str(status, "message"));
    } else {
        fprintf(stderr, "Error from server: HTTP %d\n", a->status);
    }
    return EXIT_FAILED;
}
