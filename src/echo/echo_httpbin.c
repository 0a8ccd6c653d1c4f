/* --as httpbin (port 80), --as go-httpbin (port 8080): the request told back in httpbin's form.
 *
 * /get, /post, /put, /patch, /delete, /anything, /headers, /ip, /user-agent, /uuid, /status/N,
 * /delay/N, /bytes/N, /redirect/N; the rest is 404. go-httpbin's values are lists where the other
 * has texts. */
#include <errno.h>

#include "base/rand.h"
#include "echo/echo_modes.h"

enum { BYTES_MAX = 102400, REDIRECTS_MAX = 20, ORIGIN_BYTES = IP_TEXT_BYTES };

static bool in_go(const struct echo *e)
{
    return e->options->mode == &echo_go_httpbin;
}

/* Texts, or lists of them. */
static json_t *values_of(const struct echo *e, json_t *texts)
{
    return in_go(e) ? echo_lists_json(texts) : texts;
}

static const char *origin_of(struct http_exchange *x, char ret[ORIGIN_BYTES])
{
    struct ip ip;
    uint16_t port;
    *ret = '\0';
    if (conn_peer_addr(http_exchange_conn(x), &ip, &port) == 0) {
        ip = ip_unmapped(&ip);
        ip_format(&ip, ret);
    }
    return ret;
}

static json_t *headers_of(const struct echo *e, struct http_exchange *x)
{
    return values_of(e, echo_headers_json(x));
}

static json_t *args_of(const struct echo *e, struct str query)
{
    return values_of(e, echo_query_json(query));
}

static json_t *describe(struct echo *e, struct http_exchange *x)
{
    char origin[ORIGIN_BYTES];
    struct str query = http_exchange_query(x), host = http_exchange_header(x, "host");
    AUTO_CHARS char *url =
        xasprintf("http://" STR_FMT STR_FMT "%s" STR_FMT, STR_ARG(host),
                  STR_ARG(http_exchange_path(x)), query.n ? "?" : "", STR_ARG(query));
    return json_pack("{s:o,s:o,s:s,s:o}", "args", args_of(e, query), "headers", headers_of(e, x),
                     "origin", origin_of(x, origin), "url", echo_text_json(str_from(url)));
}

static void answer_get(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = describe(e, x);
    echo_reply_json(e, x, 200, j);
}

static void answer_anything(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    struct str body = http_exchange_body(x), type = http_exchange_header(x, "content-type");
    AUTO_JSON json_t *j = describe(e, x);
    json_t *parsed = NULL;
    bool form = str_starts(type, STR("application/x-www-form-urlencoded"));
    json_object_set_new(j, "data", form ? json_string("") : echo_text_json(body));
    json_object_set_new(j, "files", json_object());
    json_object_set_new(j, "form", form ? args_of(e, body) : json_object());
    json_object_set_new(j, "method", echo_text_json(http_exchange_method(x)));
    if (!form && body.n && json_parse(body, 1024 * 1024, NULL, &parsed, NULL) < 0)
        parsed = NULL;
    json_object_set_new(j, "json", parsed ? parsed : json_null());
    echo_reply_json(e, x, 200, j);
}

static void answer_headers(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = json_pack("{s:o}", "headers", headers_of(e, x));
    echo_reply_json(e, x, 200, j);
}

static void answer_ip(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    char origin[ORIGIN_BYTES];
    AUTO_JSON json_t *j = json_pack("{s:s}", "origin", origin_of(x, origin));
    echo_reply_json(e, x, 200, j);
}

static void answer_agent(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j =
        json_pack("{s:o}", "user-agent", echo_text_json(http_exchange_header(x, "user-agent")));
    echo_reply_json(e, x, 200, j);
}

static void answer_uuid(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    char uuid[37];
    rand_uuid(uuid);
    AUTO_JSON json_t *j = json_pack("{s:s}", "uuid", uuid);
    echo_reply_json(e, x, 200, j);
}

static void answer_status(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t code;
    if (str_to_u64(argument, &code) < 0 || code < 200 || code > 599)
        echo_reply_text(e, x, 400, "Invalid status code");
    else
        echo_reply_text(e, x, (int)code, "");
}

static const struct echo_path anything = {"/", false, answer_anything};

static void answer_delay(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t ms;
    if (echo_delay_parse(argument, &ms) < 0)
        echo_reply_text(e, x, 400, "Invalid duration");
    else
        echo_answer_after(e, x, &anything, argument, MIN(ms, (uint64_t)10000)); /* as there */
}

static void answer_bytes(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t n;
    AUTO_DONE(buf) struct buf b = {0};
    if (str_to_u64(argument, &n) < 0) {
        echo_reply_text(e, x, 400, "Invalid number of bytes");
        return;
    }
    for (n = MIN(n, (uint64_t)BYTES_MAX); b.n < n;)
        buf_add_char(&b, (char)rand_below(256));
    echo_reply(e, x, 200, "application/octet-stream", buf_str(&b));
}

static void answer_redirect(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t n;
    if (str_to_u64(argument, &n) < 0 || n < 1 || n > REDIRECTS_MAX) {
        echo_reply_text(e, x, 400, "Invalid number of redirects");
        return;
    }
    AUTO_CHARS char *to = n > 1 ? xasprintf("/redirect/%d", (int)n - 1) : xstrdup("/get");
    const struct http_header headers[] = {{STR("Location"), str_from(to)}};
    http_exchange_reply(x, 302, headers, ARRAY_LEN(headers), (struct str){0});
}

static void not_here(struct echo *e, struct http_exchange *x, struct str path)
{
    (void)path;
    echo_reply_text(e, x, 404, "Not Found");
}

static const struct echo_path paths[] = {
    {"/", false, answer_get},
    {"/get", false, answer_get},
    {"/post", false, answer_anything},
    {"/put", false, answer_anything},
    {"/patch", false, answer_anything},
    {"/delete", false, answer_anything},
    {"/anything", false, answer_anything},
    {"/anything/", false, answer_anything},
    {"/headers", false, answer_headers},
    {"/ip", false, answer_ip},
    {"/user-agent", false, answer_agent},
    {"/uuid", false, answer_uuid},
    {"/status/", true, answer_status},
    {"/delay/", true, answer_delay},
    {"/bytes/", false, answer_bytes},
    {"/redirect/", false, answer_redirect},
};

const struct echo_mode echo_httpbin = {
    .name = "httpbin", .http = 80, .paths = paths, .n_paths = ARRAY_LEN(paths), .answer = not_here};
const struct echo_mode echo_go_httpbin = {.name = "go-httpbin",
                                          .http = 8080,
                                          .port_flag = "port",
                                          .port_env = "PORT",
                                          .paths = paths,
                                          .n_paths = ARRAY_LEN(paths),
                                          .answer = not_here};
