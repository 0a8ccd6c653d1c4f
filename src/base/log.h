#pragma once
/* Structured logging to stderr: one line per event, logfmt or JSON, with the object's name.
 * Programs log; libraries (base to xds) do not log above debug. Never pass a secret. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
    _LOG_LEVEL_MAX,
};

enum log_format {
    LOG_FORMAT_LOGFMT,
    LOG_FORMAT_JSON,
};

struct log_kv {
    const char *key;
    const char *text; /* used if not NULL */
    size_t text_bytes;
    int64_t number;
};

static inline struct log_kv kv_str(const char *key, struct str v)
{
    return (struct log_kv){key, v.p ? v.p : "", v.n, 0};
}
static inline struct log_kv kv_s(const char *key, const char *v)
{
    return kv_str(key, str_from(v ? v : ""));
}
static inline struct log_kv kv_i(const char *key, int64_t v)
{
    return (struct log_kv){key, NULL, 0, v};
}

/* component names the program (or its part) in every line; borrowed for the life of the process. */
void log_setup(const char *component, enum log_level level, enum log_format format);
/* Any thread. */
void log_set_level(enum log_level level);
enum log_level log_level(void);
int log_level_parse(struct str s, enum log_level *ret) NODISCARD;
int log_format_parse(struct str s, enum log_format *ret) NODISCARD;
bool log_enabled(enum log_level level);
void log_emit(enum log_level level, const char *msg, const struct log_kv *kv, size_t n);

/* log_info("pod started", kv_s("pod", name), kv_i("pid", pid)); */
#define LOG_AT(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_emit(level, msg, (struct log_kv[]){{0}, ##__VA_ARGS__} + 1,                        \
                     sizeof((struct log_kv[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_kv) - 1);   \
    } while (0)
#define log_debug(msg, ...) LOG_AT(LOG_LEVEL_DEBUG, msg, ##__VA_ARGS__)
#define log_info(msg, ...)  LOG_AT(LOG_LEVEL_INFO, msg, ##__VA_ARGS__)
#define log_warn(msg, ...)  LOG_AT(LOG_LEVEL_WARN, msg, ##__VA_ARGS__)
#define log_error(msg, ...) LOG_AT(LOG_LEVEL_ERROR, msg, ##__VA_ARGS__)
