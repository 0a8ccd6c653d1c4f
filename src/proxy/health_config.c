/* From a HealthCheck message to its configuration. */
#include <envoy/config/core/v3/health_check.pb-c.h>
#include <errno.h>

#include "proxy/duration.h"
#include "proxy/health.h"

typedef Envoy__Config__Core__V3__HealthCheck pb_check;
typedef Envoy__Config__Core__V3__HealthCheck__HttpHealthCheck pb_http;
typedef Envoy__Config__Core__V3__HealthCheck__TcpHealthCheck pb_tcp;
typedef Envoy__Config__Core__V3__HealthCheck__Payload pb_payload;

struct making {
    struct health_config *config;
    struct pb_path *path;
    struct err *err;
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

static struct str keep(struct making *c, struct str s)
{
    struct str kept = arena_str(c->config->arena, s);
    return kept.p ? kept : STR("");
}

static int compile_times(struct making *c, const pb_check *m)
{
    struct health_config *h = c->config;
    if (!m->timeout || !m->interval || !m->unhealthy_threshold || !m->healthy_threshold)
        return FAIL(c, "needs timeout, interval, unhealthy_threshold and healthy_threshold");
    h->timeout_ms = interval_ms(m->timeout, 0);
    h->interval_ms = interval_ms(m->interval, 0);
    h->unhealthy_interval_ms = duration_ms(m->unhealthy_interval, h->interval_ms);
    h->unhealthy_edge_ms = duration_ms(m->unhealthy_edge_interval, h->unhealthy_interval_ms);
    h->healthy_edge_ms = duration_ms(m->healthy_edge_interval, h->interval_ms);
    h->idle_interval_ms = duration_ms(m->no_traffic_interval, 60000);
    h->idle_healthy_interval_ms = duration_ms(m->no_traffic_healthy_interval, h->idle_interval_ms);
    h->jitter_ms = duration_ms(m->interval_jitter, 0);
    h->jitter_percent = m->interval_jitter_percent;
    h->initial_jitter_ms = duration_ms(m->initial_jitter, 0);
    h->unhealthy_threshold = m->unhealthy_threshold->value;
    h->healthy_threshold = m->healthy_threshold->value;
    h->reuse_connection = !m->reuse_connection || m->reuse_connection->value;
    if (m->alt_port && m->alt_port->value > UINT16_MAX)
        return FAIL(c, "alt_port: must be at most %d", UINT16_MAX);
    h->alt_port = m->alt_port ? (uint16_t)m->alt_port->value : 0;
    return 0;
}

static int compile_ranges(struct making *c, const char *field,
                          Envoy__Type__V3__Int64Range *const *m, size_t n, struct health_range *ret,
                          size_t *ret_n)
{
    if (n > HEALTH_RANGES_MAX)
        return FAIL(c, "%s: more than %d", field, HEALTH_RANGES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (m[i]->start < 100 || m[i]->end > 600 || m[i]->start >= m[i]->end)
            return FAIL(c, "%s[%zu]: statuses are 100 to 599, the end is not included", field, i);
        ret[i] = (struct health_range){m[i]->start, m[i]->end};
    }
    *ret_n = n;
    return 0;
}

static int compile_headers(struct making *c, const pb_http *m)
{
    struct health_config *h = c->config;
    if (m->n_request_headers_to_add > HEALTH_HEADERS_MAX)
        return FAIL(c, "request_headers_to_add: more than %d", HEALTH_HEADERS_MAX);
    for (size_t i = 0; i < m->n_request_headers_to_add; i++) {
        const Envoy__Config__Core__V3__HeaderValue *v = m->request_headers_to_add[i]->header;
        if (!v || strchr(v->value, '%') || strpbrk(v->value, "\r\n") ||
            !http_is_token(str_from(v->key)))
            return FAIL(c, "request_headers_to_add[%zu]: only plain texts are implemented", i);
        h->headers[i] =
            (struct http_header){keep(c, str_from(v->key)), keep(c, str_from(v->value))};
    }
    h->n_headers = m->n_request_headers_to_add;
    return 0;
}

static int compile_http(struct making *c, const pb_http *m)
{
    static const char *const methods[] = {"GET",    "GET",     "HEAD",    "POST",  "PUT",
                                          "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    struct health_config *h = c->config;
    if (!*m->path)
        return FAIL(c, "path: must not be empty");
    if (*m->path != '/' || strpbrk(m->path, " \r\n\t#"))
        return FAIL(c, "path: must begin with / and have no blanks");
    if (m->send || m->n_receive || m->service_name_matcher || m->n_request_headers_to_remove ||
        m->codec_client_type)
        return FAIL(c, "send, receive, service_name_matcher, request_headers_to_remove and "
                       "codec_client_type are not implemented yet");
    if ((unsigned)m->method >= ARRAY_LEN(methods) ||
        m->method == ENVOY__CONFIG__CORE__V3__REQUEST_METHOD__CONNECT)
        return FAIL(c, "method: is none that a check can use");
    h->kind = HEALTH_HTTP;
    h->method = methods[m->method];
    h->path = keep(c, str_from(m->path)).p;
    if (*m->host)
        h->host = keep(c, str_from(m->host)).p;
    int r = compile_ranges(c, "expected_statuses", m->expected_statuses, m->n_expected_statuses,
                           h->expected, &h->n_expected);
    if (r == 0)
        r = compile_ranges(c, "retriable_statuses", m->retriable_statuses, m->n_retriable_statuses,
                           h->retriable, &h->n_retriable);
    return r < 0 ? r : compile_headers(c, m);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Texts are hexadecimal digits. */
static int compile_payload(struct making *c, const pb_payload *m, struct str *ret)
{
    if (m->payload_case == ENVOY__CONFIG__CORE__V3__HEALTH_CHECK__PAYLOAD__PAYLOAD_BINARY) {
        *ret = keep(c, str_of(m->binary.data, m->binary.len));
        return ret->n ? 0 : FAIL(c, "a payload is empty");
    }
    if (m->payload_case != ENVOY__CONFIG__CORE__V3__HEALTH_CHECK__PAYLOAD__PAYLOAD_TEXT)
        return FAIL(c, "a payload is empty");
    size_t n = strlen(m->text);
    char *to = arena_alloc(c->config->arena, n / 2 + 1);
    if (!n || n % 2 || !to)
        return FAIL(c, "invalid hex string '%s'", m->text);
    for (size_t i = 0; i < n / 2; i++) {
        int high = hex(m->text[2 * i]), low = hex(m->text[2 * i + 1]);
        if (high < 0 || low < 0)
            return FAIL(c, "invalid hex string '%s'", m->text);
        to[i] = (char)(high << 4 | low);
    }
    *ret = str_of(to, n / 2);
    return 0;
}

static int compile_tcp(struct making *c, const pb_tcp *m)
{
    struct health_config *h = c->config;
    h->kind = HEALTH_TCP;
    if (m->proxy_protocol_config)
        return FAIL(c, "proxy_protocol_config is not implemented");
    int r = m->send ? compile_payload(c, m->send, &h->send) : 0;
    h->receive = arena_alloc(h->arena, (m->n_receive + 1) * sizeof(*h->receive));
    for (size_t i = 0; r == 0 && h->receive && i < m->n_receive; i++) {
        r = compile_payload(c, m->receive[i], &h->receive[i]);
        h->n_receive = i + 1;
    }
    return r;
}

static int compile_check(struct making *c, const pb_check *m)
{
    int r = compile_times(c, m);
    if (r < 0)
        return r;
    if (m->health_checker_case ==
        ENVOY__CONFIG__CORE__V3__HEALTH_CHECK__HEALTH_CHECKER_HTTP_HEALTH_CHECK)
        return compile_http(c, m->http_health_check);
    if (m->health_checker_case ==
        ENVOY__CONFIG__CORE__V3__HEALTH_CHECK__HEALTH_CHECKER_TCP_HEALTH_CHECK)
        return compile_tcp(c, m->tcp_health_check);
    return FAIL(c, "only http_health_check and tcp_health_check are implemented yet");
}

int health_compile(const pb_check *m, struct pb_path *path, struct health_config **ret,
                   struct err *reterr)
{
    struct health_config *h = NEW(struct health_config);
    struct making c = {h, path, reterr};
    h->arena = arena_new(0);
    int r = compile_check(&c, m);
    if (r < 0) {
        health_config_free(h);
        return r;
    }
    *ret = h;
    return 0;
}

void health_config_free(struct health_config *c)
{
    if (!c)
        return;
    arena_free(c->arena);
    free(c);
}
