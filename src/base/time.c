/* Clocks and time formats. Owns the manual clock of tests; everything else is pure. */
#include "base/time.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"

static _Atomic uint64_t manual_us; /* threads of the program under test read it */

void time_set_manual(uint64_t now_us)
{
    manual_us = now_us;
}

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;
    uint64_t manual = manual_us;
    if (manual)
        return manual;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t time_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

uint64_t time_mono_ms(void)
{
    return time_mono_us() / 1000;
}

int64_t time_real_us(void)
{
    return (int64_t)clock_us(CLOCK_REALTIME);
}

int64_t time_real_s(void)
{
    return time_real_us() / 1000000;
}

void time_format_rfc3339(int64_t unix_s, char ret[21])
{
    struct tm tm;
    time_t t = (time_t)unix_s;
    gmtime_r(&t, &tm);
    snprintf(ret, 21, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void time_format_http(int64_t unix_s, char ret[30])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;
    time_t t = (time_t)unix_s;
    gmtime_r(&t, &tm);
    snprintf(ret, 30, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void time_format_rfc3339_micro(int64_t unix_us, char ret[28])
{
    char seconds[21];
    int64_t us = unix_us % 1000000;
    us += us < 0 ? 1000000 : 0;
    time_format_rfc3339((unix_us - us) / 1000000, seconds);
    snprintf(ret, 28, "%.19s.%06dZ", seconds, (int)us);
}

static int parse_digits(struct str *s, size_t n, int *ret)
{
    int v = 0;
    if (s->n < n)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return -EINVAL;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_sub(*s, n, s->n);
    *ret = v;
    return 0;
}

static int parse_char(struct str *s, const char *any_of)
{
    if (!s->n || !s->p[0] || !strchr(any_of, s->p[0]))
        return -EINVAL;
    *s = str_sub(*s, 1, s->n);
    return 0;
}

static int parse_fraction(struct str *s, int64_t *ret_us)
{
    int64_t us = 0, unit = 100000;
    if (!s->n || s->p[0] != '.') {
        *ret_us = 0;
        return 0;
    }
    *s = str_sub(*s, 1, s->n);
    if (!s->n || s->p[0] < '0' || s->p[0] > '9')
        return -EINVAL;
    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; *s = str_sub(*s, 1, s->n), unit /= 10)
        us += (s->p[0] - '0') * unit;
    *ret_us = us;
    return 0;
}

/* "Z" or "+hh:mm": seconds east of Greenwich. */
static int parse_zone(struct str *s, int64_t *ret_s)
{
    int sign = s->n && s->p[0] == '-' ? -1 : 1, hours, minutes;
    if (s->n && (s->p[0] == 'Z' || s->p[0] == 'z')) {
        *ret_s = 0;
        *s = str_sub(*s, 1, s->n);
        return 0;
    }
    if (parse_char(s, "+-") || parse_digits(s, 2, &hours) || parse_char(s, ":") ||
        parse_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
        return -EINVAL;
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return 0;
}

int time_parse_rfc3339(struct str s, int64_t *ret_unix_us)
{
    struct tm tm = {0};
    int64_t us, zone_s;
    int year, month, day;
    if (parse_digits(&s, 4, &year) || parse_char(&s, "-") || parse_digits(&s, 2, &month) ||
        parse_char(&s, "-") || parse_digits(&s, 2, &day) || parse_char(&s, "Tt ") ||
        parse_digits(&s, 2, &tm.tm_hour) || parse_char(&s, ":") ||
        parse_digits(&s, 2, &tm.tm_min) || parse_char(&s, ":") || parse_digits(&s, 2, &tm.tm_sec) ||
        parse_fraction(&s, &us) || parse_zone(&s, &zone_s) || s.n)
        return -EINVAL;
    if (month < 1 || month > 12 || day < 1 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return -EINVAL;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    time_t t = timegm(&tm);
    if (tm.tm_mday != day) /* the month is shorter */
        return -EINVAL;
    t -= zone_s;
    gmtime_r(&t, &tm);
    if (tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) /* no text for it */
        return -EINVAL;
    *ret_unix_us = (int64_t)t * 1000000 + us;
    return 0;
}

void time_format_human(int64_t s, char ret[24])
{
    long long m = s / 60, h = s / 3600, d = s / 86400, y = s / (86400 * 365);
    if (s < -1)
        snprintf(ret, 24, "<invalid>");
    else if (s < 0)
        snprintf(ret, 24, "0s");
    else if (s < 120)
        snprintf(ret, 24, "%llds", (long long)s);
    else if (m < 10 && s % 60)
        snprintf(ret, 24, "%lldm%llds", m, (long long)(s % 60));
    else if (m < 180)
        snprintf(ret, 24, "%lldm", m);
    else if (h < 8 && m % 60)
        snprintf(ret, 24, "%lldh%lldm", h, m % 60);
    else if (h < 48)
        snprintf(ret, 24, "%lldh", h);
    else if (h < 192 && h % 24)
        snprintf(ret, 24, "%lldd%lldh", d, h % 24);
    else if (d < 365 * 2)
        snprintf(ret, 24, "%lldd", d);
    else if (y < 8 && d % 365)
        snprintf(ret, 24, "%lldy%lldd", y, d % 365);
    else
        snprintf(ret, 24, "%lldy", y);
}

static int parse_unit(struct str *s, double *ret_ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1},   {"us", 0.001}, {"ns", 0.000001},
                 {"s", 1000}, {"m", 60000},  {"h", 3600000}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct str name = str_from(units[i].name);
        if (str_starts(*s, name)) {
            *s = str_sub(*s, name.n, s->n);
            *ret_ms = units[i].ms;
            return 0;
        }
    }
    return -EINVAL;
}

int time_parse_duration(struct str s, uint64_t *ret_ms)
{
    double total = 0;
    if (str_is(s, "0")) {
        *ret_ms = 0;
        return 0;
    }
    if (!s.n)
        return -EINVAL;
    while (s.n) {
        double v = 0, unit = 1, scale = 1;
        bool digits = false, dot = false;
        for (; s.n && ((s.p[0] >= '0' && s.p[0] <= '9') || (s.p[0] == '.' && !dot));
             s = str_sub(s, 1, s.n)) {
            if (s.p[0] == '.') {
                dot = true;
                continue;
            }
            digits = true;
            if (dot && scale >= 1e9) /* finer than nanoseconds */
                continue;
            v = v * 10 + (s.p[0] - '0');
            if (v > 1e18)
                return -ERANGE;
            if (dot)
                scale *= 10;
        }
        if (!digits || parse_unit(&s, &unit))
            return -EINVAL;
        total += v / scale * unit;
        if (total > 1e15)
            return -ERANGE;
    }
    *ret_ms = (uint64_t)(total + 0.5);
    return 0;
}
