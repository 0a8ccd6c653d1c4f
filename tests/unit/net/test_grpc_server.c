/* The gRPC server against the house's own client, over loopback; what that client would never send
 * is sent by an HTTP/2 connection without it. */
#include <netinet/in.h>
#include <stdio.h>

#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "net/http2_conn.h"
#include "test.h"

struct world {
    struct loop *loop;
    struct grpc_server *server;
    struct grpc_channel *channel;
    struct grpc_call *call;
    struct grpc_server_call *served;
    struct buf trace;
    bool open;
};

static void note(struct world *w, const char *who, const char *what, struct str s)
{
    buf_addf(&w->trace, "%s%s:%s" STR_FMT, w->trace.n ? " " : "", who, what, STR_ARG(s));
}

static void expect(struct world *w, const char *want)
{
    for (int i = 0; i < 200 && strcmp(buf_cstr(&w->trace), want) != 0; i++)
        loop_turn(w->loop, 10);
    assert_string_equal(buf_cstr(&w->trace), want);
    buf_clear(&w->trace);
}

/* ---- the server: what it is told decides ---- */

static void s_message(struct grpc_server_call *call, struct str m, void *user)
{
    struct world *w = user;
    note(w, "s", "message=", m.n > 20 ? STR("long") : m);
    if (str_is(m, "end")) {
        w->served = NULL;
        grpc_server_call_end(call, GRPC_UNAVAILABLE, "50% off\n");
        return;
    }
    grpc_server_call_send(call, m);
}

static void s_end(struct grpc_server_call *call, void *user)
{
    struct world *w = user;
    note(w, "s", "end", STR(""));
    w->served = NULL;
    grpc_server_call_end(call, GRPC_OK, NULL);
}

static void s_over(struct grpc_server_call *call, void *user)
{
    struct world *w = user;
    (void)call;
    w->served = NULL;
    note(w, "s", "over", STR(""));
}

static void s_call(struct grpc_server_call *call, void *user)
{
    static const struct grpc_server_call_ops ops = {
        .on_message = s_message, .on_client_end = s_end, .on_over = s_over};
    struct world *w = user;
    note(w, "s", "call=", grpc_server_call_path(call));
    struct str tag = grpc_server_call_metadata(call, "x-tag");
    if (tag.p)
        note(w, "s", "tag=", tag);
    if (str_is(grpc_server_call_path(call), "/none")) {
        grpc_server_call_end(call, GRPC_UNIMPLEMENTED, "no such method");
        return;
    }
    w->served = call;
    grpc_server_call_set_ops(call, &ops, w);
}

/* ---- the client ---- */

static void c_message(struct grpc_call *call, struct str m, void *user)
{
    (void)call;
    note(user, "c", "message=", m.n > 20 ? STR("long") : m);
}

static void c_over(struct grpc_call *call, int code, const char *text, void *user)
{
    struct world *w = user;
    char number[32];
    (void)call;
    w->call = NULL;
    snprintf(number, sizeof(number), "over=%d,", code);
    note(w, "c", number, str_from(text));
}

static const struct grpc_call_ops call_ops = {.on_message = c_message, .on_over = c_over};

static void on_open(struct grpc_channel *c, void *user)
{
    struct world *w = user;
    (void)c;
    w->open = true;
}

static void on_close(struct grpc_channel *c, int code, const char *text, void *user)
{
    struct world *w = user;
    (void)c;
    (void)code;
    (void)text;
    w->channel = NULL;
}

static struct sockaddr_storage address(struct world *w, socklen_t *ret_n)
{
    struct sockaddr_storage to = {0};
    struct sockaddr_in *in = (void *)&to;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons(grpc_server_port(w->server));
    *ret_n = sizeof(*in);
    return to;
}

static void connect_channel(struct world *w)
{
    static const struct grpc_channel_ops ops = {.on_open = on_open, .on_close = on_close};
    struct grpc_channel_config config = {.authority = "test"};
    config.to = address(w, &config.to_bytes);
    w->channel = grpc_channel_new(w->loop, &config, &ops, w);
    for (int i = 0; i < 200 && !w->open; i++)
        loop_turn(w->loop, 10);
    assert_true(w->open);
}

static int setup(void **state)
{
    static const struct grpc_server_ops ops = {.on_call = s_call};
    const struct grpc_server_config config = {.message_bytes_max = 1000, .connections_max = 2};
    struct world *w = NEW(struct world);
    struct ip ip;
    assert_ok(ip_parse(STR("127.0.0.1"), &ip));
    assert_ok(loop_new(&w->loop, NULL));
    assert_ok(grpc_server_new(w->loop, &ip, 0, &config, &ops, w, &w->server, NULL));
    connect_channel(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    grpc_channel_free(w->channel);
    grpc_server_free(w->server);
    loop_turn(w->loop, 0); /* what closed connections leave for later */
    buf_done(&w->trace);
    loop_free(w->loop);
    free(w);
    return 0;
}

static void call(struct world *w, const char *path, const char *timeout)
{
    const struct grpc_metadata metadata[] = {{STR("x-tag"), STR("7")},
                                             {STR("grpc-timeout"), str_from(timeout)}};
    w->call = grpc_call_new(w->channel, path, metadata, timeout ? 2 : 1, &call_ops, w);
    assert_non_null(w->call);
}

static void test_messages_both_ways(void **state)
{
    struct world *w = *state;
    call(w, "/a.B/C", NULL);
    grpc_call_send(w->call, STR("one"));
    expect(w, "s:call=/a.B/C s:tag=7 s:message=one c:message=one");
    grpc_call_send(w->call, STR(""));
    expect(w, "s:message= c:message=");
    grpc_server_call_send(w->served, STR("unasked"));
    expect(w, "c:message=unasked");
    grpc_call_finish(w->call);
    expect(w, "s:end c:over=0,");
}

static void test_ended_by_the_server(void **state)
{
    struct world *w = *state;
    call(w, "/a.B/C", NULL);
    grpc_call_send(w->call, STR("end"));
    grpc_call_send(w->call, STR("late")); /* is not told */
    expect(w, "s:call=/a.B/C s:tag=7 s:message=end c:over=14,50% off\n");
    call(w, "/none", NULL); /* and the connection goes on */
    expect(w, "s:call=/none s:tag=7 c:over=12,no such method");
}

static void test_broken_off_by_the_client(void **state)
{
    struct world *w = *state;
    call(w, "/a.B/C", NULL);
    grpc_call_send(w->call, STR("one"));
    expect(w, "s:call=/a.B/C s:tag=7 s:message=one c:message=one");
    grpc_call_cancel(TAKE(w->call));
    expect(w, "s:over");
    call(w, "/a.B/C", NULL);
    expect(w, "s:call=/a.B/C s:tag=7");
    grpc_channel_free(TAKE(w->channel));
    expect(w, "s:over");
    assert_true(grpc_server_connections(w->server) == 0);
}

static void test_freed_with_calls(void **state)
{
    struct world *w = *state;
    call(w, "/a.B/C", NULL);
    expect(w, "s:call=/a.B/C s:tag=7");
    grpc_server_free(TAKE(w->server));
    expect(w, "s:over c:over=14,the connection was closed");
}

static void test_time_out(void **state)
{
    struct world *w = *state;
    call(w, "/a.B/C", "50m");
    expect(w, "s:call=/a.B/C s:tag=7 s:over c:over=4,the client's time-out");
    call(w, "/a.B/C", "soon");
    expect(w, "c:over=13,grpc-timeout cannot be read");
}

static void test_a_message_over_the_limit(void **state)
{
    struct world *w = *state;
    char big[1001];
    memset(big, 'x', sizeof(big));
    call(w, "/a.B/C", NULL);
    grpc_call_send(w->call, str_of(big, 1000));
    expect(w, "s:call=/a.B/C s:tag=7 s:message=long c:message=long");
    grpc_call_send(w->call, str_of(big, 1001));
    expect(w, "s:over c:over=8,the message is over the limit");
}

/* ---- by hand ---- */

static void h_open(struct http_conn *hc, void *user)
{
    struct world *w = user;
    (void)hc;
    w->open = true;
}

static void h_close(struct http_conn *hc, int code, const char *text, void *user)
{
    (void)hc;
    (void)code;
    (void)text;
    note(user, "h", "closed", STR(""));
}

static void h_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    char status[16];
    (void)s;
    (void)end;
    snprintf(status, sizeof(status), "%u", h->status);
    note(user, "h", status, http_field_value(http_head_find(h, HTTP_NAME_GRPC_STATUS)));
}

static void h_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    (void)s;
    (void)data;
    (void)end;
    (void)user;
}

static void h_over(struct http_stream *s, enum http_end end, int code, const char *text, void *user)
{
    (void)s;
    (void)end;
    (void)code;
    (void)text;
    (void)user;
}

static const struct http_conn_ops h_conn_ops = {.on_open = h_open, .on_close = h_close};
static const struct http_stream_ops h_stream_ops = {
    .on_head = h_head, .on_data = h_data, .on_over = h_over};

static struct http_conn *connect_raw(struct world *w)
{
    static const struct http_conn_config config = {0};
    socklen_t n;
    struct sockaddr_storage to = address(w, &n);
    const struct conn_options o = {0};
    w->open = false;
    return http2_conn_new_client(conn_connect(w->loop, &to, n, &o, &conn_no_ops, NULL), &config,
                                 &h_conn_ops, w);
}

static void ask(struct world *w, struct http_conn *hc, const char *method, const char *type,
                struct str body)
{
    struct http_field fields[4];
    struct http_stream *s;
    struct http_head h = {.fields = fields,
                          .cap = 4,
                          .method = str_from(method),
                          .scheme = STR("http"),
                          .authority = STR("test"),
                          .target = STR("/a.B/C"),
                          .path = STR("/a.B/C"),
                          .content_length = HTTP_LENGTH_NONE};
    assert_ok(http_head_add(&h, HTTP_NAME_CONTENT_TYPE, str_from(type)));
    assert_ok(http_conn_open(hc, &h_stream_ops, w, &s));
    http_stream_send_head(s, &h, !body.n);
    if (body.n)
        http_stream_send_text(s, body, true);
}

static void test_what_is_not_grpc(void **state)
{
    struct world *w = *state;
    struct http_conn *hc = connect_raw(w);
    for (int i = 0; i < 200 && !w->open; i++)
        loop_turn(w->loop, 10);
    ask(w, hc, "POST", "application/json", STR("{}"));
    expect(w, "h:415");
    ask(w, hc, "GET", "application/grpc", STR(""));
    expect(w, "h:415");
    ask(w, hc, "POST", "application/grpc", str_of("\1\0\0\0\1x", 6)); /* compressed */
    expect(w, "s:call=/a.B/C s:over h:20012");
    ask(w, hc, "POST", "application/grpc+proto", str_of("\0\0\0\0\2x", 6)); /* cut short */
    expect(w, "s:call=/a.B/C s:over h:20013");
    ask(w, hc, "POST", "application/grpc", STR(""));
    expect(w, "s:call=/a.B/C s:end h:2000");
    http_conn_free(hc);
}

static void test_more_connections_than_allowed(void **state)
{
    struct world *w = *state;
    struct http_conn *one = connect_raw(w);
    for (int i = 0; i < 200 && grpc_server_connections(w->server) < 2; i++)
        loop_turn(w->loop, 10);
    struct http_conn *two = connect_raw(w);
    (void)two;
    expect(w, "h:closed");
    assert_true(grpc_server_connections(w->server) == 2);
    http_conn_free(one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(messages_both_ways),
        TEST(ended_by_the_server),
        TEST(broken_off_by_the_client),
        TEST(freed_with_calls),
        TEST(time_out),
        TEST(a_message_over_the_limit),
        TEST(what_is_not_grpc),
        TEST(more_connections_than_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
