/* Signatures of tokens: each algorithm by its own key, and by nothing else. */
#include "test.h"

#include <errno.h>

#include "codec/base64.h"
#include "jwks_vectors.h"
#include "net/tls_jwks.h"

static struct tls_jwks *keys_of(const char *json)
{
    struct tls_jwks *k = NULL;
    struct err err = {0};
    if (tls_jwks_new(str_from(json), &k, &err) < 0)
        fail_msg("%s", err_text(&err));
    return k;
}

static int verify(const struct tls_jwks *k, const char *token)
{
    struct jwt t;
    const char *wrong = jwt_parse(str_from(token), &t);
    if (wrong)
        fail_msg("%s", wrong);
    int r = tls_jwks_verify(k, &t);
    jwt_done(&t);
    return r;
}

static void test_each_algorithm(void **state)
{
    AUTO_DONE(buf) struct buf all = {0};
    (void)state;
    buf_add_cstr(&all, "{\"keys\":[");
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
        buf_addf(&all, "%s%s", i ? "," : "", vectors[i].key);
    buf_add_cstr(&all, "]}");
    struct tls_jwks *k = keys_of(buf_cstr(&all));
    assert_int_equal(tls_jwks_keys(k), ARRAY_LEN(vectors));
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        AUTO_CHARS char *one = xasprintf("{\"keys\":[%s]}", vectors[i].key),
                        *changed = xstrdup(vectors[i].token);
        struct tls_jwks *own = keys_of(one), *other = keys_of("{\"keys\":[]}");
        assert_int_equal(verify(k, vectors[i].token), 0);
        assert_int_equal(verify(own, vectors[i].token), 0);
        assert_int_equal(verify(other, vectors[i].token), -ENOKEY);
        /* another signature: the first character of the last part */
        char *p = strrchr(changed, '.') + 1;
        *p = *p == 'A' ? 'B' : 'A';
        if (verify(own, changed) != -EKEYREJECTED)
            fail_msg("%s: a changed signature", vectors[i].alg);
        tls_jwks_free(own);
        tls_jwks_free(other);
    }
    tls_jwks_free(k);
}

/* The same text under another header. */
static int with_header(const struct tls_jwks *k, const char *header, const char *of)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct jwt t;
    const char *rest = strchr(of, '.');
    base64url_encode(str_from(header), &b);
    buf_add_cstr(&b, rest);
    const char *wrong = jwt_parse(buf_str(&b), &t);
    if (wrong)
        fail_msg("%s", wrong);
    int r = tls_jwks_verify(k, &t);
    jwt_done(&t);
    return r;
}

static void test_what_is_never_accepted(void **state)
{
    AUTO_CHARS char *one =
        xasprintf("{\"keys\":[%s,{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", vectors[0].key);
    struct tls_jwks *k = keys_of(one);
    (void)state;
    assert_int_equal(tls_jwks_keys(k), 1); /* a shared secret is no key */
    assert_int_equal(with_header(k, "{\"alg\":\"none\"}", vectors[0].token), -EOPNOTSUPP);
    assert_int_equal(with_header(k, "{\"alg\":\"HS256\"}", vectors[0].token), -EOPNOTSUPP);
    assert_int_equal(with_header(k, "{\"alg\":\"None\"}", vectors[0].token), -EOPNOTSUPP);
    assert_int_equal(with_header(k, "{\"alg\":\"ES256\"}", vectors[0].token), -ENOKEY);
    assert_int_equal(with_header(k, "{\"alg\":\"PS256\"}", vectors[0].token), -EKEYREJECTED);
    assert_int_equal(with_header(k, "{\"alg\":\"RS256\",\"kid\":\"x\"}", vectors[0].token),
                     -ENOKEY);
    assert_int_equal(with_header(k, "{\"alg\":\"RS256\"}", vectors[0].token), -EKEYREJECTED);
    tls_jwks_free(k);
}

static void test_key_sets(void **state)
{
    static const char *const none[] = {
        "{\"keys\":[{}]}",
        "{\"keys\":[7,null,[]]}",
        "{\"keys\":[{\"kty\":\"RSA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", /* too short */
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
        "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}", /* not on the curve */
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AAAA\"}]}",
    };
    struct tls_jwks *k;
    struct err err = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        k = keys_of(none[i]);
        if (tls_jwks_keys(k))
            fail_msg("%s", none[i]);
        tls_jwks_free(k);
    }
    AUTO_CHARS char *encrypts = xasprintf("{\"keys\":[%s]}", vectors[0].key);
    memcpy(strstr(encrypts, "\"sig\""), "\"enc\"", 5);
    k = keys_of(encrypts);
    assert_int_equal(tls_jwks_keys(k), 0);
    tls_jwks_free(k);
    assert_int_equal(tls_jwks_new(STR("{\"keys\":{}}"), &k, &err), -EINVAL);
    assert_true(tls_jwks_new(STR("["), &k, &err) < 0);
}

static void test_forms(void **state)
{
    static const struct {
        const char *token, *wrong;
    } cases[] = {
        {"", "Jwt is not in the form"},
        {"a.b", "Jwt is not in the form"},
        {"a.b.c.d", "Jwt is not in the form"},
        {"a.b.", "Jwt is not in the form"},
        {"!.e30.AAAA", "Jwt header is an invalid Base64url"},
        {"e30x.e30.AAAA", "Jwt header is an invalid JSON"},
        {"W10.e30.AAAA", "Jwt header is an invalid JSON"}, /* [] */
        {"e30.e30.AAAA", "Jwt header [alg] field is missing"},
        {"eyJhbGciOjd9.e30.AAAA", "Jwt header [alg] field is missing"},         /* 7 */
        {"eyJhbGciOiJSUzI1NiIsImtpZCI6N30.e30.AAAA", "Jwt header [kid] field"}, /* 7 */
        {"eyJhbGciOiJSUzI1NiIsImNyaXQiOltdfQ.e30.AAAA", "Jwt header [crit]"},
        {"eyJhbGciOiJSUzI1NiJ9.!.AAAA", "Jwt payload is an invalid Base64url"},
        {"eyJhbGciOiJSUzI1NiJ9.W10.AAAA", "Jwt payload is an invalid JSON"},
        {"eyJhbGciOiJSUzI1NiJ9.e30.!", "Jwt signature is an invalid Base64url"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct jwt t;
        const char *wrong = jwt_parse(str_from(cases[i].token), &t);
        if (!wrong || strncmp(wrong, cases[i].wrong, strlen(cases[i].wrong)) != 0)
            fail_msg("%s: %s", cases[i].token, wrong ? wrong : "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_algorithm),
        cmocka_unit_test(test_what_is_never_accepted),
        cmocka_unit_test(test_key_sets),
        cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
