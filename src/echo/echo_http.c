/* The HTTP side of fairlead-echo: a table of paths, each with a function that answers.
 *
 * /  and everything unknown: the request as it came, with name, version and both addresses (JSON,
 * or text with ?format=text). A mode (echo_modes.c) brings its own table. A delayed answer keeps
 * a handle that the end of the exchange invalidates. While draining every answer says Connection:
 * close, so that clients move on before the end. */
#include <errno.h>
#include <stdio.h>

#include "base/rand.h"
#include "codec/json.h"
#include "codec/url.h"
#include "echo/echo.h"

enum {
    ECHO_BODY_MAX = 4 * 1024 * 1024,
    ECHO_BYTES_MAX = 16 * 1024 * 1024,
    ECHO_DELAY_MAX_MS = 600000,
};

void echo_reply(struct echo *e, struct http_exchange *x, int status, const char *type,
                struct str body)
{
    struct http_header headers[] = {
        {STR("Content-Type"), str_from(type)},
        {STR("X-Echo-Name"), str_from(e->options->name)},
        {STR("Connection"), STR("close")},
    };
    http_exchange_reply(x, status, headers, e->draining ? 3 : 2, body);
}

void echo_reply_text(struct echo *e, struct http_exchange *x, int status, const char *text)
{
    echo_reply(e, x, status, "text/plain; charset=utf-8", str_from(text));
}

void echo_reply_json(struct echo *e, struct http_exchange *x, int status, const json_t *body)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_write_indented(&b, body);
    buf_add_char(&b, '\n');
    echo_reply(e, x, status, "application/json", buf_str(&b));
}

json_t *echo_text_json(struct str s)
{
    json_t *value = json_stringn(s.p ? s.p : "", s.n);
    return value ? value : json_string("(not UTF-8)");
}

/* ---- what can be asked ---- */

json_t *echo_headers_json(struct http_exchange *x)
{
    struct http_header headers[HTTP_FIELDS_MAX];
    size_t n = http_head_list(http_exchange_head(x), headers, HTTP_FIELDS_MAX);
    json_t *j = json_object();
    for (size_t i = 0; i < n; i++) {
        AUTO_CHARS char *name = str_dup(headers[i].name);
        const char *before = json_key_str(j, name); /* one that comes again is joined to it */
        AUTO_CHARS char *text = xasprintf("%s%s" STR_FMT, before ? before : "", before ? ", " : "",
                                          STR_ARG(headers[i].value));
        json_object_set_new(j, name, echo_text_json(str_from(text)));
    }
    return j;
}

json_t *echo_query_json(struct str query)
{
    json_t *j = json_object();
    struct str name, value;
    for (struct str rest = query; url_param_next(&rest, &name, &value);) {
        AUTO_CHARS char *key = str_dup(name);
        AUTO_CHARS char *text = url_param(query, key);
        if (json_is_utf8(name) && text)
            json_object_set_new(j, key, echo_text_json(str_from(text)));
    }
    return j;
}

json_t *echo_lists_json(json_t *texts)
{
    json_t *lists = json_object(), *v;
    const char *name;
    json_object_foreach(texts, name, v) json_object_set_new(lists, name, json_pack("[O]", v));
    json_decref(texts);
    return lists;
}

static void put_str(json_t *j, const char *key, struct str s)
{
    json_object_set_new(j, key, echo_text_json(s));
}

static void describe(struct echo *e, struct http_exchange *x, json_t *j)
{
    struct ip ip;
    uint16_t port;
    char text[ECHO_ADDR_BYTES];
    json_put_str(j, "name", e->options->name);
    json_put_str(j, "version", e->options->version);
    if (conn_peer_addr(http_exchange_conn(x), &ip, &port) == 0)
        json_put_str(j, "peer", echo_addr_format(&ip, port, text));
    if (conn_local_addr(http_exchange_conn(x), &ip, &port) == 0)
        json_put_str(j, "local", echo_addr_format(&ip, port, text));
    put_str(j, "method", http_exchange_method(x));
    put_str(j, "path", http_exchange_path(x));
    put_str(j, "query", http_exchange_query(x));
    json_object_set_new(j, "headers", echo_headers_json(x));
    struct str body = http_exchange_body(x);
    json_put_int(j, "bodyBytes", (int64_t)body.n);
    if (body.n && body.n <= 4096)
        put_str(j, "body", body);
}

static void write_text(const json_t *j, const char *prefix, struct buf *b)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        if (json_is_object(value))
            write_text(value, "header ", b);
        else if (json_is_string(value))
            buf_addf(b, "%s%s: %s\n", prefix, key, json_string_value(value));
        else
            buf_addf(b, "%s%s: %lld\n", prefix, key, (long long)json_integer_value(value));
    }
}

static void answer_echo(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = json_object();
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_CHARS char *format = url_param(http_exchange_query(x), "format");
    bool text = format ? streq(format, "text") : e->options->text;
    describe(e, x, j);
    if (text) {
        write_text(j, "", &b);
    } else {
        json_write_indented(&b, j);
        buf_add_char(&b, '\n');
    }
    echo_reply(e, x, 200, text ? "text/plain; charset=utf-8" : "application/json", buf_str(&b));
}

static void answer_name(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_CHARS char *line = xasprintf("%s\n", e->options->name);
    echo_reply_text(e, x, 200, line);
}

static void answer_version(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_CHARS char *line = xasprintf("%s %s\n", e->options->name, e->options->version);
    echo_reply_text(e, x, 200, line);
}

static void answer_ip(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    struct ip ip = {0};
    uint16_t port;
    char text[IP_TEXT_BYTES + 1] = "unknown";
    if (conn_peer_addr(http_exchange_conn(x), &ip, &port) == 0) {
        ip = ip_unmapped(&ip);
        ip_format(&ip, text);
    }
    echo_reply_text(e, x, 200, strcat(text, "\n"));
}

static void answer_headers(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = echo_headers_json(x);
    echo_reply_json(e, x, 200, j);
}

static void answer_healthz(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply_text(e, x, 200, "ok\n");
}

static void answer_ready(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply_text(e, x, e->draining ? 503 : 200, e->draining ? "draining\n" : "ready\n");
}

static void answer_status(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t code;
    if (str_to_u64(argument, &code) < 0 || code < 200 || code > 599)
        echo_reply_text(e, x, 400, "/status/CODE wants a number from 200 to 599\n");
    else
        echo_reply_text(e, x, (int)code, code == 204 || code == 304 ? "" : "as you asked\n");
}

static void answer_bytes(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t n;
    if (str_to_u64(argument, &n) < 0 || n > ECHO_BYTES_MAX) {
        echo_reply_text(e, x, 400, "/bytes/N wants a number up to 16777216\n");
        return;
    }
    char *body = try_malloc((size_t)n + 1);
    if (!body) {
        echo_reply_text(e, x, 503, "out of memory\n");
        return;
    }
    memset(body, 'x', (size_t)n);
    echo_reply(e, x, 200, "application/octet-stream", str_of(body, (size_t)n));
    free(body);
}

/* ---- later answers ---- */

struct later {
    struct echo *echo;
    struct http_exchange *x;
    struct loop_timer *timer;
    const struct echo_path *path;
    struct str argument; /* inside the exchange's path */
};

static void later_gone(struct http_exchange *x, void *user)
{
    (void)x;
    struct later *l = user;
    loop_timer_free(l->timer);
    free(l);
}

static void later_now(void *user)
{
    struct later *l = user;
    l->path->answer(l->echo, l->x, l->argument); /* ends the exchange, and with it l */
}

void echo_answer_after(struct echo *e, struct http_exchange *x, const struct echo_path *path,
                       struct str argument, uint64_t after_ms)
{
    struct later *l = NEW(struct later);
    *l = (struct later){e, x, loop_timer_new(e->loop, later_now, l), path, argument};
    http_exchange_set_done(x, later_gone, l);
    loop_timer_start(l->timer, after_ms);
}

int echo_delay_parse(struct str text, uint64_t *ret_ms)
{
    AUTO_CHARS char *copy = str_dup(text);
    char *end;
    double seconds = strtod(copy, &end);
    if (end == copy || *end || !(seconds >= 0) || seconds * 1000 > ECHO_DELAY_MAX_MS)
        return -EINVAL;
    *ret_ms = (uint64_t)(seconds * 1000);
    return 0;
}

static const struct echo_path echo_everything = {"/", false, answer_echo};

static void answer_delay(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t ms;
    if (echo_delay_parse(argument, &ms) < 0)
        echo_reply_text(e, x, 400, "/delay/SECONDS wants a number up to 600\n");
    else
        echo_answer_after(e, x, &echo_everything, (struct str){0}, ms);
}

static const struct echo_path echo_paths[] = {
    {"/healthz", true, answer_healthz}, {"/livez", true, answer_healthz},
    {"/ready", true, answer_ready},     {"/readyz", true, answer_ready},
    {"/name", false, answer_name},      {"/version", false, answer_version},
    {"/ip", false, answer_ip},          {"/headers", false, answer_headers},
    {"/status/", true, answer_status},  {"/delay/", true, answer_delay},
    {"/bytes/", false, answer_bytes},
};

static const struct echo_path *path_find(const struct echo_path *paths, size_t n, struct str path,
                                         struct str *ret_argument)
{
    for (size_t i = 0; i < n; i++) {
        struct str p = str_from(paths[i].path);
        bool is_prefix = p.n > 1 && p.p[p.n - 1] == '/';
        if (is_prefix ? str_starts(path, p) : str_eq(path, p)) {
            *ret_argument = str_sub(path, p.n, path.n);
            return &paths[i];
        }
    }
    return NULL;
}

static const struct echo_path *route(const struct echo *e, struct str path,
                                     struct str *ret_argument, struct echo_path *rest)
{
    const struct echo_mode *m = e->options->mode;
    const struct echo_path *found =
        m ? path_find(m->paths, m->n_paths, path, ret_argument)
          : path_find(echo_paths, ARRAY_LEN(echo_paths), path, ret_argument);
    if (found)
        return found;
    *ret_argument = path;
    return rest;
}

static void on_request(struct http_exchange *x, void *user)
{
    struct echo *e = user;
    static struct echo_path rest;
    struct str argument;
    rest =
        (struct echo_path){"/", false, e->options->mode ? e->options->mode->answer : answer_echo};
    const struct echo_path *path = route(e, http_exchange_path(x), &argument, &rest);
    if (!path->is_plain && e->options->fail_percent && rand_below(100) < e->options->fail_percent)
        echo_reply_text(e, x, 500, "failed on purpose (--fail-rate)\n");
    else if (!path->is_plain && e->options->delay_ms)
        echo_answer_after(e, x, path, argument, e->options->delay_ms);
    else
        path->answer(e, x, argument);
}

int echo_http_start(struct echo *e, struct err *reterr)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    const struct http_server_config config = {.body_bytes_max = ECHO_BODY_MAX};
    struct ip any = listener_any();
    for (size_t i = 0; i < e->options->http.n; i++) {
        struct http_server *s;
        int r = http_server_new(e->loop, &any, e->options->http.v[i], &config, &ops, e, &s, reterr);
        if (r < 0)
            return r;
        vec_push(&e->servers, s);
    }
    return 0;
}
