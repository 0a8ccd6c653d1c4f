/* Reads what a DataSource names, once, when the configuration is compiled. */
#include "proxy/data_source.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static int read_file(struct compile *c, const char *path, struct str *ret)
{
    struct stat st;
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return COMPILE_FAIL(c, "%s: %s", path, strerror(errno));
    if (st.st_size > DATA_SOURCE_BYTES_MAX)
        return COMPILE_FAIL(c, "%s: more than %d bytes", path, DATA_SOURCE_BYTES_MAX);
    size_t n = 0, room = (size_t)st.st_size;
    char *to = arena_alloc(c->scratch, room + 1);
    if (!to)
        return COMPILE_FAIL(c, "%s: no memory", path);
    while (n < room) {
        ssize_t got = read(fd, to + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return COMPILE_FAIL(c, "%s: %s", path, strerror(errno));
        if (!got)
            break;
        n += (size_t)got;
    }
    *ret = str_of(to, n);
    return 0;
}

int data_source_read(struct compile *c, const Envoy__Config__Core__V3__DataSource *m,
                     struct str *ret)
{
    const char *value;
    *ret = (struct str){NULL, 0};
    if (!m)
        return 0;
    switch ((int)m->specifier_case) {
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING:
        *ret = str_from(m->inline_string);
        return 0;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES:
        *ret = str_of(m->inline_bytes.data, m->inline_bytes.len);
        return 0;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME:
        return read_file(c, m->filename, ret);
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_ENVIRONMENT_VARIABLE:
        value = getenv(m->environment_variable);
        if (!value)
            return COMPILE_FAIL(c, "Environment variable doesn't exist: %s",
                                m->environment_variable);
        *ret = str_from(value);
        return 0;
    default:
        return COMPILE_FAIL(c, "one of filename, inline_bytes, inline_string and "
                               "environment_variable must be set");
    }
}
