/* Hashes that openssl passwd, crypt(3) and htpasswd made. */
#include "net/password.h"

#include "test.h"

static bool check(const char *hash, const char *password)
{
    AUTO_CHARS char *text = xasprintf("a:%s", hash);
    struct str rest = str_from(text);
    struct htpasswd_line line = {0};
    assert_true(htpasswd_next(&rest, &line));
    assert_null(line.why);
    return password_is_right(line.kind, line.hash, str_from(password));
}

static void test_every_kind(void **state)
{
    static const char *const hashes[] = {
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "{SSHA}8bX4JQDfZqtTfvnQ4ssDmWb17/FTQUxU",
        "{PLAIN}secret",
        "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/",
        "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
        "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
        "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
        ("$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq."
         "H91p5hVO1"),
        "abNANd1rDfiNc",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        assert_true(check(hashes[i], "secret"));
        assert_false(check(hashes[i], "Secret"));
        assert_false(check(hashes[i], "secre"));
        assert_false(check(hashes[i], ""));
    }
}

static void test_lengths(void **state)
{
    char huge[PASSWORD_MAX + 2];
    AUTO_CHARS char *plain = NULL;
    (void)state;
    assert_true(
        check("$apr1$xy$cgGxkIySO4d6w4OgO/G4e.", "a password that is longer than sixteen bytes"));
    memset(huge, 'x', sizeof(huge));
    plain = xasprintf("{PLAIN}%.200s", huge);
    huge[200] = 0;
    assert_true(check(plain, huge));
    assert_false(password_is_right(HTPASSWD_SHA, STR("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
                                   str_of(huge, sizeof(huge))));
    /* A NUL in the middle does not end it. */
    assert_false(password_is_right(HTPASSWD_CRYPT, STR("abNANd1rDfiNc"), STR("secret\0x")));
}

static void test_keys(void **state)
{
    unsigned char a[PASSWORD_KEY_BYTES], b[PASSWORD_KEY_BYTES], secret[PASSWORD_KEY_BYTES] = {1};
    (void)state;
    password_key(secret, STR("ab"), STR("c"), a);
    password_key(secret, STR("a"), STR("bc"), b);
    assert_memory_not_equal(a, b, sizeof(a));
    password_key(secret, STR("ab"), STR("c"), b);
    assert_memory_equal(a, b, sizeof(a));
    secret[0] = 2;
    password_key(secret, STR("ab"), STR("c"), b);
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_keys),
    };
    return RUN_TESTS(tests);
}
