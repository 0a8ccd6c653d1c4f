/* SHA-1 on the vectors of RFC 3174, and around the borders of its blocks. */
#include "codec/sha1.h"

#include <stdio.h>

#include "test.h"

static void assert_digest(const char *unit, size_t times, const char *want)
{
    char text[2048], hex[41];
    unsigned char digest[SHA1_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < times; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", unit);
    sha1(str_of(text, n), digest);
    for (size_t i = 0; i < SHA1_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, want);
}

static void test_vectors(void **state)
{
    (void)state;
    assert_digest("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_digest("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                  "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_digest("0123456701234567012345670123456701234567012345670123456701234567", 10,
                  "dea356a2cddd90c7a7ecedc5ebb563934f460452");
}

static void test_borders(void **state)
{
    (void)state;
    assert_digest("a", 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    assert_digest("a", 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    assert_digest("a", 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
    assert_digest("a", 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    assert_digest("a", 65, "11655326c708d70319be2610e8a57d9a5b959d3b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_borders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
