/* Options of fairlead-echo: flags first, environment second, defaults last. Manifests of tutorials
 * set environment variables, people at a prompt use flags: both reach the same fields. Owns the
 * parsing; the servers only see the result. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/program.h"
#include "base/time.h"
#include "echo/echo.h"

enum { ECHO_HTTP_DEFAULT = 8080 };

static int ports_parse(struct str s, struct echo_ports *ret)
{
    while (s.p && s.n) {
        struct str one = str_trim(str_cut(s, ',', &s));
        uint64_t port;
        if (str_to_u64(one, &port) < 0 || port < 1 || port > 65535 || ret->n == ARRAY_LEN(ret->v))
            return -EINVAL;
        ret->v[ret->n++] = (uint16_t)port;
    }
    return 0;
}

static int ports_load(const char *flag, const struct arg_list *values, const char *env,
                      struct echo_ports *ret)
{
    const char *fallback = getenv(env);
    int r = 0;
    for (size_t i = 0; i < values->n && r == 0; i++)
        r = ports_parse(str_from(values->v[i]), ret);
    if (values->n == 0 && fallback)
        r = ports_parse(str_from(fallback), ret);
    if (r < 0)
        return program_fail(EXIT_USAGE_ERROR, NULL,
                            "--%s (or %s): ports are numbers from 1 to 65535, at most %zu of them",
                            flag, env, ARRAY_LEN(ret->v));
    return -1;
}

static int duration_env(const char *name, bool is_set, uint64_t *value)
{
    const char *text = getenv(name);
    if (is_set || !text)
        return -1;
    if (time_parse_duration(str_from(text), value) < 0)
        return program_fail(EXIT_USAGE_ERROR, NULL, "%s=%s is not a duration such as 300ms or 2s",
                            name, text);
    return -1;
}

static char *name_default(void)
{
    char host[256] = "echo";
    (void)gethostname(host, sizeof(host) - 1);
    return xstrdup(host);
}

static int percent_load(bool is_set, int64_t value, uint64_t *ret)
{
    const char *text = getenv("ECHO_FAIL_RATE");
    *ret = (uint64_t)value;
    if (is_set || !text)
        return -1;
    if (str_to_u64(str_from(text), ret) < 0 || *ret > 100)
        return program_fail(EXIT_USAGE_ERROR, NULL,
                            "ECHO_FAIL_RATE=%s is not a number from 0 to 100", text);
    return -1;
}

static int format_load(bool is_set, bool text, bool *ret)
{
    const char *format = getenv("ECHO_FORMAT");
    *ret = is_set || str_empty(format) ? text : streq(format, "text");
    if (is_set || str_empty(format) || *ret || streq(format, "json"))
        return -1;
    return program_fail(EXIT_USAGE_ERROR, NULL, "ECHO_FORMAT=%s is neither json nor text", format);
}

/* --as MODE, then what the original's command line would say. The words that are left for
 * ourselves are none. */
static int mode_load(int argc, char **argv, struct echo_options *ret)
{
    AUTO_DONE(buf) struct buf names = {0};
    const char *name = argc > 2 ? argv[2] : "";
    ret->mode = echo_mode_find(name);
    if (ret->mode) {
        ret->image = echo_flag(argv + 3, "standing-in-for");
        return -1;
    }
    echo_mode_names(&names);
    return program_fail(EXIT_USAGE_ERROR, NULL, "--as: \"%s\" is none of %s", name,
                        buf_cstr(&names));
}

static int mode_begin(struct echo_options *o, char *const *argv)
{
    const struct echo_mode *m = o->mode;
    int r = m->begin ? m->begin(o, argv) : -1;
    const char *flag = m->port_flag ? echo_flag(argv, m->port_flag) : NULL,
               *env = m->port_env ? getenv(m->port_env) : NULL;
    uint16_t port = flag ? echo_port_parse(flag) : env ? echo_port_parse(env) : m->http;
    if (r < 0 && !port)
        return program_fail(EXIT_USAGE_ERROR, NULL, "--%s %s: this names no port",
                            flag ? m->port_flag : m->port_env, flag ? flag : env);
    if (!o->http.n && !o->udp.n)
        o->http = (struct echo_ports){.v = {port}, .n = 1};
    return r;
}

enum { ARG_DELAY = 5, ARG_FAIL, ARG_DRAIN, ARG_TEXT };

int echo_options_load(int argc, char **argv, struct echo_options *ret)
{
    const char *name = NULL, *version = NULL;
    AUTO_DONE(arg_list) struct arg_list http = {0};
    AUTO_DONE(arg_list) struct arg_list tcp = {0};
    AUTO_DONE(arg_list) struct arg_list udp = {0};
    int64_t fail = 0;
    bool text = false;
    struct arg args[] = {
        {"http", 0, ARG_STRINGS, &http, "PORT",
         "HTTP/1.1 port; repeat or separate by commas (ECHO_HTTP; default 8080)", 0, 0, false},
        {"tcp", 0, ARG_STRINGS, &tcp, "PORT", "TCP port that sends back what it gets (ECHO_TCP)", 0,
         0, false},
        {"udp", 0, ARG_STRINGS, &udp, "PORT", "UDP port that answers name and datagram (ECHO_UDP)",
         0, 0, false},
        {"name", 0, ARG_STRING, &name, "NAME", "who answers (ECHO_NAME; default: the host name)", 0,
         0, false},
        {"app-version", 0, ARG_STRING, &version, "V",
         "version told in answers (ECHO_VERSION; default v1)", 0, 0, false},
        {"delay", 0, ARG_DURATION, &ret->delay_ms, "D",
         "wait before each ordinary answer (ECHO_DELAY)", 0, 0, false},
        {"fail-rate", 0, ARG_INT, &fail, "PERCENT",
         "answer so many ordinary requests with 500 (ECHO_FAIL_RATE)", 0, 100, false},
        {"drain", 0, ARG_DURATION, &ret->drain_ms, "D",
         "go on serving for so long after SIGTERM, with /ready failing (ECHO_DRAIN)", 0, 0, false},
        {"text", 0, ARG_BOOL, &text, NULL, "answer text instead of JSON (ECHO_FORMAT=text)", 0, 0,
         false},
        {.name = NULL},
    };
    const struct program p = {
        "fairlead-echo",
        "a small server that tells who answered",
        "[flags]\n  fairlead-echo --as MODE [the original's arguments]",
        "  fairlead-echo\n"
        "  fairlead-echo --http 8080 --tcp 9000 --udp 9000 --name a --drain 5s\n"
        "  fairlead-echo --as podinfo --port=9898\n"
        "  ECHO_HTTP=80,8080 ECHO_DELAY=200ms fairlead-echo --fail-rate 10\n",
        args,
        false};
    char **rest = NULL;
    int r = -1;
    if (argc > 1 && streq(argv[1], "--as")) {
        r = mode_load(argc, argv, ret);
        rest = argv + MIN(argc, 3);
        argc = 1;
    }
    if (r < 0)
        r = program_start(&p, argc, argv, NULL, NULL);
    if (r < 0)
        r = ports_load("http", &http, "ECHO_HTTP", &ret->http);
    if (r < 0)
        r = ports_load("tcp", &tcp, "ECHO_TCP", &ret->tcp);
    if (r < 0)
        r = ports_load("udp", &udp, "ECHO_UDP", &ret->udp);
    if (r < 0)
        r = duration_env("ECHO_DELAY", args[ARG_DELAY].set, &ret->delay_ms);
    if (r < 0)
        r = duration_env("ECHO_DRAIN", args[ARG_DRAIN].set, &ret->drain_ms);
    if (r < 0)
        r = percent_load(args[ARG_FAIL].set, fail, &ret->fail_percent);
    if (r < 0)
        r = format_load(args[ARG_TEXT].set, text, &ret->text);
    if (r >= 0)
        return r;
    name = name ? name : getenv("ECHO_NAME");
    version = version ? version : getenv("ECHO_VERSION");
    ret->name = name ? xstrdup(name) : name_default();
    ret->version = xstrdup(version ? version : "v1");
    if (ret->mode)
        return mode_begin(ret, rest);
    if (!ret->http.n && !ret->tcp.n && !ret->udp.n)
        ret->http = (struct echo_ports){.v = {ECHO_HTTP_DEFAULT}, .n = 1};
    return -1;
}

void echo_options_done(struct echo_options *o)
{
    free(o->name);
    free(o->version);
}
