/* The admin interface: its commands, and where it listens. Nobody but this machine reaches it, and
 * what changes something takes a POST. */
#include "proxy/admin.h"

#include <errno.h>
#include <malloc.h>

#include "base/time.h"
#include "proxy/admin_priv.h"

static const char *const state_words[] = {
    [ADMIN_LIVE] = "LIVE", [ADMIN_INITIALIZING] = "INITIALIZING", [ADMIN_DRAINING] = "DRAINING"};

static void show_ready(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    buf_addf(b, "%s\n", state_words[a->ops->state(a->user)]);
    if (a->ops->state(a->user) != ADMIN_LIVE)
        p->status = 503;
}

static void show_info(struct admin *a, struct admin_page *p)
{
    unsigned long long up = (time_mono_us() - a->begin_us) / 1000000;
    const char *node = a->ops->node(a->user);
    buf_addf(&p->body,
             "{\n \"version\": \"fairlead/%s\",\n \"state\": \"%s\",\n"
             " \"hot_restart_version\": \"disabled\",\n"
             " \"uptime_current_epoch\": \"%llus\",\n \"uptime_all_epochs\": \"%llus\",\n"
             " \"command_line_options\": {\n  \"concurrency\": %u\n },\n \"node\": %s\n}\n",
             FAIRLEAD_VERSION, state_words[a->ops->state(a->user)], up, up, endpoint_workers(),
             node);
}

static void show_memory(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    struct mallinfo2 m = mallinfo2();
    (void)a;
    buf_addf(b, "{\n \"allocated\": \"%zu\",\n \"heap_size\": \"%zu\"\n}\n", m.uordblks, m.arena);
}

static void show_quit(struct admin *a, struct admin_page *p)
{
    struct buf *b = &p->body;
    buf_add_cstr(b, "OK\n");
    a->ops->quit(a->user);
}

static void show_help(struct admin *a, struct admin_page *p);

static const struct command {
    const char *path;
    void (*fn)(struct admin *a, struct admin_page *p);
    const char *type;
    bool post; /* it changes something */
    const char *help;
} commands[] = {
    {"/", show_help, ADMIN_TEXT, false, "this list"},
    {"/certs", admin_certs, ADMIN_JSON, false, "print certs on machine"},
    {"/clusters", admin_clusters, ADMIN_TEXT, false, "upstream cluster status: ?format=json"},
    {"/config_dump", admin_config_dump, ADMIN_JSON, false,
     "dump current configs: ?include_eds, ?resource=LIST, ?name_regex=REGEX"},
    {"/drain_listeners", admin_drain_listeners, ADMIN_TEXT, true,
     "drain listeners: ?inboundonly, ?graceful, ?skip_exit"},
    {"/healthcheck/fail", admin_fail, ADMIN_TEXT, true,
     "cause the server to fail health checks, and connections to go"},
    {"/healthcheck/ok", admin_pass, ADMIN_TEXT, true, "cause the server to pass health checks"},
    {"/help", show_help, ADMIN_TEXT, false, "print out list of admin commands"},
    {"/listeners", admin_listeners, ADMIN_TEXT, false, "print listener info: ?format=json"},
    {"/logging", admin_logging, ADMIN_TEXT, true, "query/change the logging level: ?level=LEVEL"},
    {"/memory", show_memory, ADMIN_JSON, false, "print current allocation/heap usage"},
    {"/quitquitquit", show_quit, ADMIN_TEXT, true, "exit the server"},
    {"/ready", show_ready, ADMIN_TEXT, false,
     "print server state, return 200 if LIVE, otherwise return 503"},
    {"/reset_counters", admin_reset_counters, ADMIN_TEXT, true, "reset all counters to zero"},
    {"/server_info", show_info, ADMIN_JSON, false, "print server version/status"},
    {"/stats", admin_stats, ADMIN_TEXT, false,
     "print server stats: ?usedonly, ?filter=REGEX, ?format=text|json|prometheus, ?type=TYPE"},
    {"/stats/prometheus", admin_prometheus, ADMIN_TEXT, false,
     "print server stats in prometheus format: ?usedonly, ?filter=REGEX"},
};

static void show_help(struct admin *a, struct admin_page *p)
{
    (void)a;
    buf_add_cstr(&p->body, "admin commands are:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        buf_addf(&p->body, "  %s%s: %s\n", commands[i].path, commands[i].post ? " (POST)" : "",
                 commands[i].help);
}

static const struct command *find_command(struct str path)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_is(path, commands[i].path))
            return &commands[i];
    return NULL;
}

/* Whoever may write a route may have this proxy itself ask its own loopback (copies, questions to
 * another server): such a request changes nothing here. Every proxy sets the field. */
static bool came_through_proxy(const struct http_exchange *x)
{
    return http_exchange_header(x, "x-forwarded-proto").p ||
           http_exchange_header(x, "x-forwarded-for").p;
}

static void fill_page(struct admin *a, struct admin_page *p)
{
    struct str method = http_exchange_method(p->x);
    const struct command *c = find_command(http_exchange_path(p->x));
    if (!c) {
        p->status = 404;
        buf_add_cstr(&p->body, "invalid path. ");
        show_help(a, p);
    } else if (c->post && !str_is(method, "POST")) {
        p->status = 405;
        buf_addf(&p->body, "Method " STR_FMT " not allowed, POST required.", STR_ARG(method));
    } else if (c->post && came_through_proxy(p->x)) {
        p->status = 403;
        buf_add_cstr(&p->body, "refused: it has come through a proxy (x-forwarded-proto).\n");
    } else {
        p->type = c->type;
        c->fn(a, p);
    }
}

static void on_request(struct http_exchange *x, void *user)
{
    struct admin_page p = {
        .x = x, .query = http_exchange_query(x), .status = 200, .type = ADMIN_TEXT};
    fill_page(user, &p);
    admin_page_end(&p);
}

static int read_ip(const Envoy__Config__Core__V3__SocketAddress *m, struct listener_address *ret,
                   struct err *reterr)
{
    if (ip_parse(str_from(m->address), &ret->ip) < 0)
        return err_set(reterr, -EINVAL, "admin.address", "expected an IP, not %s", m->address);
    bool loopback =
        ret->ip.family == AF_INET ? ret->ip.bytes[0] == 127 : str_is(STR("::1"), m->address);
    if (!loopback)
        return err_set(reterr, -EINVAL, "admin.address",
                       "%s would let others end the proxy: use 127.0.0.1, ::1 or a pipe",
                       m->address);
    ret->port = (uint16_t)m->port_value;
    return 0;
}

int admin_read_address(const Envoy__Config__Bootstrap__V3__Admin *m, struct listener_address *ret,
                       struct err *reterr)
{
    const Envoy__Config__Core__V3__Address *a = m->address;
    *ret = (struct listener_address){.path = NULL};
    if (a && a->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS)
        return read_ip(a->socket_address, ret, reterr);
    if (!a || a->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE || !*a->pipe->path)
        return err_set(reterr, -EINVAL, "admin.address",
                       "expected a socket_address with an IP, or a pipe");
    ret->path = xstrdup(a->pipe->path);
    ret->mode = a->pipe->mode ? a->pipe->mode : ADMIN_PIPE_MODE;
    return 0;
}

int admin_new(struct loop *l, const struct listener_address *at, const struct admin_ops *ops,
              void *user, struct admin **ret, struct err *reterr)
{
    static const struct http_server_config config = {.connections_max = 64};
    static const struct http_server_ops server_ops = {.on_request = on_request};
    struct admin *a = NEW(struct admin);
    a->ops = ops;
    a->user = user;
    a->loop = l;
    a->begin_us = time_mono_us();
    int r = http_server_new_at(l, at, &config, &server_ops, a, &a->server, reterr);
    if (r < 0) {
        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    http_server_free(a->server);
    free(a);
}
