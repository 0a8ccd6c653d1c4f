/* DNS messages: what a resolver sends is understood, what is malformed is refused, answers fit
 * their limit. */
#include <errno.h>
#include <sys/mman.h>

#include "codec/dns.h"
#include "test.h"

/* "web.default.svc.cluster.local" A, EDNS with 4096 bytes. */
static const char query[] = "\x12\x34\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01"
                            "\x03WeB\x07"
                            "default\x03svc\x07"
                            "cluster\x05local\x00\x00\x01\x00\x01"
                            "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00";

static void test_parse(void **state)
{
    (void)state;
    struct dns_query q;
    struct str s = str_of(query, sizeof(query) - 1);
    assert_ok(dns_query_parse(s, &q));
    assert_int_equal(q.id, 0x1234);
    assert_string_equal(q.name, "web.default.svc.cluster.local");
    assert_int_equal(q.type, DNS_A);
    assert_true(q.recursion_desired && q.has_edns);
    assert_int_equal(q.udp_bytes, DNS_UDP_BYTES_MAX);
}

/* The bytes end where their page ends, and the next may not be read. */
static void test_a_cut_is_refused_and_not_read_past(void **state)
{
    enum { PAGE = 4096 };
    struct dns_query q;
    char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_ok(mprotect(pages + PAGE, PAGE, PROT_NONE));
    for (size_t n = 0; n < sizeof(query); n++) {
        char *at = memcpy(pages + PAGE - n, query, n);
        bool whole = n >= 12 + 31 + 4; /* up to the end of the question */
        assert_int_equal(dns_query_parse(str_of(at, n), &q), whole ? 0 : -EBADMSG);
    }
    assert_ok(munmap(pages, 2 * PAGE));
}

static void test_what_edns_and_flags_say_is_answered(void **state)
{
    struct dns_query q;
    struct dns_reply r;
    AUTO_DONE(buf) struct buf b = {0};
    char bytes[sizeof(query)];
    (void)state;
    memcpy(bytes, query, sizeof(query));
    bytes[3] = 0x10;                  /* CD */
    bytes[sizeof(query) - 1 - 5] = 1; /* EDNS version 1 */
    assert_ok(dns_query_parse(str_of(bytes, sizeof(query) - 1), &q));
    assert_true(q.edns_version == 1 && q.checking_disabled && q.class_ == DNS_CLASS_IN);
    dns_reply_begin(&r, &b, &q, 512);
    dns_reply_end(&r, DNS_BADVERS);
    assert_memory_equal(b.p + 2, "\x81\x10", 2); /* the code's lower bits: 0 */
    assert_memory_equal(b.p + b.n - 11, "\0\0\x29\x10\0\1\0\0\0\0\0", 11);
}

static void test_refused(void **state)
{
    (void)state;
    struct dns_query q;
    char bytes[sizeof(query)];
    memcpy(bytes, query, sizeof(query));
    bytes[2] |= (char)0x80; /* an answer, not a query */
    assert_int_equal(dns_query_parse(str_of(bytes, sizeof(query) - 1), &q), -EBADMSG);
    memcpy(bytes, query, sizeof(query));
    bytes[12] = (char)0xc0; /* a compression pointer to itself */
    bytes[13] = 12;
    assert_int_equal(dns_query_parse(str_of(bytes, sizeof(query) - 1), &q), -EBADMSG);
    memcpy(bytes, query, sizeof(query));
    bytes[13] = '.'; /* a dot inside a label would look like two labels */
    assert_int_equal(dns_query_parse(str_of(bytes, sizeof(query) - 1), &q), -EBADMSG);
}

static void test_reply(void **state)
{
    (void)state;
    struct dns_query q;
    struct dns_reply r;
    AUTO_DONE(buf) struct buf b = {0};
    struct ip ip = {.family = AF_INET, .bytes = {10, 96, 0, 10}};
    assert_ok(dns_query_parse(str_of(query, sizeof(query) - 1), &q));
    dns_reply_begin(&r, &b, &q, 512);
    dns_reply_ip(&r, DNS_ANSWER, q.name, 5, &ip);
    dns_reply_end(&r, DNS_NOERROR);
    static const char answer[] = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x60\x00\x0a";
    assert_int_equal(b.n, 12 + q.question.n + 16 + 11);
    assert_memory_equal(b.p, "\x12\x34\x85\x00\x00\x01\x00\x01\x00\x00\x00\x01", 12);
    assert_memory_equal(b.p + 12 + q.question.n, answer, 16);
}

/* RFC 2181 section 5, RFC 2782. */
static void test_records_stand_once_and_targets_whole(void **state)
{
    (void)state;
    struct dns_query q;
    struct dns_reply r;
    AUTO_DONE(buf) struct buf b = {0};
    struct ip one = {.family = AF_INET, .bytes = {10, 96, 0, 10}},
              other = {.family = AF_INET, .bytes = {10, 96, 0, 11}};
    assert_ok(dns_query_parse(str_of(query, sizeof(query) - 1), &q));
    dns_reply_begin(&r, &b, &q, 512);
    dns_reply_ip(&r, DNS_ANSWER, q.name, 5, &one);
    dns_reply_ip(&r, DNS_ANSWER, q.name, 5, &other);
    dns_reply_ip(&r, DNS_ANSWER, q.name, 5, &one);
    assert_int_equal(r.counts[DNS_ANSWER], 2);
    assert_int_equal(b.n, 12 + q.question.n + 2 * 16);
    size_t begin = b.n;
    for (int i = 0; i < 2; i++)
        dns_reply_srv(&r, q.name, 5, 0, 100, 80, q.name);
    assert_int_equal(r.counts[DNS_ANSWER], 3);
    assert_int_equal(b.n - begin, 12 + 6 + strlen(q.name) + 2);
    assert_memory_equal(b.p + begin + 18,
                        "\x03web\x07"
                        "default\x03svc",
                        16);
}

static void test_truncation(void **state)
{
    (void)state;
    struct dns_query q;
    struct dns_reply r;
    AUTO_DONE(buf) struct buf b = {0};
    struct ip ip = {.family = AF_INET6};
    assert_ok(dns_query_parse(str_of(query, sizeof(query) - 1), &q));
    dns_reply_begin(&r, &b, &q, 512);
    for (uint8_t i = 0; i < 100; i++) {
        ip.bytes[15] = i;
        dns_reply_ip(&r, DNS_ANSWER, q.name, 5, &ip);
    }
    dns_reply_end(&r, DNS_NOERROR);
    assert_true(b.n <= 512);
    assert_true(b.p[2] & 0x02); /* TC */
    assert_int_equal((uint8_t)b.p[7], (512 - 12 - (int)q.question.n - 11) / 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_a_cut_is_refused_and_not_read_past),
        cmocka_unit_test(test_what_edns_and_flags_say_is_answered),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_records_stand_once_and_targets_whole),
        cmocka_unit_test(test_truncation),
    };
    return RUN_TESTS(tests);
}
