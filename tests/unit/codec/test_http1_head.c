/* Heads of HTTP/1 over the bytes they came in: what is understood, each known ambiguity refused,
 * and what is written. */
#include "codec/http1_head.h"

#include <errno.h>
#include <sys/mman.h>

#include "test.h"

static struct http_field fields[HTTP_FIELDS_MAX];

static struct http_head head_new(void)
{
    return (struct http_head){.fields = fields, .cap = HTTP_FIELDS_MAX};
}

static struct str value_of(const struct http_head *h, enum http_name id)
{
    return http_field_value(http_head_find(h, id));
}

static void expect_written(const struct http_head *h, const char *want)
{
    AUTO_DONE(chain) struct chain c = {0};
    assert_ok(h->status ? http1_write_response(&c, h, STR(""))
                        : http1_write_request(&c, h, STR("")));
    assert_str(chain_front(&c), want);
}

static void test_every_name_has_its_number(void **state)
{
    (void)state;
    for (unsigned id = 1; id < _HTTP_NAME_MAX; id++) {
        struct str text = http_name_text((enum http_name)id);
        char upper[64];
        for (size_t i = 0; i < text.n; i++)
            upper[i] = (char)(text.p[i] >= 'a' && text.p[i] <= 'z' ? text.p[i] - 32 : text.p[i]);
        assert_int_equal(http_name_find(text), id);
        assert_int_equal(http_name_find(str_of(upper, text.n)), id);
        if (id > 1)
            assert_true(strcmp(http_name_text((enum http_name)(id - 1)).p, text.p) < 0);
        upper[text.n / 2] = upper[text.n / 2] == 'Q' ? 'Z' : 'Q'; /* one letter off */
        assert_int_not_equal(http_name_find(str_of(upper, text.n)), id);
    }
    assert_int_equal(http_name_find(STR("x-nobody-knows-this")), HTTP_NAME_OTHER);
    /* Among so many that differ in their ends alone, some are looked for at a name's own place. */
    for (unsigned id = 1; id < _HTTP_NAME_MAX; id++)
        for (unsigned pair = 0; pair < 26 * 26; pair++) {
            struct str text = http_name_text((enum http_name)id);
            char near[64];
            for (size_t at = 0; text.n >= 2 && at <= text.n - 2; at += MAX(text.n - 2, (size_t)1)) {
                memcpy(near, text.p, text.n);
                near[at] = (char)('a' + pair / 26);
                near[at + 1] = (char)('a' + pair % 26);
                unsigned found = http_name_find(str_of(near, text.n));
                assert_true(found == HTTP_NAME_OTHER ||
                            str_eq(http_name_text((enum http_name)found), str_of(near, text.n)));
            }
        }
    assert_int_equal(http_name_find(STR("t")), HTTP_NAME_OTHER);
    assert_int_equal(http_name_find(STR("te")), HTTP_NAME_TE);
}

static void test_a_request(void **state)
{
    static const char text[] =
        "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-A:  v \t\r\nCOOKIE: a=\"b\"\r\n\r\n";
    struct http_head h = head_new();
    (void)state;
    assert_ok(http1_read_request(str_from(text), &h, NULL));
    assert_str(h.method, "GET");
    assert_str(h.target, "/a?b=c");
    assert_str(h.path, "/a?b=c");
    assert_null(h.authority.p);
    assert_true(h.status == 0 && h.minor == 1 && h.n == 3);
    assert_int_equal(h.content_length, HTTP_LENGTH_NONE);
    assert_false(h.chunked || h.close || h.upgrade || h.expect_continue);
    assert_str(value_of(&h, HTTP_NAME_HOST), "x");
    assert_str(value_of(&h, HTTP_NAME_COOKIE), "a=\"b\"");
    assert_str(http_field_value(http_head_find_text(&h, STR("x-a"))), "v");
    assert_null(http_head_find(&h, HTTP_NAME_TE));
    expect_written(&h, "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: v\r\nCOOKIE: a=\"b\"\r\n\r\n");
}

static void test_what_fields_mean(void **state)
{
    struct http_head h = head_new();
    (void)state;
    assert_ok(http1_read_request(STR("POST / HTTP/1.1\r\nContent-Length: 010\r\n\r\n"), &h, NULL));
    assert_int_equal(h.content_length, 10);
    assert_ok(
        http1_read_request(STR("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n"
                               "Connection: keep-alive, Close\r\nExpect: 100-continue\r\n\r\n"),
                           &h, NULL));
    assert_true(h.chunked && h.close && h.expect_continue && !h.upgrade);
    assert_ok(http1_read_request(
        STR("GET / HTTP/1.1\r\nConnection: x\r\nConnection: Upgrade\r\n\r\n"), &h, NULL));
    assert_true(h.upgrade && !h.close);
    assert_ok(http1_read_request(STR("GET / HTTP/1.0\r\n\r\n"), &h, NULL));
    assert_true(h.close && h.minor == 0);
    assert_ok(
        http1_read_request(STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), &h, NULL));
    assert_false(h.close);
}

static void test_forms_of_a_target(void **state)
{
    static const struct {
        const char *line, *authority, *path;
    } good[] = {
        {"GET http://a.b:80/c?d HTTP/1.1\r\n\r\n", "a.b:80", "/c?d"},
        {"GET HTTPS://a HTTP/1.1\r\n\r\n", "a", "/"},
        {"GET http://u@a/ HTTP/1.1\r\n\r\n", "u@a", "/"},
        {"CONNECT a.b:443 HTTP/1.1\r\n\r\n", "a.b:443", ""},
        {"OPTIONS * HTTP/1.1\r\n\r\n", "", "*"},
        {"GET //a HTTP/1.1\r\n\r\n", "", "//a"},
    };
    static const char *const bad[] = {
        "GET * HTTP/1.1\r\n\r\n",         "GET a HTTP/1.1\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\n\r\n",  "GET http:/a HTTP/1.1\r\n\r\n",
        "GET http:///a HTTP/1.1\r\n\r\n", "GET http://a?b HTTP/1.1\r\n\r\n",
        "CONNECT /a HTTP/1.1\r\n\r\n",    "CONNECT http://a/ HTTP/1.1\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct http_head h = head_new();
        assert_ok(http1_read_request(str_from(good[i].line), &h, NULL));
        assert_str(h.authority, good[i].authority);
        assert_str(h.path, good[i].path);
        expect_written(&h, good[i].line);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_head h = head_new();
        if (http1_read_request(str_from(bad[i]), &h, NULL) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_what_is_ambiguous_is_refused(void **state)
{
    static const char *const bad[] = {
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0x10\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nA: 0123456\x7f\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n\r\nrest",
        "GET / HTTP/1.1\r\nA: b\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /\tx HTTP/1.1\r\n\r\n",
        "GET /#frag HTTP/1.1\r\n\r\n",
        "G=\":<>\" / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "",
    };
    struct http_head h = head_new();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (http1_read_request(str_from(bad[i]), &h, NULL) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(http1_read_request(STR("PRI * HTTP/2.0\r\n\r\n"), &h, NULL), -EPROTONOSUPPORT);
    assert_int_equal(http1_read_request(STR("GET / HTTP/1.1\r\nA: \0b\r\n\r\n"), &h, NULL),
                     -EBADMSG);
}

/* Every byte at every place of the eight that are looked at together. */
static void test_bytes_of_a_value(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 20; at++) {
            char text[] = "GET / HTTP/1.1\r\nA: 01234567890123456789\r\n\r\n";
            struct http_head h = head_new();
            text[19 + at] = (char)c;
            bool good = c == '\t' || (c >= 0x20 && c != 0x7f);
            assert_int_equal(http1_read_request(str_of(text, sizeof(text) - 1), &h, NULL),
                             good ? 0 : -EBADMSG);
        }
}

static void test_an_answer(void **state)
{
    static const char *const bad[] = {
        "HTTP/1.1 20 OK\r\n\r\n",  "HTTP/1.1 099 OK\r\n\r\n",   "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1  200\r\n\r\n",   "HTTP/1.1 200 O\nK\r\n\r\n", "HTTP/1.1\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 \x01\r\n\r\n",
    };
    struct http_head h = head_new();
    (void)state;
    assert_ok(
        http1_read_response(STR("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n"), &h, NULL));
    assert_true(h.status == 404 && h.content_length == 3);
    assert_str(h.reason, "Not Found");
    expect_written(&h, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n");
    assert_ok(http1_read_response(STR("HTTP/1.0 200\r\n\r\n"), &h, NULL));
    assert_true(h.status == 200 && h.minor == 0 && h.close && h.reason.n == 0);
    expect_written(&h, "HTTP/1.1 200 \r\n\r\n");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (http1_read_response(str_from(bad[i]), &h, NULL) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
}

static void test_trailers(void **state)
{
    static const char *const bad[] = {"Content-Length: 1\r\n\r\n",
                                      "Transfer-Encoding: chunked\r\n\r\n", "Host: a\r\n\r\n",
                                      "Authorization: x\r\n\r\n", "A: b\r\n"};
    struct http_head h = head_new();
    AUTO_DONE(chain) struct chain c = {0};
    (void)state;
    assert_ok(http1_read_trailers(STR("grpc-status: 0\r\nGrpc-Message: ok\r\n\r\n"), &h, NULL));
    assert_str(value_of(&h, HTTP_NAME_GRPC_STATUS), "0");
    assert_ok(http1_write_fields(&c, &h));
    assert_str(chain_front(&c), "grpc-status: 0\r\nGrpc-Message: ok\r\n\r\n");
    assert_ok(http1_read_trailers(STR("\r\n"), &h, NULL));
    assert_int_equal(h.n, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(http1_read_trailers(str_from(bad[i]), &h, NULL), -EBADMSG);
}

static void test_fields_taken_out_and_put_in(void **state)
{
    struct http_field few[4];
    struct http_head h = {.fields = few, .cap = 4};
    struct err err = {0};
    (void)state;
    assert_ok(http1_read_request(
        STR("GET / HTTP/1.1\r\nA: 1\r\nConnection: close\r\nB: 2\r\nConnection: x\r\n\r\n"), &h,
        NULL));
    assert_int_equal(http_head_add(&h, HTTP_NAME_VIA, STR("1.1 x")), -E2BIG);
    assert_int_equal(http_head_remove(&h, HTTP_NAME_CONNECTION), 2);
    assert_int_equal(http_head_remove(&h, HTTP_NAME_CONNECTION), 0);
    assert_null(http_head_find(&h, HTTP_NAME_CONNECTION));
    expect_written(&h, "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n");
    assert_ok(http1_read_request(STR("GET / HTTP/1.1\r\nA: 1\r\n\r\n"), &h, NULL));
    assert_ok(http_head_add(&h, HTTP_NAME_VIA, STR("1.1 x")));
    expect_written(&h, "GET / HTTP/1.1\r\nA: 1\r\nvia: 1.1 x\r\n\r\n");
    assert_int_equal(http1_read_request(STR("GET / HTTP/1.1\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: "
                                            "1\r\n\r\n"),
                                        &h, &err),
                     -E2BIG);
    assert_string_equal(err.msg, "more than 4 header fields");
}

/* The bytes end where their page ends, and the next may not be read. */
static void test_nothing_is_read_past_the_end(void **state)
{
    enum { PAGE = 4096 };
    static const char text[] = "GET /abc HTTP/1.1\r\nte: trailers\r\nA: 0123456789\r\nb:\r\n\r\n";
    char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_ok(mprotect(pages + PAGE, PAGE, PROT_NONE));
    for (size_t n = 0; n < sizeof(text); n++) {
        struct http_head h = head_new();
        char *at = memcpy(pages + PAGE - n, text, n);
        assert_int_equal(http1_read_request(str_of(at, n), &h, NULL),
                         n == sizeof(text) - 1 ? 0 : -EBADMSG);
    }
    assert_ok(munmap(pages, 2 * PAGE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_has_its_number),
        cmocka_unit_test(test_a_request),
        cmocka_unit_test(test_what_fields_mean),
        cmocka_unit_test(test_forms_of_a_target),
        cmocka_unit_test(test_what_is_ambiguous_is_refused),
        cmocka_unit_test(test_bytes_of_a_value),
        cmocka_unit_test(test_an_answer),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_fields_taken_out_and_put_in),
        cmocka_unit_test(test_nothing_is_read_past_the_end),
    };
    return RUN_TESTS(tests);
}
