/* --as agnhost: the server of Kubernetes' own tests and of its documentation.
 *
 * netexec (HTTP 8080, UDP 8081), serve-hostname (9376), connect, pause; without a subcommand it
 * pauses, as the original does. What is not here (/shell, /dial, the other subcommands) says so. */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/program.h"
#include "base/time.h"
#include "codec/url.h"
#include "echo/echo_modes.h"

enum { CONNECT_MS_MAX = 600 * 1000 };

static const char *own_name(const struct echo *e)
{
    return e->options->name;
}

/* ---- netexec ---- */

static void now(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    char when[21];
    time_format_rfc3339(time_real_s(), when);
    AUTO_CHARS char *text = xasprintf("NOW: %s", when);
    echo_reply_text(e, x, 200, text);
}

static void hostname(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply_text(e, x, 200, own_name(e));
}

static void client_ip(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    struct ip ip;
    uint16_t port;
    char text[ECHO_ADDR_BYTES] = "";
    if (conn_peer_addr(http_exchange_conn(x), &ip, &port) == 0)
        echo_addr_format(&ip, port, text);
    echo_reply_text(e, x, 200, text);
}

static void echo_message(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_CHARS char *message = url_param(http_exchange_query(x), "msg");
    AUTO_CHARS char *code = url_param(http_exchange_query(x), "code");
    uint64_t status = 200;
    if (code && (str_to_u64(str_from(code), &status) < 0 || status < 200 || status > 599))
        status = 400;
    echo_reply_text(e, x, (int)status, message ? message : "");
}

static void header(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_CHARS char *key = url_param(http_exchange_query(x), "key");
    struct str value = key ? http_exchange_header(x, key) : (struct str){0};
    echo_reply(e, x, 200, "text/plain; charset=utf-8", value);
}

static void healthz(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply_text(e, x, e->draining ? 412 : 200, "");
}

static void end(void *user)
{
    loop_stop(((struct echo *)user)->loop, 0);
}

static void leave(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_CHARS char *code = url_param(http_exchange_query(x), "code");
    if (code && !streq(code, "0")) {
        echo_reply_text(e, x, 501, "the lab's agnhost leaves with code 0 only\n");
        return;
    }
    echo_reply_text(e, x, 200, "");
    loop_call_init(&e->ending, end, e);
    loop_defer(e->loop, &e->ending);
}

static void redirect(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_CHARS char *to = url_param(http_exchange_query(x), "location");
    const struct http_header headers[] = {{STR("Location"), str_from(to ? to : "/")}};
    (void)e;
    http_exchange_reply(x, 302, headers, ARRAY_LEN(headers), (struct str){0});
}

static void not_here(struct echo *e, struct http_exchange *x, struct str path)
{
    AUTO_CHARS char *text = xasprintf("the lab's agnhost has no " STR_FMT "\n", STR_ARG(path));
    echo_reply_text(e, x, 404, text);
}

static void datagram(const struct echo *e, struct str d, struct buf *ret)
{
    struct str rest, verb = str_cut(str_trim(d), ' ', &rest);
    if (str_eq_nocase(verb, STR("hostname")))
        buf_addf(ret, "%s", own_name(e));
    else if (str_eq_nocase(verb, STR("echo")))
        buf_add_str(ret, rest.p ? rest : STR(""));
    else
        buf_addf(ret, "unknown command \"" STR_FMT "\"", STR_ARG(verb));
}

static const struct echo_path netexec_paths[] = {
    {"/", false, now},
    {"/hostname", false, hostname},
    {"/hostName", false, hostname},
    {"/clientip", false, client_ip},
    {"/echo", false, echo_message},
    {"/header", false, header},
    {"/healthz", true, healthz},
    {"/readyz", true, healthz},
    {"/exit", true, leave},
    {"/redirect", false, redirect},
};

/* ---- serve-hostname ---- */

static void any_hostname(struct echo *e, struct http_exchange *x, struct str path)
{
    hostname(e, x, path);
}

static void hostname_datagram(const struct echo *e, struct str d, struct buf *ret)
{
    (void)d;
    buf_addf(ret, "%s", own_name(e));
}

static const struct echo_mode serve_hostname = {
    .name = "agnhost", .answer = any_hostname, .datagram = hostname_datagram};

static bool is_asked(char *const *argv, const char *flag)
{
    for (size_t i = 0; argv[i]; i++)
        if (strncmp(argv[i], "--", 2) == 0 && streq(argv[i] + 2, flag))
            return true;
    return streq(echo_flag(argv, flag), "true");
}

static void port_to(struct echo_ports *list, char *const *argv, const char *flag,
                    uint16_t otherwise)
{
    const char *text = echo_flag(argv, flag);
    uint16_t port = text ? echo_port_parse(text) : otherwise;
    if (port)
        list->v[list->n++] = port;
}

/* ---- what ends by itself ---- */

static int pause_here(void)
{
    sigset_t set;
    int signo;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    printf("Paused\n");
    fflush(stdout);
    return sigwait(&set, &signo) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int say(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return EXIT_FAILED;
}

/* connect HOST:PORT [--timeout=D] [--protocol=tcp]: the word that tells how it failed. */
static int connect_to(const char *where, char *const *argv)
{
    const char *limit = echo_flag(argv, "timeout"), *protocol = echo_flag(argv, "protocol");
    uint64_t ms = 0;
    const char *colon = where ? strrchr(where, ':') : NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (!colon || (protocol && !streq(protocol, "tcp")))
        return say("OTHER: the lab's agnhost connects to HOST:PORT by TCP");
    if (limit && time_parse_duration(str_from(limit), &ms) < 0)
        return say("OTHER: --timeout is no duration");
    struct str host = str_of(where, (size_t)(colon - where));
    if (host.n > 2 && *host.p == '[')
        host = str_sub(host, 1, host.n - 1);
    AUTO_CHARS char *name = str_dup(host);
    if (getaddrinfo(name, colon + 1, &hints, &found) != 0)
        return say("DNS: no such host");
    AUTO_FD int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ms = MIN(ms, (uint64_t)CONNECT_MS_MAX);
    struct timeval wait = {.tv_sec = (time_t)(ms / 1000),
                           .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    if (fd >= 0 && ms)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    int r = fd < 0 ? -errno : connect(fd, found->ai_addr, found->ai_addrlen) < 0 ? -errno : 0;
    freeaddrinfo(found);
    if (r == 0)
        return EXIT_OK;
    return say(r == -EINPROGRESS || r == -EAGAIN || r == -ETIMEDOUT ? "TIMEOUT"
               : r == -ECONNREFUSED                                 ? "REFUSED"
                                                                    : "OTHER");
}

static int begin(struct echo_options *o, char *const *argv)
{
    while (*argv && **argv == '-')
        argv++;
    const char *verb = *argv ? *argv : "pause";
    if (streq(verb, "pause"))
        return pause_here();
    if (streq(verb, "connect"))
        return connect_to(argv[1], argv + 1);
    if (streq(verb, "netexec")) {
        port_to(&o->http, argv, "http-port", 8080);
        port_to(&o->udp, argv, "udp-port", 8081);
        return -1;
    }
    if (streq(verb, "serve-hostname")) {
        o->mode = &serve_hostname;
        bool udp = is_asked(argv, "udp"), tcp = is_asked(argv, "tcp");
        if (tcp)
            return program_fail(EXIT_FAILED, NULL,
                                "the lab's agnhost serve-hostname has --http and --udp, not --tcp");
        port_to(udp ? &o->udp : &o->http, argv, "port", 9376);
        return -1;
    }
    return program_fail(EXIT_FAILED,
                        "fairlead lab image 'registry.k8s.io/e2e-test-images/agnhost=COMMAND' runs "
                        "a real one",
                        "the lab's agnhost has netexec, serve-hostname, connect and pause, not %s",
                        verb);
}

const struct echo_mode echo_agnhost = {
    .name = "agnhost",
    .http = 8080,
    .paths = netexec_paths,
    .n_paths = ARRAY_LEN(netexec_paths),
    .answer = not_here,
    .datagram = datagram,
    .begin = begin,
};
