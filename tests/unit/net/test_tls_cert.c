/* Certificates and keys: the forms that clients read, and signatures that others can check. */
#include "net/tls.h"
#include "test.h"

static void issue(struct buf *cert, struct buf *key)
{
    struct err err = {0};
    struct tls_cert_request r = {.common_name = "x", .is_ca = true, .days = 1};
    if (tls_cert_issue(&r, STR(""), STR(""), cert, key, &err) < 0)
        fail_msg("%s", err_text(&err));
}

/* PKCS#8 (PRIVATE KEY) is not read by every client. */
static void test_the_key_is_sec1(void **state)
{
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf key = {0};
    (void)state;
    issue(&cert, &key);
    assert_true(str_starts(buf_str(&key), STR("-----BEGIN EC PRIVATE KEY-----\n")));
    assert_true(str_starts(buf_str(&cert), STR("-----BEGIN CERTIFICATE-----\n")));
}

static void test_the_public_part(void **state)
{
    AUTO_DONE(buf) struct buf cert = {0};
    AUTO_DONE(buf) struct buf key = {0};
    uint8_t point[64], again[64], id[32], other[32], sig[64];
    struct err err = {0};
    (void)state;
    issue(&cert, &key);
    assert_int_equal(tls_es256_public(buf_str(&key), point, id, &err), 0);
    assert_int_equal(tls_es256_public(buf_str(&key), again, other, &err), 0);
    assert_memory_equal(point, again, sizeof(point));
    assert_memory_equal(id, other, sizeof(id));
    assert_int_equal(tls_es256_sign(buf_str(&key), STR("text"), sig, &err), 0);
    assert_int_equal(tls_es256_verify(buf_str(&cert), STR("text"), sig), 0);
    assert_true(tls_es256_verify(buf_str(&cert), STR("other"), sig) < 0);
    assert_true(tls_es256_public(STR("no key"), point, id, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_key_is_sec1),
        cmocka_unit_test(test_the_public_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
