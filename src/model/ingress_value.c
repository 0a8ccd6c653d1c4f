/* Closed grammars of single values. Pure. */
#include "model/ingress_value.h"

#include <ctype.h>

const char *ingress_value_bool(const char *value, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"}, *const no[] = {
                                                                                  "0",     "f",
                                                                                  "F",     "false",
                                                                                  "FALSE", "False"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (streq(value, yes[i]) || streq(value, no[i])) {
            *ret = streq(value, yes[i]);
            return NULL;
        }
    return "it must be true or false";
}

const char *ingress_value_seconds(const char *value, uint32_t *ret)
{
    uint64_t s;
    if (str_to_u64(str_from(value), &s) < 0 || s < 1 || s > INGRESS_TIMEOUT_MAX_S)
        return "it must be a number of seconds from 1 to 86400, without a unit";
    *ret = (uint32_t)s;
    return NULL;
}

const char *ingress_value_keep(const char *value, char **to)
{
    free(*to);
    *to = xstrdup(value);
    return NULL;
}

bool ingress_value_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !memchr("!#$%&'*+-.^_`|~", s.p[i], 15))
            return false;
    return s.n > 0;
}

bool ingress_value_is_visible(const char *value)
{
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c == 0x7f)
            return false;
    return *value != 0;
}

const char *ingress_value_path(const char *value, char **to)
{
    if (*value != '/' || !ingress_value_is_visible(value) || strpbrk(value, "?#"))
        return "it must be a path that begins with / and has neither ? nor #";
    return ingress_value_keep(value, to);
}

const char *ingress_value_number(const char *value, uint32_t min, uint32_t max, uint32_t *ret)
{
    uint64_t n;
    if (str_to_u64(str_from(value), &n) < 0 || n < min || n > max)
        return "it must be a number without a unit, in its limits";
    *ret = (uint32_t)n;
    return NULL;
}

const char *ingress_value_host(const char *value, char **ret)
{
    for (const char *c = value; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(".-_:", *c))
            return "it must be a host name, with a port or without";
    return *value ? ingress_value_keep(value, ret) : "it must not be empty";
}

const char *ingress_value_tls_versions(const char *value, unsigned *ret_min, unsigned *ret_max)
{
    struct str rest = str_from(value);
    unsigned min = 0, max = 0;
    while (rest.p) {
        struct str one = str_cut(rest, ' ', &rest);
        unsigned version = str_is(one, "TLSv1.2") ? 12 : str_is(one, "TLSv1.3") ? 13 : 0;
        if (one.n && !version)
            return "it must be made of TLSv1.2 and TLSv1.3";
        if (one.n) {
            min = min ? MIN(min, version) : version;
            max = MAX(max, version);
        }
    }
    if (!min)
        return "it must not be empty";
    *ret_min = min;
    *ret_max = max;
    return NULL;
}

bool ingress_value_is_settable(struct str name)
{
    static const char *const not [] = {"host",       "content-length", "transfer-encoding",
                                       "connection", "upgrade",        "te",
                                       "trailer",    "keep-alive"};
    for (size_t i = 0; i < ARRAY_LEN(not ); i++)
        if (str_eq_nocase(name, str_from(not [i])))
            return false;
    return ingress_value_is_token(name);
}

bool ingress_value_is_reserved(struct str host)
{
    static const struct str domain = STR("." INGRESS_RESERVED_DOMAIN);
    return host.n >= domain.n && str_eq_nocase(str_sub(host, host.n - domain.n, host.n), domain);
}
