/* fairlead-echo: start the servers, wait for SIGTERM, drain, end. */
#include <signal.h>

#include "base/program.h"
#include "echo/echo.h"

static void on_drained(void *user)
{
    loop_stop(user, 0);
}

struct stopper {
    struct echo echo;
    struct loop_timer *timer;
};

static void on_stop(int signo, void *user)
{
    struct stopper *s = user;
    if (signo == SIGINT || s->echo.options->drain_ms == 0 || s->echo.draining) {
        loop_stop(s->echo.loop, 0);
        return;
    }
    log_info("draining", kv_s("name", s->echo.options->name),
             kv_i("ms", (int64_t)s->echo.options->drain_ms));
    s->echo.draining = true;
    loop_timer_start(s->timer, s->echo.options->drain_ms);
}

void echo_stop(struct echo *e)
{
    echo_tcp_stop(e);
    VEC_FOREACH (server, &e->servers)
        http_server_free(*server);
    VEC_FOREACH (socket, &e->sockets)
        udp_server_free(*socket);
    resolver_free(e->resolver);
    vec_done(&e->servers);
    vec_done(&e->sockets);
}

int main(int argc, char **argv)
{
    __attribute__((cleanup(echo_options_done))) struct echo_options options = {0};
    struct err err = {0};
    AUTO(loop) struct loop *loop = NULL;
    int code = echo_options_load(argc, argv, &options);
    if (code >= 0)
        return code;
    signal(SIGPIPE, SIG_IGN);
    if (loop_new(&loop, &err) < 0)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    struct stopper s = {.echo = {.loop = loop, .options = &options}};
    list_init(&s.echo.streams);
    s.timer = loop_timer_new(loop, on_drained, loop);
    loop_signal_add(loop, SIGTERM, on_stop, &s);
    loop_signal_add(loop, SIGINT, on_stop, &s);
    if (echo_http_start(&s.echo, &err) < 0 || echo_tcp_start(&s.echo, &err) < 0 ||
        echo_udp_start(&s.echo, &err) < 0) {
        code = program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    } else {
        log_info("serving", kv_s("name", options.name), kv_s("version", options.version));
        code = loop_run(loop);
    }
    echo_stop(&s.echo);
    loop_timer_free(s.timer);
    loop_turn(loop, 0); /* closed connections are freed at a turn's end */
    return code;
}
