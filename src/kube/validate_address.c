/* Addresses and prefixes as the API takes them, and the sentence for each way in which they are
 * wrong. "Legacy" fields (all of core/v1) take any spelling of an IPv6 address; newer ones take the
 * canonical one (RFC 5952). None takes leading zeros, which some programs read as octal, nor IPv4
 * in IPv6 clothes. NULL = nothing is wrong. Pure. */
#include "base/addr.h"
#include "kube/validate.h"

/* As ip_parse, but with zeros before the digits of IPv4 as well. */
static bool is_ip_with_zeros(struct str s)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct str rest = s;
    struct ip ip;
    if (s.n > IP_TEXT_BYTES || memchr(s.p, ':', s.n))
        return false;
    while (rest.p) {
        struct str part = str_cut(rest, '.', &rest);
        while (part.n > 1 && part.p[0] == '0')
            part = str_sub(part, 1, part.n);
        buf_addf(&b, "%s" STR_FMT, b.n ? "." : "", STR_ARG(part));
    }
    return ip_parse(buf_str(&b), &ip) == 0;
}

static bool is_mapped(const struct ip *ip)
{
    static const uint8_t head[12] = {[10] = 0xff, [11] = 0xff};
    return ip->family == AF_INET6 && memcmp(ip->bytes, head, sizeof(head)) == 0;
}

const char *legacy_ip_detail(struct str s)
{
    struct ip ip;
    if (s.n && ip_parse(s, &ip) == 0)
        return is_mapped(&ip) ? "must not be an IPv4-mapped IPv6 address" : NULL;
    return s.n && is_ip_with_zeros(s)
               ? "must not have leading 0s"
               : "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
}

const char *strict_ip_detail(struct str s)
{
    char text[IP_TEXT_BYTES];
    struct ip ip;
    const char *detail = legacy_ip_detail(s);
    if (detail || ip_parse(s, &ip) < 0)
        return detail;
    return str_is(s, ip_format(&ip, text)) ? NULL : "must be in canonical form (RFC 5952)";
}

const char *legacy_prefix_detail(struct str s)
{
    static const char not_one[] = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    struct str length, address = str_cut(s, '/', &length);
    struct prefix p;
    struct ip network;
    uint64_t n;
    if (prefix_parse(s, &p) == 0) {
        network = prefix_network(&p);
        return is_mapped(&p.ip)          ? "must not have an IPv4-mapped IPv6 address"
               : !ip_eq(&network, &p.ip) ? "must not have bits set beyond the prefix length"
                                         : NULL;
    }
    if (!length.p || !length.n || str_to_u64(length, &n) < 0)
        return not_one;
    bool v6 = ip_parse(address, &p.ip) == 0 && p.ip.family == AF_INET6;
    bool good = v6 || ip_parse(address, &p.ip) == 0 || is_ip_with_zeros(address);
    return good && n <= (v6 ? 128 : 32) ? "must not have leading 0s in IP or prefix length"
                                        : not_one;
}

const char *endpoint_ip_detail(struct str s)
{
    static const struct {
        const char *prefix, *detail;
    } rows[] = {
        {"0.0.0.0/32", "may not be unspecified (0.0.0.0 or ::)"},
        {"::/128", "may not be unspecified (0.0.0.0 or ::)"},
        {"127.0.0.0/8", "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
        {"::1/128", "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
        {"169.254.0.0/16", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
        {"fe80::/10", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
        {"224.0.0.0/24", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
        {"ff02::/16", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
    };
    struct ip ip;
    if (ip_parse(s, &ip) < 0)
        return "must be a valid IP address";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct prefix p;
        if (prefix_parse(str_from(rows[i].prefix), &p) == 0 && p.ip.family == ip.family &&
            prefix_contains(&p, &ip))
            return rows[i].detail;
    }
    return NULL;
}
