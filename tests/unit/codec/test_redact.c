/* What is taken out of texts and JSON, and what is left. */
#include "codec/redact.h"
#include "test.h"

#define KEY                                                                                        \
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIPlantedKeyBytes\n-----END EC PRIVATE KEY-----\n"

static void expect(const char *in, const char *out, size_t count)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf again = {0};
    assert_int_equal(redact_text(str_from(in), &b), count);
    assert_string_equal(buf_cstr(&b), out);
    assert_int_equal(redact_text(buf_str(&b), &again), 0);
    assert_string_equal(buf_cstr(&again), out);
}

static void test_texts(void **state)
{
    (void)state;
    expect("nothing of note\n", "nothing of note\n", 0);
    expect("a\n" KEY "b",
           "a\n-----BEGIN EC PRIVATE KEY-----[redacted]-----END EC PRIVATE KEY-----\nb", 1);
    expect("-----BEGIN PRIVATE KEY-----\nMIIcut", "-----BEGIN PRIVATE KEY-----[redacted]", 1);
    expect("-----BEGIN CERTIFICATE-----\nMIIB\n", "-----BEGIN CERTIFICATE-----\nMIIB\n", 0);
    expect("x Bearer abcdef0123456789 y", "x Bearer [redacted] y", 1);
    expect("Bearer of news", "Bearer of news", 0);
    expect("Authorization: Basic dXNlcjpwYXNz\nHost: a", "Authorization: [redacted]\nHost: a", 1);
    expect("{\"authorization\":\"Digest a=b\",\"h\":1}",
           "{\"authorization\":\"[redacted]\",\"h\":1}", 1);
    expect("t eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl!", "t [redacted]!", 1);
    expect("user:$2y$05$abcdefghijklmnopqrstuv", "user:$2y$[redacted]", 1);
    expect("user:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "user:{SHA}[redacted]", 1);
    expect("GET http://bob:sesame@h/p", "GET http://[redacted]@h/p", 1);
    expect("http://h:80/p@q", "http://h:80/p@q", 0);
    expect("password=hunter2 user=bob", "password=[redacted] user=bob", 1);
    expect("\\\"client_secret\\\": \\\"s3\\\", x", "\\\"client_secret\\\": \\\"[redacted]\\\", x",
           1);
    expect("token_file=/var/run/token", "token_file=/var/run/token", 0);
    expect("mytoken=1 broken: 2", "mytoken=1 broken: 2", 0);
    expect("Cookie: a=b; c=d", "Cookie: [redacted]", 1);
    expect("msg=\"certificate of secret default/tls\" secret=default/tls",
           "msg=\"certificate of secret default/tls\" secret=default/tls", 0);
}

static void test_json(void **state)
{
    static const char in[] =
        "{\"private_key\":{\"inline_string\":\"k\"},\"a\":[{\"key\":\"Authorization\",\"value\":"
        "\"v\"},{\"name\":\"X\",\"value\":\"w\"}],\"o\":{\"kind\":\"Secret\",\"data\":{\"p\":\"q\"}"
        "},"
        "\"sessionTicketKeys\":{\"keys\":[1]},\"token\":false,\"tokens\":3}";
    static const char out[] =
        "{\"private_key\":\"[redacted]\",\"a\":[{\"key\":\"Authorization\",\"value\":"
        "\"[redacted]\"},{\"name\":\"X\",\"value\":\"w\"}],\"o\":{\"kind\":\"Secret\",\"data\":"
        "\"[redacted]\"},\"sessionTicketKeys\":\"[redacted]\",\"token\":false,\"tokens\":3}";
    AUTO_JSON json_t *j = NULL;
    AUTO_DONE(buf) struct buf b = {0};
    struct err e = {0};
    (void)state;
    assert_int_equal(json_parse(str_from(in), 0, NULL, &j, &e), 0);
    assert_int_equal(redact_json(j), 4);
    json_write(&b, j);
    assert_string_equal(buf_cstr(&b), out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
