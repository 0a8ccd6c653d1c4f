/* Log lines. Owns the process-wide level, format and component. A line is built whole and written
 * with one write(2), so that lines of several processes sharing stderr do not mix. */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/time.h"

static const char *log_component = "";
static _Atomic(int) log_min = LOG_LEVEL_INFO;
static enum log_format log_form = LOG_FORMAT_LOGFMT;

static const char *const level_names[_LOG_LEVEL_MAX] = {"debug", "info", "warn", "error"};

void log_setup(const char *component, enum log_level level, enum log_format format)
{
    log_component = component;
    log_min = level;
    log_form = format;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_min, (int)level, memory_order_relaxed);
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load_explicit(&log_min, memory_order_relaxed);
}

int log_level_parse(struct str s, enum log_level *ret)
{
    for (int i = 0; i < _LOG_LEVEL_MAX; i++) {
        if (str_is(s, level_names[i])) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

int log_format_parse(struct str s, enum log_format *ret)
{
    if (str_is(s, "logfmt") || str_is(s, "text"))
        *ret = LOG_FORMAT_LOGFMT;
    else if (str_is(s, "json"))
        *ret = LOG_FORMAT_JSON;
    else
        return -EINVAL;
    return 0;
}

bool log_enabled(enum log_level level)
{
    return level >= log_level();
}

static void add_quoted(struct buf *b, const char *p, size_t n)
{
    buf_add_char(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '"' || c == '\\')
            buf_addf(b, "\\%c", c);
        else if (c == '\n')
            buf_add_cstr(b, "\\n");
        else if (c < 0x20 || c == 0x7f)
            buf_addf(b, "\\u%04x", c);
        else
            buf_add_char(b, (char)c);
    }
    buf_add_char(b, '"');
}

static bool needs_quotes(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] <= ' ' || p[i] == '"' || p[i] == '=' || p[i] == '\\' ||
            p[i] == 0x7f)
            return true;
    return n == 0;
}

static void add_field(struct buf *b, const char *key, const char *text, size_t n, int64_t number)
{
    bool json = log_form == LOG_FORMAT_JSON;
    if (b->n > (json ? 1u : 0u))
        buf_add_char(b, json ? ',' : ' ');
    buf_addf(b, json ? "\"%s\":" : "%s=", key);
    if (!text)
        buf_addf(b, "%lld", (long long)number);
    else if (json || needs_quotes(text, n))
        add_quoted(b, text, n);
    else
        buf_add(b, text, n);
}

void log_emit(enum log_level level, const char *msg, const struct log_kv *kv, size_t n)
{
    AUTO_DONE(buf) struct buf line = {.cap = 64 * 1024};
    char ts[28];
    time_format_rfc3339_micro(time_real_us(), ts);
    memcpy(ts + 23, "Z", 2); /* milliseconds are enough for a reader */
    if (log_form == LOG_FORMAT_JSON)
        buf_add_char(&line, '{');
    add_field(&line, "ts", ts, strlen(ts), 0);
    add_field(&line, "level", level_names[level], strlen(level_names[level]), 0);
    if (*log_component)
        add_field(&line, "component", log_component, strlen(log_component), 0);
    add_field(&line, "msg", msg, strlen(msg), 0);
    for (size_t i = 0; i < n; i++)
        add_field(&line, kv[i].key, kv[i].text, kv[i].text_bytes, kv[i].number);
    buf_add_cstr(&line, log_form == LOG_FORMAT_JSON ? "}\n" : "\n");
    if (write(STDERR_FILENO, line.p, line.n) < 0)
        return; /* nowhere left to say it */
}
