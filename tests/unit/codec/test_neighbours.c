/* ARP and neighbour discovery: messages as they are on the wire, and what is none. */
#include <errno.h>

#include "codec/arp.h"
#include "codec/ndp.h"
#include "test.h"

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_ok(ip_parse(str_from(text), &ip));
    return ip;
}

/* Who has 192.0.2.1? Tell 192.0.2.9. */
static const uint8_t request[ARP_BYTES] = {0,   1, 8, 0, 6, 4, 0, 1, 0x02, 0, 0,   0, 0, 9,
                                           192, 0, 2, 9, 0, 0, 0, 0, 0,    0, 192, 0, 2, 1};

static void test_arp(void **state)
{
    struct arp a;
    (void)state;
    assert_ok(arp_parse(str_of(request, sizeof(request)), &a));
    assert_int_equal(a.operation, ARP_REQUEST);
    assert_true(ip_eq(&a.sender, &(struct ip){AF_INET, {192, 0, 2, 9}}));
    assert_true(ip_eq(&a.target, &(struct ip){AF_INET, {192, 0, 2, 1}}));
    assert_int_equal(a.sender_mac[5], 9);
    uint8_t back[ARP_BYTES], padded[46] = {0};
    arp_format(&a, back);
    assert_memory_equal(back, request, sizeof(request));
    memcpy(padded, request, sizeof(request)); /* as Ethernet fills short frames */
    assert_ok(arp_parse(str_of(padded, sizeof(padded)), &a));
    for (size_t n = 0; n < ARP_BYTES; n++)
        assert_int_equal(arp_parse(str_of(request, n), &a), -EINVAL);
    for (size_t i = 0; i < 8; i++) { /* another hardware, protocol, length, operation */
        memcpy(back, request, sizeof(request));
        back[i] ^= 0x40;
        assert_int_equal(arp_parse(str_of(back, sizeof(back)), &a), -EINVAL);
    }
}

/* fe80::9 asks for 2001:db8::1, and says that it is at 02:00:00:00:00:09. */
static const uint8_t solicitation[72] = {
    0x60, 0, 0, 0, 0,   32, 58,   255,  0xfe, 0x80, 0, 0, 0,    0, 0,    0,    0, 0,
    0,    0, 0, 0, 0,   9,  0xff, 2,    0,    0,    0, 0, 0,    0, 0,    0,    0, 1,
    0xff, 0, 0, 1, 135, 0,  0xff, 0xff, 0,    0,    0, 0, 0x20, 1, 0x0d, 0xb8, 0, 0,
    0,    0, 0, 0, 0,   0,  0,    0,    0,    1,    1, 1, 2,    0, 0,    0,    0, 9};

static void checksum(uint8_t *p, size_t n)
{
    uint32_t s = 58 + (uint32_t)n;
    p[42] = p[43] = 0;
    for (size_t i = 8; i < 40 + n; i += 2)
        s += (uint32_t)p[i] << 8 | p[i + 1];
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    p[42] = (uint8_t)(~s >> 8);
    p[43] = (uint8_t)~s;
}

static void test_solicitation(void **state)
{
    uint8_t p[80];
    struct ndp_solicitation s;
    (void)state;
    memcpy(p, solicitation, sizeof(solicitation));
    assert_int_equal(ndp_parse_solicitation(str_of(p, 72), &s), -EINVAL); /* checksum */
    checksum(p, 32);
    assert_ok(ndp_parse_solicitation(str_of(p, 72), &s));
    struct ip target = ip_of("2001:db8::1"), source = ip_of("fe80::9");
    assert_true(ip_eq(&s.target, &target) && ip_eq(&s.source, &source));
    assert_true(s.has_mac && s.mac[0] == 2 && s.mac[5] == 9);
    for (size_t n = 0; n < 72; n++)
        assert_int_equal(ndp_parse_solicitation(str_of(p, n), &s), -EINVAL);
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{0, 0x40},  {6, 17}, {7, 254}, {40, 136}, {41, 1},
               {48, 0xff}, {65, 0}, {65, 2},  {8, 0xff}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        memcpy(p, solicitation, sizeof(solicitation));
        p[bad[i].at] = bad[i].value;
        checksum(p, 32);
        assert_int_equal(ndp_parse_solicitation(str_of(p, 72), &s), -EINVAL);
    }
    /* From ::, as duplicate address detection asks: without a hardware address, to the group. */
    memcpy(p, solicitation, sizeof(solicitation));
    memset(p + 8, 0, 16);
    checksum(p, 32);
    assert_int_equal(ndp_parse_solicitation(str_of(p, 72), &s), -EINVAL);
    p[5] = 24;
    checksum(p, 24);
    assert_ok(ndp_parse_solicitation(str_of(p, 64), &s));
    assert_false(s.has_mac);
    p[39] = 2;
    checksum(p, 24);
    assert_int_equal(ndp_parse_solicitation(str_of(p, 64), &s), -EINVAL);
}

static void test_advertisement(void **state)
{
    uint8_t p[NDP_ADVERTISEMENT_BYTES], mac[6];
    struct ndp_solicitation s;
    const struct ndp_advertisement a = {.source = ip_of("2001:db8::1"),
                                        .destination = ip_of("fe80::9"),
                                        .target = ip_of("2001:db8::1"),
                                        .mac = {2, 0, 0, 0, 0, 7},
                                        .solicited = true,
                                        .override = true};
    (void)state;
    ndp_format_advertisement(&a, p);
    static const uint8_t message[8] = {136, 0, 0, 0, 0x60, 0, 0, 0};
    uint8_t check[2] = {p[42], p[43]};
    checksum(p, 32);
    assert_memory_equal(check, p + 42, 2);
    p[42] = p[43] = 0;
    assert_memory_equal(p + 40, message, sizeof(message));
    assert_memory_equal(p + 64, ((const uint8_t[]){2, 1, 2, 0, 0, 0, 0, 7}), 8);
    assert_memory_equal(p, ((const uint8_t[]){0x60, 0, 0, 0, 0, 32, 58, 255}), 8);
    /* But for its type and option it is laid out as a question is. */
    p[40] = 135;
    p[64] = 1;
    checksum(p, 32);
    assert_ok(ndp_parse_solicitation(str_of(p, sizeof(p)), &s));
    struct ip group = ndp_solicited_node(&a.target), expected = ip_of("ff02::1:ff00:1");
    assert_true(ip_eq(&group, &expected));
    ndp_multicast_mac(&group, mac);
    assert_memory_equal(mac, ((const uint8_t[]){0x33, 0x33, 0xff, 0, 0, 1}), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arp),
        cmocka_unit_test(test_solicitation),
        cmocka_unit_test(test_advertisement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
