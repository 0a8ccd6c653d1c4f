/* Scalars as Kubernetes' reader takes them (sigs.k8s.io/yaml, which is Go's yaml.v2): YAML 1.1's
 * booleans, y and n included; hexadecimal, both octals, binary; underscores anywhere behind the
 * first digit; whole floats are integers, as they are in JSON. Sexagesimals and dates stay strings.
 * Pure; knows nothing of documents. Checked against kubectl 1.37. */
#include "codec/yaml_scalar.h"

#include <errno.h>
#include <math.h>

#include "base/buf.h"
#include "codec/base64.h"

#define TAG "tag:yaml.org,2002:"

static bool is_one_of(struct str s, const char *const *words)
{
    for (; *words; words++)
        if (str_is(s, *words))
            return true;
    return false;
}

bool yaml_is_no_number(struct str s)
{
    static const char *const words[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                        "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                        ".NaN",  ".NAN",  NULL};
    return is_one_of(s, words);
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 99;
}

/* Go's ParseInt with base 0. -EINVAL: no integer, -ERANGE. */
static int parse_integer(struct str s, int64_t *ret)
{
    bool negative = s.n && *s.p == '-';
    uint64_t v = 0, limit = (uint64_t)INT64_MAX + negative;
    unsigned base = 10;
    if (s.n && (*s.p == '-' || *s.p == '+'))
        s = str_sub(s, 1, s.n);
    if (s.n > 1 && s.p[0] == '0') {
        char c = (char)(s.p[1] | 0x20);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        s = str_sub(s, c == 'x' || c == 'b' || c == 'o' ? 2 : 1, s.n);
    }
    if (!s.n)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)digit_of(s.p[i]);
        if (d >= base)
            return -EINVAL;
        if (v > (limit - d) / base)
            return -ERANGE;
        v = v * base + d;
    }
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

static size_t skip_digits(struct str s, size_t i)
{
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    return i;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(struct str s)
{
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
    size_t whole = skip_digits(s, i), end = whole;
    if (whole < s.n && s.p[whole] == '.') {
        end = skip_digits(s, whole + 1);
        if (whole == i && end == whole + 1)
            return false; /* a lonely point */
    } else if (whole == i) {
        return false;
    }
    if (end < s.n && (s.p[end] | 0x20) == 'e') {
        size_t from = end + 1;
        if (from < s.n && (s.p[from] == '-' || s.p[from] == '+'))
            from++;
        end = skip_digits(s, from);
        if (end == from)
            return false;
    }
    return end == s.n;
}

/* Whole numbers that fit are integers. */
static json_t *number_of(double v)
{
    bool fits = v >= -9e18 && v <= 9e18;
    return fits && v == (double)(json_int_t)v ? json_integer((json_int_t)v) : json_real(v);
}

/* NULL: no number. */
static json_t *number_or_null(struct str s)
{
    AUTO_DONE(buf) struct buf plain = {0};
    int64_t v;
    if (!s.n || !strchr("0123456789+-.", *s.p))
        return NULL;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '_' || *s.p == '.')
            buf_add_char(&plain, s.p[i]);
    if (*s.p != '.' && parse_integer(buf_str(&plain), &v) == 0)
        return json_integer(v);
    if (!is_float(buf_str(&plain)))
        return NULL;
    double d = strtod(buf_cstr(&plain), NULL);
    return isfinite(d) ? number_of(d) : NULL;
}

json_t *yaml_plain_scalar(struct str s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                        "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const falses[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                         "False", "FALSE", "off", "Off", "OFF", NULL};
    if (!s.n || is_one_of(s, nulls))
        return json_null();
    if (is_one_of(s, trues))
        return json_true();
    if (is_one_of(s, falses))
        return json_false();
    json_t *number = number_or_null(s);
    return number ? number : json_stringn(s.p, s.n);
}

static json_t *binary(struct str s)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (base64_decode(s, &b) < 0 || (b.n && memchr(b.p, '\0', b.n)))
        return NULL;
    return json_stringn(b.p ? b.p : "", b.n);
}

json_t *yaml_tagged_scalar(struct str s, const char *tag)
{
    if (streq(tag, TAG "binary"))
        return binary(s);
    bool is_int = streq(tag, TAG "int"), is_number = is_int || streq(tag, TAG "float"),
         is_bool = streq(tag, TAG "bool"), is_null = streq(tag, TAG "null");
    if (!is_number && !is_bool && !is_null)
        return json_stringn(s.p, s.n); /* !!str, and tags of nobody here */
    AUTO_JSON json_t *v = yaml_plain_scalar(s);
    bool fits = is_int      ? json_is_integer(v)
                : is_number ? json_is_number(v)
                : is_bool   ? json_is_boolean(v)
                            : json_is_null(v);
    return fits ? json_incref(v) : NULL;
}
