/* Values that several readers take. */
#include "model/ingress_reader.h"

#include <ctype.h>

#include "base/mem.h"

const char *ingress_read_bool(const char *value, bool *ret)
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

const char *ingress_keep(char **to, const char *value)
{
    free(*to);
    *to = xstrdup(value);
    return NULL;
}

bool ingress_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !memchr("!#$%&'*+-.^_`|~", s.p[i], 15))
            return false;
    return s.n > 0;
}

bool ingress_is_visible(const char *value)
{
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c == 0x7f)
            return false;
    return *value != 0;
}
