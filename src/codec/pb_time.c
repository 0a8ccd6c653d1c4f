/* Texts of Duration and Timestamp. Pure. */
#include "codec/pb_time.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* Seconds of the years 1 and 9999, first and last. */
#define TIMESTAMP_MIN INT64_C(-62135596800)
#define TIMESTAMP_MAX INT64_C(253402300799)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes digits off *s, at least one and at most max. */
static int take_digits(struct str *s, size_t max, int64_t *ret)
{
    size_t n = 0;
    int64_t v = 0;
    while (n < s->n && is_digit(s->p[n])) {
        if (n == max)
            return -ERANGE;
        v = v * 10 + (s->p[n++] - '0');
    }
    *s = str_sub(*s, n, s->n);
    *ret = v;
    return n ? 0 : -EINVAL;
}

/* Takes ".5" off *s, if it is there. */
static int take_fraction(struct str *s, int32_t *ret_nanos)
{
    int64_t v = 0;
    *ret_nanos = 0;
    if (!s->n || s->p[0] != '.')
        return 0;
    *s = str_sub(*s, 1, s->n);
    size_t before = s->n;
    int code = take_digits(s, 9, &v);
    for (size_t n = before - s->n; n < 9; n++)
        v *= 10;
    *ret_nanos = (int32_t)v;
    return code;
}

int pb_duration_parse(struct str s, int64_t *ret_seconds, int32_t *ret_nanos)
{
    int64_t seconds;
    int32_t nanos;
    bool negative = s.n && s.p[0] == '-';
    if (negative)
        s = str_sub(s, 1, s.n);
    int code = take_digits(&s, 12, &seconds);
    if (code == 0)
        code = take_fraction(&s, &nanos);
    if (code < 0)
        return code;
    if (!str_is(s, "s"))
        return -EINVAL;
    if (seconds > PB_DURATION_SECONDS_MAX || (seconds == PB_DURATION_SECONDS_MAX && nanos))
        return -ERANGE;
    *ret_seconds = negative ? -seconds : seconds;
    *ret_nanos = negative ? -nanos : nanos;
    return 0;
}

/* ".5", ".000001": three, six or nine digits; nothing for 0. */
static void format_fraction(int32_t nanos, char ret[12])
{
    ret[0] = '\0';
    if (nanos == 0)
        return;
    if (nanos % 1000000 == 0)
        snprintf(ret, 12, ".%03d", nanos / 1000000);
    else if (nanos % 1000 == 0)
        snprintf(ret, 12, ".%06d", nanos / 1000);
    else
        snprintf(ret, 12, ".%09d", nanos);
}

int pb_duration_format(int64_t seconds, int32_t nanos, char *ret, size_t size)
{
    char fraction[12];
    bool negative = seconds < 0 || nanos < 0;
    if (seconds > PB_DURATION_SECONDS_MAX || seconds < -PB_DURATION_SECONDS_MAX ||
        nanos > 999999999 || nanos < -999999999 || (seconds > 0 && nanos < 0) ||
        (seconds < 0 && nanos > 0) ||
        (nanos && (seconds == PB_DURATION_SECONDS_MAX || seconds == -PB_DURATION_SECONDS_MAX)))
        return -ERANGE;
    format_fraction(negative ? -nanos : nanos, fraction);
    snprintf(ret, size, "%s%lld%ss", negative ? "-" : "",
             (long long)(negative ? -seconds : seconds), fraction);
    return 0;
}

static bool take_char(struct str *s, const char *any)
{
    if (!s->n || !s->p[0] || !strchr(any, s->p[0]))
        return false;
    *s = str_sub(*s, 1, s->n);
    return true;
}

/* Takes a number of exactly n digits. */
static bool take_number(struct str *s, size_t n, int *ret)
{
    int64_t v;
    struct str part = s->n >= n ? str_sub(*s, 0, n) : STR("");
    if (take_digits(&part, n, &v) < 0 || part.n)
        return false;
    *s = str_sub(*s, n, s->n);
    *ret = (int)v;
    return true;
}

static bool take_zone(struct str *s, int64_t *ret_offset)
{
    int hours, minutes;
    *ret_offset = 0;
    if (take_char(s, "Zz"))
        return true;
    bool west = s->n && s->p[0] == '-';
    if (!take_char(s, "+-") || !take_number(s, 2, &hours) || !take_char(s, ":") ||
        !take_number(s, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_offset = (west ? -1 : 1) * (hours * INT64_C(3600) + minutes * INT64_C(60));
    return true;
}

int pb_timestamp_parse(struct str s, int64_t *ret_seconds, int32_t *ret_nanos)
{
    struct tm tm = {0}, check;
    int64_t offset;
    if (!take_number(&s, 4, &tm.tm_year) || !take_char(&s, "-") ||
        !take_number(&s, 2, &tm.tm_mon) || !take_char(&s, "-") ||
        !take_number(&s, 2, &tm.tm_mday) || !take_char(&s, "Tt") ||
        !take_number(&s, 2, &tm.tm_hour) || !take_char(&s, ":") ||
        !take_number(&s, 2, &tm.tm_min) || !take_char(&s, ":") || !take_number(&s, 2, &tm.tm_sec) ||
        take_fraction(&s, ret_nanos) < 0 || !take_zone(&s, &offset) || s.n)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    check = tm;
    int64_t seconds = timegm(&check);
    if (check.tm_mon != tm.tm_mon || check.tm_mday != tm.tm_mday || check.tm_hour != tm.tm_hour ||
        check.tm_min != tm.tm_min || check.tm_sec != tm.tm_sec)
        return -ERANGE; /* the 31st of February */
    seconds -= offset;
    if (seconds < TIMESTAMP_MIN || seconds > TIMESTAMP_MAX)
        return -ERANGE;
    *ret_seconds = seconds;
    return 0;
}

int pb_timestamp_format(int64_t seconds, int32_t nanos, char *ret, size_t size)
{
    struct tm tm;
    time_t t = seconds;
    char fraction[12];
    if (seconds < TIMESTAMP_MIN || seconds > TIMESTAMP_MAX || nanos < 0 || nanos > 999999999 ||
        !gmtime_r(&t, &tm))
        return -ERANGE;
    format_fraction(nanos, fraction);
    snprintf(ret, size, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
    return 0;
}
