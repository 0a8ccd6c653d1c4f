/* Resource quantities (apimachinery's resource.Quantity): decimal and binary suffixes, exponents,
 * canonical text.
 *
 * A quantity is mantissa x 10^exponent, or x 2^exponent for binary suffixes; nothing is finer than
 * a nano, which is rounded up as Kubernetes does. 128-bit arithmetic covers the range; what does
 * not fit is kept as it was written. */
#include "kube/quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum format { DECIMAL_SI, BINARY_SI, DECIMAL_EXPONENT };

struct quantity {
    __int128 nano; /* value in 10^-9 */
    enum format format;
};

static const struct {
    const char *text;
    enum format format;
    int exponent; /* of 10, or of 2 */
} suffixes[] = {
    {"n", DECIMAL_SI, -9}, {"u", DECIMAL_SI, -6}, {"m", DECIMAL_SI, -3}, {"", DECIMAL_SI, 0},
    {"k", DECIMAL_SI, 3},  {"M", DECIMAL_SI, 6},  {"G", DECIMAL_SI, 9},  {"T", DECIMAL_SI, 12},
    {"P", DECIMAL_SI, 15}, {"E", DECIMAL_SI, 18}, {"Ki", BINARY_SI, 10}, {"Mi", BINARY_SI, 20},
    {"Gi", BINARY_SI, 30}, {"Ti", BINARY_SI, 40}, {"Pi", BINARY_SI, 50}, {"Ei", BINARY_SI, 60},
};

static int parse_suffix(struct str s, enum format *ret_format, int *ret_exponent)
{
    int64_t e;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (str_is(s, suffixes[i].text)) {
            *ret_format = suffixes[i].format;
            *ret_exponent = suffixes[i].exponent;
            return 0;
        }
    }
    if (s.n < 2 || (s.p[0] != 'e' && s.p[0] != 'E'))
        return -EINVAL;
    struct str digits = str_sub(s, s.p[1] == '+' ? 2 : 1, s.n);
    if (str_to_i64(digits, &e) < 0 || e < -30 || e > 30)
        return -EINVAL;
    *ret_format = DECIMAL_EXPONENT;
    *ret_exponent = (int)e;
    return 0;
}

/* Digits with at most one point, from *at on. */
static int parse_number(struct str s, size_t *at, __int128 *ret_mantissa, int *ret_scale)
{
    size_t digits = 0;
    bool point = false;
    *ret_mantissa = 0;
    *ret_scale = 0;
    for (; *at < s.n; (*at)++) {
        char c = s.p[*at];
        if (c == '.' && !point) {
            point = true;
        } else if (c >= '0' && c <= '9') {
            if (++digits > 24)
                return -ERANGE;
            *ret_mantissa = *ret_mantissa * 10 + (c - '0');
            *ret_scale += point;
        } else {
            break;
        }
    }
    return digits ? 0 : -EINVAL;
}

static int scale_nano(__int128 *v, int decimal_exponent)
{
    bool rest = false;
    for (; decimal_exponent > 0; decimal_exponent--)
        if (__builtin_mul_overflow(*v, (__int128)10, v))
            return -ERANGE;
    for (; decimal_exponent < 0; decimal_exponent++) {
        rest = rest || *v % 10 != 0;
        *v /= 10;
    }
    *v += rest;
    return 0;
}

static int parse(struct str s, struct quantity *ret)
{
    size_t at = 0;
    __int128 mantissa;
    int scale, exponent;
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        at++;
    int code = parse_number(s, &at, &mantissa, &scale);
    if (code == 0)
        code = parse_suffix(str_sub(s, at, s.n), &ret->format, &exponent);
    if (code < 0)
        return code;
    if (ret->format == BINARY_SI) {
        if (__builtin_mul_overflow(mantissa, (__int128)1 << exponent, &mantissa))
            return -ERANGE;
        exponent = 0;
    }
    code = scale_nano(&mantissa, 9 - scale + exponent);
    if (code < 0)
        return code;
    ret->nano = negative ? -mantissa : mantissa;
    return 0;
}

static void write_number(__int128 v, const char *suffix, char *ret)
{
    char digits[48];
    size_t at = sizeof(digits);
    bool negative = v < 0;
    if (negative)
        v = -v;
    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + (int)(v % 10));
        v /= 10;
    } while (v && at > 1);
    snprintf(ret, QUANTITY_TEXT_BYTES, "%s%s%s", negative ? "-" : "", digits + at, suffix);
}

static void write_binary(__int128 whole, char *ret)
{
    static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(names) && whole && whole % 1024 == 0) {
        whole /= 1024;
        i++;
    }
    write_number(whole, names[i], ret);
}

static void write_decimal(__int128 nano, enum format format, char *ret)
{
    static const char *const names[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(names) && nano && nano % 1000 == 0) {
        nano /= 1000;
        i++;
    }
    if (!nano)
        i = 3;
    if (format == DECIMAL_EXPONENT && i != 3) {
        char exponent[8];
        snprintf(exponent, sizeof(exponent), "e%d", ((int)i - 3) * 3);
        write_number(nano, exponent, ret);
        return;
    }
    write_number(nano, names[i], ret);
}

int quantity_canonical(struct str in, char ret[QUANTITY_TEXT_BYTES])
{
    const __int128 billion = 1000000000;
    struct quantity q;
    int code = parse(in, &q);
    if (code == -ERANGE && in.n < QUANTITY_TEXT_BYTES) {
        memcpy(ret, in.p, in.n);
        ret[in.n] = '\0';
        return 0;
    }
    if (code < 0)
        return -EINVAL;
    bool whole = q.nano % billion == 0;
    __int128 size = q.nano / billion;
    if (q.format == BINARY_SI && whole && (size >= 1024 || size <= -1024))
        write_binary(size, ret);
    else
        write_decimal(q.nano, q.format == BINARY_SI ? DECIMAL_SI : q.format, ret);
    if (q.format == BINARY_SI && whole && size < 1024 && size > -1024)
        write_number(size, "", ret);
    return 0;
}

static int scaled(struct str in, __int128 unit, int64_t *ret)
{
    struct quantity q;
    int code = parse(in, &q);
    if (code < 0)
        return code;
    __int128 v = q.nano / unit;
    v += q.nano % unit > 0;
    if (v > INT64_MAX || v < INT64_MIN)
        return -ERANGE;
    *ret = (int64_t)v;
    return 0;
}

int quantity_value(struct str in, int64_t *ret)
{
    return scaled(in, 1000000000, ret);
}

int quantity_milli(struct str in, int64_t *ret)
{
    return scaled(in, 1000000, ret);
}
