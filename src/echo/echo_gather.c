/* Asking other services for the parts of an answer.
 *
 * All parts are asked at once, each on a connection of its own that ends with it. A gathering
 * belongs to its exchange and goes with it, whether it was answered or the client left. Headers
 * that traces, sessions and tests travel by are passed on, as the originals do. */
#include <errno.h>

#include "base/log.h"
#include "echo/echo.h"
#include "net/http_client.h"

enum { GATHER_MS = 3000, GATHER_BODY_MAX = 1024 * 1024, PASSED_MAX = 32 };

struct gathering;

struct asked {
    struct gathering *gathering;
    struct http_client *client;
    struct http_call *call;
};

struct gathering {
    struct loop_call finish;
    struct echo *echo;
    struct http_exchange *x;
    struct echo_part parts[ECHO_PARTS_MAX];
    struct asked asked[ECHO_PARTS_MAX];
    size_t n, open;
    struct str argument;
    echo_gathered_fn *done;
};

static void finish(void *user)
{
    struct gathering *g = user;
    g->done(g->echo, g->x, g->parts, g->argument); /* ends the exchange, and with it g */
}

static void gone(struct http_exchange *x, void *user)
{
    (void)x;
    struct gathering *g = user;
    loop_call_cancel(&g->finish);
    for (size_t i = 0; i < g->n; i++) {
        if (g->asked[i].call)
            http_call_cancel(g->asked[i].call);
        http_client_free(g->asked[i].client);
        buf_done(&g->parts[i].body);
    }
    free(g);
}

static void part_over(struct gathering *g)
{
    if (--g->open == 0)
        loop_defer(g->echo->loop, &g->finish);
}

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    (void)text;
    struct asked *a = user;
    struct echo_part *part = &a->gathering->parts[a - a->gathering->asked];
    a->call = NULL;
    if (code == 0) {
        part->status = http_call_status(call);
        buf_add_str(&part->body, http_call_body(call));
    }
    part_over(a->gathering);
}

static bool is_passed_on(struct str name)
{
    static const char *const names[] = {
        "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled",
        "x-b3-flags",   "b3",           "traceparent", "tracestate",        "x-ot-span-context",
        "end-user",     "user-agent",   "cookie",      "authorization",     "baggage",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    return false;
}

static void ask(struct gathering *g, size_t i, const struct http_header *headers, size_t n)
{
    static const struct http_call_ops ops = {.on_done = on_done};
    const struct echo_part *part = &g->parts[i];
    const struct http_client_config config = {.host = part->host,
                                              .port = part->port,
                                              .resolver = g->echo->resolver,
                                              .connect_timeout_ms = GATHER_MS};
    const struct http_request request = {.method = "GET",
                                         .target = part->target,
                                         .headers = headers,
                                         .n_headers = n,
                                         .timeout_ms = GATHER_MS,
                                         .body_bytes_max = GATHER_BODY_MAX};
    g->asked[i].gathering = g;
    g->asked[i].client = http_client_new(g->echo->loop, &config);
    g->asked[i].call = http_call_start(g->asked[i].client, &request, &ops, &g->asked[i]);
}

void echo_gather(struct echo *e, struct http_exchange *x, const struct echo_part *parts, size_t n,
                 struct str argument, echo_gathered_fn *done)
{
    struct http_header all[HTTP_FIELDS_MAX];
    struct http_header passed[PASSED_MAX];
    size_t n_all = http_head_list(http_exchange_head(x), all, HTTP_FIELDS_MAX), n_passed = 0;
    ASSERT(n > 0 && n <= ECHO_PARTS_MAX);
    if (!e->resolver && resolver_new(e->loop, &e->resolver, NULL) < 0)
        log_warn("no resolver: others are not asked");
    struct gathering *g = NEW(struct gathering);
    *g = (struct gathering){.finish = {.fn = finish, .user = g},
                            .echo = e,
                            .x = x,
                            .n = n,
                            .open = n,
                            .argument = argument,
                            .done = done};
    for (size_t i = 0; i < n_all && n_passed < PASSED_MAX; i++)
        if (is_passed_on(all[i].name))
            passed[n_passed++] = all[i];
    http_exchange_set_done(x, gone, g);
    for (size_t i = 0; i < n; i++) {
        g->parts[i] = parts[i];
        ask(g, i, passed, n_passed);
    }
}
