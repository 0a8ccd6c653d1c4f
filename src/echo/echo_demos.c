/* Small servers of tutorials: --as podinfo, whoami, kuard, echo-server (ealen's, JSON) and
 * jmalloc-echo-server (text).
 *
 * Each has the paths that people curl and that probes ask; pages for browsers are a sentence.
 * podinfo tells the tag of the image that it stands in for as its version, so that a rollout can be
 * seen. */
#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/url.h"
#include "echo/echo_modes.h"

#define PODINFO_VERSION "6.9.2"

extern char **environ;

static const char *env_or(const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    return str_empty(v) ? otherwise : v;
}

/* "GET /path?query HTTP/1.1" and the headers. */
static void add_request(struct buf *b, struct http_exchange *x, const char *newline)
{
    struct http_header headers[HTTP_FIELDS_MAX];
    size_t n = http_head_list(http_exchange_head(x), headers, HTTP_FIELDS_MAX);
    struct str query = http_exchange_query(x);
    buf_addf(b, STR_FMT " " STR_FMT "%s" STR_FMT " HTTP/1.1%s", STR_ARG(http_exchange_method(x)),
             STR_ARG(http_exchange_path(x)), query.n ? "?" : "", STR_ARG(query), newline);
    for (size_t i = 0; i < n; i++)
        buf_addf(b, STR_FMT ": " STR_FMT "\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
}

static json_t *environment(void)
{
    json_t *list = json_array();
    for (char **v = environ; v && *v; v++)
        json_array_append_new(list, echo_text_json(str_from(*v)));
    return list;
}

/* The same by name. */
static json_t *variables(void)
{
    json_t *j = json_object();
    for (char **v = environ; v && *v; v++) {
        struct str value, name = str_cut(str_from(*v), '=', &value);
        AUTO_CHARS char *key = str_dup(name);
        if (json_is_utf8(name))
            json_object_set_new(j, key, echo_text_json(value));
    }
    return j;
}

static const char *peer_of(struct http_exchange *x, char ret[ECHO_ADDR_BYTES])
{
    struct ip ip;
    uint16_t port;
    *ret = '\0';
    if (conn_peer_addr(http_exchange_conn(x), &ip, &port) == 0)
        echo_addr_format(&ip, port, ret);
    return ret;
}

static json_t *own_addresses(void)
{
    json_t *list = json_array();
    struct ifaddrs *all = NULL;
    char text[IP_TEXT_BYTES];
    if (getifaddrs(&all) < 0)
        return list;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        struct ip ip;
        uint16_t port;
        if (a->ifa_addr && ip_from_sockaddr(a->ifa_addr, &ip, &port) == 0)
            json_array_append_new(list, json_string(ip_format(&ip, text)));
    }
    freeifaddrs(all);
    return list;
}

static void not_found(struct echo *e, struct http_exchange *x, struct str path)
{
    (void)path;
    echo_reply_text(e, x, 404, "404 page not found\n");
}

/* ---- podinfo ---- */

/* The image's tag, if it looks like a version. */
static const char *podinfo_version(const struct echo *e)
{
    const char *image = e->options->image, *colon = image ? strrchr(image, ':') : NULL;
    if (!streq(e->options->version, "v1")) /* said by ECHO_VERSION */
        return e->options->version;
    return colon && colon[1] >= '0' && colon[1] <= '9' && !strchr(colon, '/') ? colon + 1
                                                                              : PODINFO_VERSION;
}

static void podinfo_info(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    const char *version = podinfo_version(e);
    AUTO_CHARS char *cpus = xasprintf("%ld", sysconf(_SC_NPROCESSORS_ONLN));
    AUTO_CHARS char *greeting = xasprintf("greetings from podinfo v%s", version);
    AUTO_JSON json_t *j = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "hostname", e->options->name, "version",
        version, "revision", "unknown", "color", env_or("PODINFO_UI_COLOR", "#34577c"), "message",
        env_or("PODINFO_UI_MESSAGE", greeting), "goos", "linux", "goarch", "amd64", "runtime",
        "fairlead-echo", "num_goroutine", "1", "num_cpu", cpus);
    echo_reply_json(e, x, 200, j);
}

static void podinfo_version_path(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:s}", "commit", "unknown", "version", podinfo_version(e));
    echo_reply_json(e, x, 200, j);
}

static void status_ok(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = json_pack("{s:s}", "status", "OK");
    echo_reply_json(e, x, 200, j);
}

static void podinfo_ready(struct echo *e, struct http_exchange *x, struct str argument)
{
    if (e->draining)
        echo_reply_text(e, x, 503, "");
    else
        status_ok(e, x, argument);
}

static void podinfo_env(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = environment();
    echo_reply_json(e, x, 200, j);
}

static void podinfo_headers(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = echo_lists_json(echo_headers_json(x));
    echo_reply_json(e, x, 200, j);
}

static void podinfo_echo(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply(e, x, 202, "application/json", http_exchange_body(x));
}

static void podinfo_status(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t code;
    if (str_to_u64(argument, &code) < 0 || code < 200 || code > 599) {
        echo_reply_text(e, x, 400, "");
        return;
    }
    AUTO_JSON json_t *j = json_pack("{s:i}", "status", (int)code);
    echo_reply_json(e, x, (int)code, j);
}

static void podinfo_delayed(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t ms;
    AUTO_JSON json_t *j =
        json_pack("{s:i}", "delay", echo_delay_parse(argument, &ms) < 0 ? 0 : (int)(ms / 1000));
    echo_reply_json(e, x, 200, j);
}

static const struct echo_path podinfo_later = {"/delay/", true, podinfo_delayed};

static void podinfo_delay(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t ms;
    if (echo_delay_parse(argument, &ms) < 0)
        echo_reply_text(e, x, 400, "");
    else
        echo_answer_after(e, x, &podinfo_later, argument, ms);
}

static const struct echo_path podinfo_paths[] = {
    {"/", false, podinfo_info},
    {"/api/info", false, podinfo_info},
    {"/version", false, podinfo_version_path},
    {"/healthz", true, status_ok},
    {"/readyz", true, podinfo_ready},
    {"/env", false, podinfo_env},
    {"/headers", false, podinfo_headers},
    {"/echo", false, podinfo_echo},
    {"/api/echo", false, podinfo_echo},
    {"/status/", true, podinfo_status},
    {"/delay/", true, podinfo_delay},
};

const struct echo_mode echo_podinfo = {.name = "podinfo",
                                       .http = 9898,
                                       .port_flag = "port",
                                       .port_env = "PODINFO_PORT",
                                       .paths = podinfo_paths,
                                       .n_paths = ARRAY_LEN(podinfo_paths),
                                       .answer = not_found};

/* ---- whoami ---- */

static void whoami(struct echo *e, struct http_exchange *x, struct str path)
{
    (void)path;
    AUTO_DONE(buf) struct buf b = {0};
    char peer[ECHO_ADDR_BYTES];
    AUTO_JSON json_t *ips = own_addresses();
    json_t *ip;
    size_t i;
    if (getenv("WHOAMI_NAME"))
        buf_addf(&b, "Name: %s\n", getenv("WHOAMI_NAME"));
    buf_addf(&b, "Hostname: %s\n", e->options->name);
    json_array_foreach(ips, i, ip) buf_addf(&b, "IP: %s\n", json_string_value(ip));
    buf_addf(&b, "RemoteAddr: %s\n", peer_of(x, peer));
    add_request(&b, x, "\n");
    buf_add_char(&b, '\n');
    echo_reply(e, x, 200, "text/plain; charset=utf-8", buf_str(&b));
}

static void whoami_api(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    char peer[ECHO_ADDR_BYTES];
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:o,s:o,s:s,s:o,s:o,s:s}", "hostname", e->options->name, "ip",
                  own_addresses(), "headers", echo_headers_json(x), "url", "/api", "host",
                  echo_text_json(http_exchange_header(x, "host")), "method",
                  echo_text_json(http_exchange_method(x)), "remoteAddr", peer_of(x, peer));
    if (getenv("WHOAMI_NAME"))
        json_object_set_new(j, "name", echo_text_json(str_from(getenv("WHOAMI_NAME"))));
    echo_reply_json(e, x, 200, j);
}

static void empty_ok(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply_text(e, x, 200, "");
}

static void whoami_bench(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply_text(e, x, 200, "1");
}

static const struct echo_path whoami_paths[] = {
    {"/api", false, whoami_api}, {"/health", true, empty_ok}, {"/bench", false, whoami_bench}};

const struct echo_mode echo_whoami = {.name = "whoami",
                                      .http = 80,
                                      .port_flag = "port",
                                      .port_env = "WHOAMI_PORT_NUMBER",
                                      .paths = whoami_paths,
                                      .n_paths = ARRAY_LEN(whoami_paths),
                                      .answer = whoami};

/* ---- kuard ---- */

static void plain_ok(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply_text(e, x, 200, "ok");
}

static void kuard_page(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_CHARS char *page =
        xasprintf("<!doctype html><html><head><title>KUAR Demo</title></head><body><h1>KUAR "
                  "Demo</h1><p>Served on %s by fairlead-echo</p></body></html>\n",
                  e->options->name);
    echo_reply(e, x, 200, "text/html", str_from(page));
}

static void kuard_env(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = json_pack("{s:[],s:o}", "commandLine", "env", variables());
    echo_reply_json(e, x, 200, j);
}

static const struct echo_path kuard_paths[] = {{"/", false, kuard_page},
                                               {"/healthy", true, plain_ok},
                                               {"/ready", true, plain_ok},
                                               {"/env/api", false, kuard_env}};

const struct echo_mode echo_kuard = {.name = "kuard",
                                     .http = 8080,
                                     .port_flag = "address",
                                     .paths = kuard_paths,
                                     .n_paths = ARRAY_LEN(kuard_paths),
                                     .answer = not_found};

/* ---- echo-server ---- */

/* Of ealen's: ?echo_code=, ?echo_body=, ?echo_time= shape the answer. */
static void server_json(struct echo *e, struct http_exchange *x, struct str path)
{
    struct str query = http_exchange_query(x), body = http_exchange_body(x);
    AUTO_CHARS char *code = url_param(query, "echo_code");
    AUTO_CHARS char *text = url_param(query, "echo_body");
    char peer[ECHO_ADDR_BYTES];
    uint64_t status = 200;
    json_t *parsed = NULL;
    if (code && (str_to_u64(str_from(code), &status) < 0 || status < 200 || status > 599))
        status = 200;
    if (!body.n || json_parse(body, 1024 * 1024, NULL, &parsed, NULL) < 0)
        parsed = json_object();
    AUTO_JSON json_t *j =
        json_pack("{s:{s:s,s:s,s:[]},s:{s:o,s:s,s:o,s:s},s:{s:{s:o},s:o,s:{},s:o,s:o},s:o}", "host",
                  "hostname", e->options->name, "ip", peer_of(x, peer), "ips", "http", "method",
                  echo_text_json(http_exchange_method(x)), "baseUrl", "", "originalUrl",
                  echo_text_json(path), "protocol", "http", "request", "params", "0",
                  echo_text_json(path), "query", echo_query_json(query), "cookies", "body", parsed,
                  "headers", echo_headers_json(x), "environment", variables());
    if (text)
        echo_reply_text(e, x, (int)status, text);
    else
        echo_reply_json(e, x, (int)status, j);
}

static void server_text(struct echo *e, struct http_exchange *x, struct str path)
{
    (void)path;
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, "Request served by %s\n\n", e->options->name);
    add_request(&b, x, "\n\n");
    buf_add_char(&b, '\n');
    buf_add_str(&b, http_exchange_body(x));
    echo_reply(e, x, 200, "text/plain", buf_str(&b));
}

const struct echo_mode echo_server_json = {.name = "echo-server",
                                           .http = 80,
                                           .port_flag = "port",
                                           .port_env = "PORT",
                                           .answer = server_json};
const struct echo_mode echo_server_text = {
    .name = "jmalloc-echo-server", .http = 8080, .port_env = "PORT", .answer = server_text};
