/* Formats of strings and numbers in custom objects. Constant data and pure functions. */
#include "lab/apiserver/crd_format.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>

#include <sys/socket.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/time.h"

static bool digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)s[i]))
            return false;
    return true;
}

static bool is_date(const char *s)
{
    if (strlen(s) != 10 || !digits(s, 4) || s[4] != '-' || !digits(s + 5, 2) || s[7] != '-' ||
        !digits(s + 8, 2))
        return false;
    int month = atoi(s + 5), day = atoi(s + 8);
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static bool is_date_time(const char *s)
{
    int64_t us;
    return time_parse_rfc3339(str_from(s), &us) == 0;
}

static bool is_ip(const char *s, int family)
{
    struct ip ip;
    return ip_parse(str_from(s), &ip) == 0 && ip.family == family;
}

static bool is_ipv4(const char *s)
{
    return is_ip(s, AF_INET);
}

static bool is_ipv6(const char *s)
{
    return is_ip(s, AF_INET6);
}

static bool is_cidr(const char *s)
{
    struct str bits, address = str_cut(str_from(s), '/', &bits);
    struct ip ip;
    uint64_t n;
    return bits.p && bits.n && ip_parse(address, &ip) == 0 && str_to_u64(bits, &n) == 0 &&
           n <= (ip.family == AF_INET ? 32 : 128);
}

static bool is_uuid(const char *s)
{
    size_t n = 0;
    for (; *s; s++) {
        if (*s == '-')
            continue;
        if (!isxdigit((unsigned char)*s))
            return false;
        n++;
    }
    return n == 32;
}

static bool is_bytes(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("+/=\r\n", s[i]))
            return false;
    return n % 4 == 0;
}

/* Go's: a sum of numbers with units, "1h15m30.5s", or a whole number with a word ("22 ns"). */
static bool is_duration(const char *s)
{
    static const char *const units[] = {"ns", "us", "µs", "ms", "s", "m", "h", "d", "w"};
    if (*s == '-' || *s == '+')
        s++;
    if (streq(s, "0"))
        return true;
    if (!*s)
        return false;
    while (*s) {
        size_t n = strspn(s, "0123456789."), best = 0;
        s += n;
        s += strspn(s, " ");
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
            if (strlen(units[i]) > best && strncmp(s, units[i], strlen(units[i])) == 0)
                best = strlen(units[i]);
        if (!n || !best)
            return false;
        s += best;
    }
    return true;
}

static bool is_hostname(const char *s)
{
    size_t n = strlen(s);
    if (!n || n > 255)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '-' && s[i] != '.')
            return false;
    return s[0] != '-' && s[0] != '.';
}

static bool is_email(const char *s)
{
    const char *at = strrchr(s, '@');
    return at && at != s && at[1] && !strpbrk(s, " <>\n");
}

static bool is_uri(const char *s)
{
    const char *colon = strchr(s, ':');
    return *s == '/' || (colon && colon != s && isalpha((unsigned char)*s) && !strchr(s, ' '));
}

static bool is_mac(const char *s)
{
    size_t n = strlen(s);
    if (n != 17 && n != 14)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char)s[i]) && !strchr(":-.", s[i]))
            return false;
    return true;
}

static bool is_anything(const char *s)
{
    (void)s;
    return true;
}

static const struct {
    const char *name;
    bool (*fits)(const char *s);
} formats[] = {
    {"date", is_date},
    {"date-time", is_date_time},
    {"datetime", is_date_time},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"cidr", is_cidr},
    {"uuid", is_uuid},
    {"uuid3", is_uuid},
    {"uuid4", is_uuid},
    {"uuid5", is_uuid},
    {"byte", is_bytes},
    {"duration", is_duration},
    {"hostname", is_hostname},
    {"email", is_email},
    {"uri", is_uri},
    {"mac", is_mac},
    {"password", is_anything},
    {"bsonobjectid", is_anything},
    {"isbn", is_anything},
    {"isbn10", is_anything},
    {"isbn13", is_anything},
    {"creditcard", is_anything},
    {"ssn", is_anything},
    {"hexcolor", is_anything},
    {"rgbcolor", is_anything},
    {"int32", is_anything},
    {"int64", is_anything},
    {"float", is_anything},
    {"double", is_anything},
    {"k8s-short-name", is_anything},
    {"k8s-long-name", is_anything},
};

bool crd_format_fits(const char *format, const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (streq(format, formats[i].name))
            return formats[i].fits(text);
    return true;
}

bool crd_format_holds(const char *format, double number)
{
    return !streq(format, "int32") || (number >= INT32_MIN && number <= INT32_MAX);
}

bool crd_format_is_known(const char *format)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (streq(format, formats[i].name))
            return true;
    return false;
}
