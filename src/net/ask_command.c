#include "net/ask_command.h"

#include <stdio.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/program.h"
#include "base/time.h"
#include "net/http_client.h"

enum { AGAIN_US = 50 * 1000 };

struct answer {
    bool done;
    int code, status;
    char why[256];
};

static void on_data(struct http_call *call, struct str piece, void *user)
{
    (void)call;
    (void)user;
    fwrite(piece.p, 1, piece.n, stdout);
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct answer *a = user;
    a->done = true;
    a->code = code;
    a->status = code < 0 ? 0 : http_call_status(call);
    snprintf(a->why, sizeof(a->why), "%s", code < 0 ? text : "");
}

static int ask(uint16_t port, const char *user_agent, const char *method, const char *path,
               struct answer *ret, struct err *reterr)
{
    static const struct http_call_ops ops = {.on_data = on_data, .on_done = on_done};
    const struct http_client_config config = {.ip = {AF_INET, {127, 0, 0, 1}},
                                              .port = port,
                                              .host = "localhost",
                                              .user_agent = user_agent};
    const struct http_request r = {.method = method, .target = path, .timeout_ms = 30000};
    struct loop *loop;
    int code = loop_new(&loop, reterr);
    if (code < 0)
        return code;
    struct http_client *client = http_client_new(loop, &config);
    (void)http_call_start(client, &r, &ops, ret);
    while (!ret->done)
        loop_turn(loop, -1);
    http_client_free(client);
    loop_turn(loop, 0);
    loop_free(loop);
    return 0;
}

/* Until it is good, or the time is over; at least once. */
static int ask_long(uint16_t port, const char *user_agent, const char *const *words,
                    uint64_t wait_ms, struct answer *ret, struct err *reterr)
{
    const uint64_t until = time_mono_ms() + wait_ms;
    for (;;) {
        *ret = (struct answer){0};
        int r = ask(port, user_agent, words[0], words[1], ret, reterr);
        if (r < 0 || (ret->code == 0 && ret->status / 100 == 2) || time_mono_ms() >= until)
            return r;
        (void)usleep(AGAIN_US);
    }
}

int ask_command(const struct ask_command *c, int argc, char **argv)
{
    int64_t port = c->port;
    uint64_t wait_ms = 0;
    struct arg args[] = {{"wait", 0, ARG_DURATION, &wait_ms, "DURATION",
                          "ask again until the answer is good, so long (default: once)", 0, 0,
                          false},
                         {c->port_flag, 0, ARG_INT, &port, "PORT", c->port_help, 1, 65535, false},
                         {.name = NULL}};
    const struct program p = {c->name, c->summary, "METHOD PATH [flags]", c->examples, args, false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    AUTO_CHARS char *user_agent = xasprintf("%s/request", c->program);
    struct answer answer = {0};
    struct err err = {0};
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (rest.n != 2 || rest.v[1][0] != '/') {
        AUTO_CHARS char *hint = xasprintf("%s GET %s", c->name, c->example_path);
        return program_fail(EXIT_USAGE_ERROR, hint, "give a method and a path");
    }
    if (ask_long((uint16_t)port, user_agent, (const char *const *)rest.v, wait_ms, &answer, &err) <
        0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (answer.code < 0)
        return program_fail(EXIT_UNREACHABLE, c->where, "%s at 127.0.0.1:%d: %s", c->what,
                            (int)port, answer.why);
    return answer.status / 100 == 2
               ? EXIT_OK
               : program_fail(EXIT_FAILED, NULL, "%s: status %d", rest.v[1], answer.status);
}
