/* The bootstrap file: text, tree, message, check; and the lines of what is wrong, looked up in the
 * text when it has to be told. Owns nothing. */
#include "xds/xds_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/assert.h"
#include "codec/yaml.h"
#include "codec/yaml_where.h"
#include "xds/xds_check.h"

/* Bytes read again in order to tell lines. */
enum { LINES_READ_MAX = 32 << 20 };

/* JSON begins with a brace; all else is YAML. */
static bool is_json(struct str text)
{
    size_t i = 0;
    while (i < text.n && strchr(" \t\r\n", text.p[i]) && text.p[i])
        i++;
    return i < text.n && text.p[i] == '{';
}

/* The message as people read it: "FILE:LINE: PATH: what". The whole path stands in the text, which
 * has more room. */
static int at_file(struct err *e, const char *file, size_t line, const char *path)
{
    char what[sizeof(e->msg)], where[24] = "";
    if (!e)
        return -EINVAL;
    memcpy(what, e->msg, sizeof(what));
    if (line)
        snprintf(where, sizeof(where), ":%zu", line);
    return err_set(e, e->code, NULL, "%.100s%s: %s%s%s", file, where, path, *path ? ": " : "",
                   what);
}

static int read_tree(struct str text, const char *file, json_t **ret, struct err *reterr)
{
    char duplicate[128] = "";
    AUTO_JSON json_t *j = NULL;
    int code = is_json(text) ? json_parse(text, XDS_FILE_MAX, duplicate, &j, reterr)
                             : yaml_parse(text, &j, reterr);
    if (code < 0) {
        at_file(reterr, file, 0, "");
        return code;
    }
    if (*duplicate) {
        err_set(reterr, -EINVAL, NULL, "is there twice");
        return at_file(reterr, file, yaml_where(text, str_from(duplicate)), duplicate);
    }
    *ret = j ? TAKE(j) : json_object();
    return 0;
}

/* Each look goes through the text up to its line: of a large file the first findings alone get one.
 */
static void add_lines(struct xds_report *r, struct str text)
{
    size_t read_bytes = 0;
    VEC_FOREACH (f, &r->findings) {
        f->line = yaml_where(text, str_from(f->path));
        read_bytes += text.n;
        if (read_bytes > LINES_READ_MAX)
            return;
    }
}

/* The first refusal, with its line. */
static int refused(const struct xds_report *r, const char *file, struct err *reterr)
{
    int code = xds_report_err(r, reterr);
    VEC_FOREACH (f, &r->findings)
        if (f->state == XDS_REFUSE) {
            at_file(reterr, file, f->line, f->path);
            break;
        }
    return code;
}

/* Text to a message. */
static int parse_message(struct str text, const char *file, const ProtobufCMessageDescriptor *d,
                         struct arena *a, ProtobufCMessage **ret, struct err *reterr)
{
    AUTO_JSON json_t *tree = NULL;
    struct pb_path path = {.n = 0};
    if (text.n > XDS_FILE_MAX)
        return err_set(reterr, -E2BIG, NULL, "%.150s: %zu bytes are over the limit of %d", file,
                       text.n, XDS_FILE_MAX);
    int code = read_tree(text, file, &tree, reterr);
    if (code < 0)
        return code;
    code = pb_json_parse(tree, d, &xds_json_types, a, ret, &path, reterr);
    if (code < 0)
        at_file(reterr, file, yaml_where(text, str_from(path.text)), path.text);
    return code;
}

int xds_file_parse(struct str text, const char *file, struct arena *a,
                   Envoy__Config__Bootstrap__V3__Bootstrap **ret, struct xds_report *r,
                   struct err *reterr)
{
    ProtobufCMessage *m;
    ASSERT(!r->warned && !r->refused);
    int code = parse_message(text, file, &envoy__config__bootstrap__v3__bootstrap__descriptor, a,
                             &m, reterr);
    if (code < 0)
        return code;
    code = xds_check(m, r);
    add_lines(r, text);
    if (code < 0)
        return refused(r, file, reterr);
    *ret = (Envoy__Config__Bootstrap__V3__Bootstrap *)m;
    return 0;
}

/* Adds the whole file. */
static int read_all(const char *file, struct buf *b, struct err *reterr)
{
    AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "%.150s: %s", file, strerror(errno));
    for (;;) {
        void *room = buf_reserve(b, 65536);
        ssize_t n = room ? read(fd, room, 65536) : -1;
        if (!room)
            return err_set(reterr, -E2BIG, NULL, "%.150s: over the limit of %d bytes", file,
                           XDS_FILE_MAX);
        if (n < 0)
            return err_set(reterr, -errno, NULL, "%.150s: %s", file, strerror(errno));
        if (n == 0)
            return 0;
        b->n += (size_t)n;
    }
}

int xds_file_read(const char *file, struct arena *a, Envoy__Config__Bootstrap__V3__Bootstrap **ret,
                  struct xds_report *r, struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {.cap = XDS_FILE_MAX + 65536};
    int code = read_all(file, &b, reterr);
    return code < 0 ? code : xds_file_parse(buf_str(&b), file, a, ret, r, reterr);
}

int xds_file_read_response(const char *file, struct arena *a,
                           Envoy__Service__Discovery__V3__DiscoveryResponse **ret,
                           struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {.cap = XDS_FILE_MAX + 65536};
    ProtobufCMessage *m;
    int code = read_all(file, &b, reterr);
    if (code == 0)
        code = parse_message(buf_str(&b), file,
                             &envoy__service__discovery__v3__discovery_response__descriptor, a, &m,
                             reterr);
    if (code == 0)
        *ret = (Envoy__Service__Discovery__V3__DiscoveryResponse *)m;
    return code;
}
